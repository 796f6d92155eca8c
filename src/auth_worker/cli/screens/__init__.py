"""Shows a job, queues and dead letters on the terminal."""
