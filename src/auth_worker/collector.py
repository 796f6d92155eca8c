"""Python's cycle collector, tuned for a process that works on jobs and does nothing else."""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""After how many new containers, and how many rounds of the younger ones, each generation is looked through."""


def spare_the_collector() -> None:
    """Keep the collector away from what lives as long as the process, and have it come less often.

    Every job makes a few containers, so that with Python's defaults (700, 10, 10) a sixth of the CPU time went
    into looking through them; what a job leaves is freed by reference counts alone. For who owns the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
