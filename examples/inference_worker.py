"""CPU-bound work in processes of its own, which are killed when a job exceeds its timeout.

Run it: auth-worker run examples.inference_worker:service
Try it: auth-worker add inferenceQueue factor --data '{"number": 600851475143}'
"""

from auth_worker import Job, WorkerService

service = WorkerService()


def factor(job: Job) -> list[int]:
    """Return the prime factors of ``number``."""
    number, factors, candidate = int(job.data["number"]), [], 2
    while candidate * candidate <= number:
        while number % candidate == 0:
            factors.append(candidate)
            number //= candidate
        candidate += 1
    return [*factors, number]


service.register_processor(
    queue_name="inferenceQueue",
    processor=factor,
    execution="process",
    worker_config={"concurrency": 2, "timeout": 30_000},
    dead_letter_queue_name="inferenceDeadLetter",
)
