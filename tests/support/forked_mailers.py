"""A process with an open connection to a mail server forks: ``forked_mailers.py LOOP PORT``."""

from __future__ import annotations

import sys

from support.forking import Child, run
from support.mail_servers import a_mail, plain

LOOP, PORT = sys.argv[1], int(sys.argv[2])


async def main() -> None:
    service = plain(PORT)

    async def send() -> None:
        await service.send(a_mail())
        await service.close()

    await service.send(a_mail())
    children = [Child(lambda: run(send(), LOOP)) for _ in range(3)]
    await service.send(a_mail())
    for child in children:
        child.result()
    await service.send(a_mail())
    await service.close()


if __name__ == "__main__":
    run(main(), LOOP)
