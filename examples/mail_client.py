"""Enqueues tasks of ``mail_tasks`` from a program without an event loop, such as a script or a view in Flask.

Run it: python -m examples.mail_client ada@example.org
"""

import sys
from datetime import date

from examples.mail_tasks import User, count_words, find_factors, welcome

from auth_worker.errors import InvalidJobDataError


def main(to: str) -> None:
    """Enqueue one job of each task, and print their ids."""
    ada = User(name="Ada", born=date(1815, 12, 10))
    try:
        welcomed = welcome.enqueue_sync(to=to, user=ada)
    except InvalidJobDataError as error:
        raise SystemExit(f"not enqueued: {error}") from None
    counted = count_words.options(priority=1).enqueue_sync("the quick brown fox")
    factored = find_factors.enqueue_sync(number=600851475143)
    print(welcomed.id, counted.id, factored.id)


if __name__ == "__main__":
    main(sys.argv[1])
