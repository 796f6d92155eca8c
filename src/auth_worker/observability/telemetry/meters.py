"""OpenTelemetry metrics: how runs end and how long they take, named by the messaging conventions.

They are derived from the events alone. Attributes are the queue, the outcome and the kind of error, all from short
lists. A job's name is not one, since producers choose it.
"""

from __future__ import annotations

from opentelemetry import metrics
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import error_attributes

from auth_worker.events import EventBus, JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost, OutcomeName
from auth_worker.observability.duration_buckets import BOUNDS_S
from auth_worker.version import __version__

OTHER = error_attributes.ErrorTypeValues.OTHER.value
Ended = JobCompleted | JobRetried | JobFailed


class Meters:
    """An observer that records events in the application's meter provider."""

    def __init__(self) -> None:
        meter = metrics.get_meter("auth_worker", __version__)
        self._durations = meter.create_histogram(
            messaging_metrics.MESSAGING_PROCESS_DURATION,
            unit="s",
            description="How long the consumer took.",
            explicit_bucket_boundaries_advisory=BOUNDS_S,
        )
        self._jobs = meter.create_counter(
            "auth_worker.jobs", unit="{job}", description="Runs that ended, by outcome."
        )
        self._attributes: dict[tuple[str, OutcomeName, str], dict[str, str]] = {}

    def attach(self, bus: EventBus) -> None:
        """Subscribe to ``bus``."""
        bus.subscribe(JobCompleted, lambda event: self._ended(event, OutcomeName.COMPLETED, ""))
        bus.subscribe(JobRetried, lambda event: self._ended(event, OutcomeName.RETRIED, _kind(event.error, OTHER)))
        bus.subscribe(
            JobFailed, lambda event: self._ended(event, event.outcome, _kind(event.error, event.reason_class))
        )
        bus.subscribe(JobMoved, lambda event: self._jobs.add(1, self._of(event.queue, event.to)))
        bus.subscribe(LeaseLost, lambda event: self._jobs.add(1, self._of(event.queue, OutcomeName.LOST)))

    def _ended(self, event: Ended, outcome: OutcomeName, error: str) -> None:
        attributes = self._of(event.queue, outcome, error)
        self._jobs.add(1, attributes)
        self._durations.record(event.duration_ms / 1000, attributes)

    def _of(self, queue: str, outcome: OutcomeName, error: str = "") -> dict[str, str]:
        key = (queue, outcome, error)
        attributes = self._attributes.get(key)
        if attributes is None:
            attributes = {
                messaging.MESSAGING_SYSTEM: "bullmq",
                messaging.MESSAGING_OPERATION_NAME: "process",
                messaging.MESSAGING_DESTINATION_NAME: queue,
                "auth_worker.outcome": outcome,
            }
            if error:
                attributes[error_attributes.ERROR_TYPE] = error
            self._attributes[key] = attributes
        return attributes


def _kind(error: BaseException | None, otherwise: str) -> str:
    return otherwise if error is None else type(error).__qualname__
