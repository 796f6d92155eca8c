"""Observers of events: logs, metrics, health, traces. They influence nothing else."""
