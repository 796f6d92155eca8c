"""Values and decisions without I/O: a job's options, its outcome, its dead letter, reports, names, JSON."""
