"""The only package that knows Redis and BullMQ: connecting, multiplexing, the store, the embedded server."""
