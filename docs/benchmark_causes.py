"""Why targets of the benchmark are missed, for its page."""

from __future__ import annotations

REDIS_IS_BUSY = (
    "Redis is the limit: it is at work 94 to 100 % of the time, and no worker can be faster than that. With "
    "Node's worker it is at work 84 to 94 % of the time. A job costs it 0.72 to 0.8 of what it costs with Node's; "
    "what is left is nearly all BullMQ's own script, which both run."
)
WAKE_UPS = (
    "One command at a time, each side sleeps until the other one wakes it. A bare socket that sends the same "
    "commands is the most that can be reached, and reaches {} here; on a machine that wakes up faster, the "
    "part that is ours counts for more."
)
MEMORY = (
    "Of the 63 MB of a service that is installed with its command line and HTTP port alone, Python with "
    "asyncio takes 19, redis-py 12, pydantic 8, the modules of auth-worker 9, HTTP server, metrics and logging "
    "12. The benchmark runs where all extras are installed, which redis-py and uvicorn import too: 9 MB more."
)
LARGE_DATA = (
    "The worker's one thread is at work all the time, and a job takes it no more CPU than Node: reading the "
    "socket, and parsing. Node collects its garbage in further threads, so that it uses 1.2 to 1.3 cores."
)
GROWTH = (
    "Most likely caches: [see below](#why-a-job-costs-redis-more-when-a-million-wait). Valkey, whose cost rises "
    "more, runs the same scripts."
)
PROFILE = (
    "31 us a job here, 48 in Node. Timed stage by stage (look for the reply, read it, start the job, settle it), "
    "no stage of ours stands out."
)
CAUSES = {
    "concurrency 1, against Node": WAKE_UPS.format("1.38 times Node"),
    "concurrency 10, against Node": REDIS_IS_BUSY,
    "concurrency 50, against Node": REDIS_IS_BUSY,
    "concurrency 200, against Node": REDIS_IS_BUSY,
    "typed task, worker CPU a job, against a consumer": (
        "2.6 us a job: pydantic validates the arguments and makes a model of one of them. A consumer that did "
        "so itself would take as long."
    ),
    "jobs that await 10 ms, against Node": ("Both are near what the waiting alone allows."),
    "100 threads that sleep 10 ms, of ideal": (
        "10,000 jobs a second would be ideal, and the service takes 0.12 ms of CPU for each: a thread is woken "
        "up twice a job, and takes the interpreter's lock from the event loop. With Redis that is 1.3 cores at "
        "7,400 a second."
    ),
    "2 processes that sleep 10 ms, of ideal": (
        "A process stands still for some 0.4 ms a job, since it is woken up, reads the job and sends its "
        "result with caches that have gone cold, and the service is woken up to send the next one."
    ),
    "2 processes, no-op, CPU of all of them, us a job": (
        "A message to another process and back takes 75 us of CPU here, most of it to fall asleep and wake up, "
        "and fetching and settling one job at a time takes as much as in `noop-1`. To send a process its next "
        "job before it is done with the last would save the sleep; it is not done, as such a job could not be "
        "taken back."
    ),
    "2 processes, from the start to the first job, s": (
        "The command and then the process start Python and import the program, one after the other: 0.4 s each."
    ),
    "1 ms of Python a job, --processes 2 against 1": (
        "The two processes share two cores with Redis, which needs a tenth of one."
    ),
    "16 KB of data, against Node": LARGE_DATA,
    "256 KB of data, against Node": LARGE_DATA,
    "add, one after another, against Node": WAKE_UPS.format("1.18 times Node"),
    "add in bulk, against Node": (
        "The producer is at work for half of the time, and Redis for two thirds: for the most part they take "
        "turns."
    ),
    "add in bulk, Redis CPU, us a job": (
        "BullMQ's script adds them one by one. Node's producer, with the same script, costs Redis a quarter "
        "more: the machine is slow, the figure on a faster one is 9 us."
    ),
    "add to start, p50, against Node": WAKE_UPS.format("0.74 times Node's"),
    "add to start, p99, against Node": WAKE_UPS.format("0.6 times Node's"),
    "worker CPU a job, concurrency 50, against Node": PROFILE,
    "memory, idle, MB": MEMORY,
    "memory after concurrency 200, MB": MEMORY,
    "Redis CPU, concurrency 50, us a job": (
        "Nearly all of it is BullMQ's script for the end of a job, which fetches the next one: some twenty "
        "commands and what Lua needs for them. With Node's worker a job costs 1.29 times as much on the same "
        "machine, and on a faster one 24.6 us."
    ),
    "cost a job, 10^6 waiting against 10^3": GROWTH,
    "server's CPU a job, 10^6 waiting against 10^3": GROWTH,
    "cost a job, 200 queues against 1": ("One job at a time in each queue: fewer commands go out together."),
    "import auth_worker.queue, s": (
        "pydantic, which checks the options of jobs, takes two fifths of it, the modules of auth-worker a fifth."
    ),
}
"""By target. Figures are those of the run whose results are beside this file."""
