"""Several service processes under one parent: ``auth-worker run --processes N`` and ``--reload``.

The parent imports nothing of the application. It starts the children, starts anew those that die, passes signals
on, and opens the one HTTP port, which speaks for all of them.
"""
