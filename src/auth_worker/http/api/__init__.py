"""The admin API, ``/api``: the operations of the command line over HTTP, with an OpenAPI document."""
