"""The consumers shipped with the service."""
