"""What watches the events: logs, metrics, health, traces. Nothing leads back from here."""
