"""What the operating system and the event loops give: forks, signals, loops, connecting by host name."""
