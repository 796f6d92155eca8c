"""BullMQ on Redis and Valkey: what workers, producers and operators ask of it."""
