"""The operations behind the command line and the HTTP port."""
