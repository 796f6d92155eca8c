"""Connections to Redis: addresses, dialing, the pipelined connection, and links that reconnect."""
