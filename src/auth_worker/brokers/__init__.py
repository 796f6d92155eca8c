"""The only package that knows Redis and BullMQ: connections, scripts, keys, the embedded server."""
