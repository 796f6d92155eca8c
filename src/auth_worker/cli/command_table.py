"""All commands: where their functions are, and their summaries for the help and for a shell's completion.

A summary is the first paragraph of the function's docstring, repeated here so that the help imports no command.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: its function, as ``module:function`` in ``auth_worker.cli``, and its summary."""

    function: str
    summary: str


COMMANDS: dict[str, dict[str, Entry]] = {
    "Work": {
        "demo": Entry(
            "demo:demo",
            "See the whole service at work: broker, mail server, worker, jobs that succeed and fail, "
            "dead letters.",
        ),
        "init": Entry(
            "init:init",
            "Write a small project to DIR: tasks, a worker, tests, settings, a Compose file. "
            "No file is overwritten.",
        ),
        "run": Entry("run:run", "Process the queues of APP, or the e-mail queue, until SIGTERM or Ctrl-C."),
        "add": Entry("add:add", "Add a job to a queue, or many from JSON lines, and print their ids."),
    },
    "Look": {
        "queues": Entry(
            "queues:queues",
            "Show the queues: how many jobs in each state, how long the oldest has waited, how many workers.",
        ),
        "jobs": Entry(
            "jobs:jobs",
            "List the jobs of a queue, in one state or in all: the next to run first, finished ones newest first.",
        ),
        "job": Entry(
            "jobs:job",
            "Show one job: state, times, attempts, worker, options, logs, stack trace, parent and children.",
        ),
        "workers": Entry("workers:workers", "List the workers connected to the queues, including those in Node."),
        "health": Entry(
            "health:health", "Ask a running service for its health; serves as a probe in images without curl."
        ),
        "metrics": Entry(
            "metrics:metrics",
            "Show the metrics of a running service: the jobs it has processed, and the state of its queues.",
        ),
        "doctor": Entry("doctor:doctor", "Check Redis and the queues, and name the remedy for each fault."),
        "dashboard": Entry(
            "dashboard:dashboard", "Serve the dashboard, without a worker, until SIGTERM or Ctrl-C."
        ),
    },
    "Act": {
        "retry": Entry(
            "job_changes:retry",
            "Run failed jobs again, or completed ones (--state completed), with fresh attempts. "
            "Dead letters are removed.",
        ),
        "promote": Entry("job_changes:promote", "Run delayed jobs now."),
        "cancel": Entry(
            "job_changes:cancel",
            "Cancel jobs: those named, or those of a state that match. Waiting jobs fail at once; "
            "running ones stop.",
        ),
        "dead-letter": Entry(
            "job_changes:dead_letter",
            "Move jobs to the dead letters: those named, or those of a state that match. "
            "Running jobs are left alone.",
        ),
        "change": Entry(
            "job_changes:change",
            "Change the priority of a job that has not finished, or the delay of a delayed one.",
        ),
        "remove": Entry(
            "job_changes:remove",
            "Remove jobs: those named, or those of a state that match. A job that is running is not removed.",
        ),
        "pause": Entry(
            "queues:pause", "Pause a queue for all its workers, wherever they run. Jobs that are running finish."
        ),
        "resume": Entry("queues:resume", "Resume a paused queue."),
        "drain": Entry(
            "queues:drain", "Remove all waiting jobs. Running and finished jobs stay, and those of job schedulers."
        ),
        "clean": Entry("queues:clean", "Remove finished jobs by age."),
        "limit": Entry(
            "queue_settings:limit",
            "Limit how many jobs of a queue run at a time, or start in a period, in all workers together.",
        ),
        "dedup": Entry(
            "queue_settings:dedup",
            "Show the job that holds a deduplication id, which keeps other jobs out; or release the id.",
        ),
        "obliterate": Entry(
            "queue_settings:obliterate", "Remove a queue with all its jobs, whatever their state."
        ),
    },
    "Other": {
        "types": Entry(
            "types:types",
            "Write the types of the data and the results of all tasks of APP, for producers in Node or elsewhere.",
        ),
        "version": Entry("app:version", "Show the version."),
    },
}
"""The commands of ``auth-worker`` itself, by their panel in the help."""
DEAD_LETTER_COMMANDS = {
    "Commands": {
        "list": Entry("dead_letters:list_dead_letters", "List dead letters, newest first."),
        "show": Entry(
            "dead_letters:show",
            "Show a dead letter: why its job failed, with stack traces. Its data is shown as a shape, "
            "unless revealed.",
        ),
        "note": Entry("dead_letters:note", "Add a note to a dead letter, such as why it is left there."),
        "redrive": Entry(
            "dead_letters:redrive",
            "Run the jobs of dead letters again, with fresh attempts: those named, those that match, or all.",
        ),
        "purge": Entry(
            "dead_letters:purge",
            "Delete dead letters: those named, those that match, or all. Their jobs stay as they are.",
        ),
    }
}
"""The commands of ``auth-worker dead``."""
SCHEDULER_COMMANDS = {
    "Commands": {
        "list": Entry("schedulers:list_schedulers", "List the job schedulers of a queue, the next one due first."),
        "show": Entry(
            "schedulers:show",
            "Show a job scheduler: when it adds jobs, and which. Only the shape of their data is shown, "
            "unless revealed.",
        ),
        "upsert": Entry(
            "schedulers:upsert",
            "Create a job scheduler, or replace the one with this id.",
        ),
        "run": Entry(
            "schedulers:run", "Add one of a scheduler's jobs now, and print its id. Its schedule does not change."
        ),
        "remove": Entry("schedulers:remove", "Remove a job scheduler and its next job. Its other jobs stay."),
    }
}
"""The commands of ``auth-worker schedulers``."""
ALERT_COMMANDS = {
    "Commands": {
        "list": Entry(
            "alerts:list_alerts",
            "Show the alerts that fire, may fire soon, or have ended within a day, and who was notified.",
        ),
        "test": Entry("alerts:send_test", "Send a test to everybody whom the settings name, and say who took it."),
    }
}
"""The commands of ``auth-worker alerts``."""
CONFIG_COMMANDS = {
    "Commands": {
        "show": Entry(
            "config:show_config",
            "Show each setting, its value and where it is set: in a variable or the file. Secrets are masked.",
        ),
    }
}
"""The commands of ``auth-worker config``."""
