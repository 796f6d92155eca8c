"""How the commands show a job, queues and dead letters."""
