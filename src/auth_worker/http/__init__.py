"""The HTTP port: probes, health, metrics, the API and the dashboard."""
