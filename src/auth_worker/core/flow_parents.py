"""Keeps a flow from containing a job that would wait for itself."""

from __future__ import annotations

from auth_worker.errors import ConfigurationError


class FlowParents:
    """The parents of the jobs of flows that are about to be added, each job and parent by its key."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def record(self, place: str, job: str, parent: str) -> None:
        """Record the ``parent`` of ``job``, which is at ``place``.

        Raises ``ConfigurationError`` naming the place if the job is its own parent, or that of a job above it.
        """
        above: str | None = parent
        while above is not None:
            if above == job:
                raise ConfigurationError(
                    f"{place}: its job_id is that of a job above it, which would wait for itself forever"
                )
            above = self._parents.get(above)
        self._parents.setdefault(job, parent)
