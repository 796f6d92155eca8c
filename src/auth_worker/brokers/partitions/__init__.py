"""A queue with partitions, as one: it implements the ports over the queues that its partitions are."""
