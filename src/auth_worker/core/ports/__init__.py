"""The ports: what the engine, producers and operators need from a broker, in values alone."""
