"""``python -m auth_worker``: the command line."""

from auth_worker.cli import main

if __name__ == "__main__":
    main()
