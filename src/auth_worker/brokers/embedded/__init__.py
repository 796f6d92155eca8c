"""The embedded broker: a Valkey server of our own, for a machine without Redis."""
