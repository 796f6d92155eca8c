"""The histogram buckets of durations, the same for Prometheus and for OpenTelemetry."""

from __future__ import annotations

BOUNDS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""The upper bounds (s) of the buckets, for jobs of 1 ms to 10 min."""
