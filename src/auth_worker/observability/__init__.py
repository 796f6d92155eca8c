"""Observers of events: logs, metrics, health, traces, failure hooks. They change nothing else."""
