"""What a process has once: the runtime, the watch loop, signals, the forced exit."""
