"""BullMQ's Lua scripts: loaded, prepared as frames, and sent in batches."""
