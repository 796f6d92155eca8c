"""Tunes Python's cycle collector for a process that works on jobs and does nothing else."""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""The thresholds of ``gc.set_threshold``: new containers, and collections of the younger generation."""
MOST_YOUNG = 32 * YOUNG
"""No more new containers than that wait for a collection."""
_GROWTH = 4
_LITTLE = 0.05
"""The share of garbage below which a collection was in vain."""


def tune_gc() -> None:
    """Exempt what lives as long as the process from garbage collection, and collect less often.

    Every job creates a few containers, so that with Python's defaults (700, 10, 10) collections took a sixth of
    the CPU time. Reference counts alone free what a job leaves behind. Fifty jobs with 256 KB of data hold far
    more containers than ``YOUNG`` together, and collections in vain took 7 % of their CPU time. So the threshold
    grows, up to ``MOST_YOUNG``, until a collection finds garbage. Call it only in a process of one's own.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    if adapt_threshold not in gc.callbacks:
        gc.callbacks.append(adapt_threshold)


def adapt_threshold(phase: str, info: dict[str, int]) -> None:
    """Collect less often after a collection in vain, else as often as at first. One of ``gc.callbacks``.

    A threshold that an application has set, such as 0 for none, stays.
    """
    young, middle, _ = gc.get_threshold()  # Python 3.14 ignores the third
    if phase != "stop" or info["generation"] == 2 or middle != MIDDLE or young < YOUNG:
        return
    if info["collected"] > _LITTLE * young:
        gc.set_threshold(YOUNG, MIDDLE, OLD)
    elif young < MOST_YOUNG:
        gc.set_threshold(min(_GROWTH * young, MOST_YOUNG), MIDDLE, OLD)
