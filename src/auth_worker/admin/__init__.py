"""The operations behind the command line, the API and the dashboard."""
