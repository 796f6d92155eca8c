"""What is compared: each contender is a program that works on queues, or adds to them, as it is told."""
