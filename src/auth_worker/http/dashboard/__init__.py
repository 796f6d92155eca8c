"""The dashboard: web pages for the operations that the command line and the API have too."""
