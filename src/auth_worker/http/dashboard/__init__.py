"""The dashboard: pages for people on the operations that the command line and the API have too."""
