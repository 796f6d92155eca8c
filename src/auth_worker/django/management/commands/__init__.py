"""The management command, as Django finds it."""
