"""The benchmark: this service beside Node BullMQ and the official Python client, on one server, in one run."""
