"""A process on the embedded broker forks, and ends before its child: ``forked_embedded.py STATE_DIR``.

It prints the id its child has added once the parent had disconnected.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from auth_worker.config import Settings
from auth_worker.queue import JobQueue
from support.forking import Child, run


async def main() -> None:
    queue = JobQueue("work", settings=Settings(state_dir=Path(sys.argv[1]), http_port=None))
    ids = [await queue.add("send", 1)]

    async def twice() -> list[str]:
        added = [await queue.add("send", 2)]
        await queue.close()  # the parent's share stays
        return [*added, await queue.add("send", 3)]

    ids += Child(lambda: run(twice())).result()
    ids.append(await queue.add("send", 4))
    last = Child(lambda: run(twice()))
    await queue.close()
    print(json.dumps(ids + last.result()))


if __name__ == "__main__":
    run(main())
