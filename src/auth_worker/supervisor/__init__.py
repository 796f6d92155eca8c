"""Several service processes under one parent: ``auth-worker run --processes N`` and ``--reload``.

The parent does not import the application. It starts the children, restarts those that die, passes signals on, and
opens the one HTTP port, which answers for all of them.
"""
