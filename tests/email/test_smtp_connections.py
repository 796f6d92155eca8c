"""Connections to the mail server: reused, replaced when stale, never in doubt."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

import pytest

from auth_worker.email import EmailRefusedError
from auth_worker.email.connections import SmtpConnections
from auth_worker.errors import EmailDispatchError
from support.mail_servers import DROP, HANG, ScriptedServer, a_mail, plain

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def mail() -> EmailMessage:
    return a_mail()


async def test_connections_are_reused_and_never_more_than_allowed(mail: EmailMessage) -> None:
    async with ScriptedServer() as server:
        service = plain(server.port, connections=3)
        await asyncio.gather(*(service.send(mail) for _ in range(30)))
        await service.close()
    assert server.mails == 30
    assert server.connections <= 3


async def test_a_refused_mail_does_not_cost_the_connection(mail: EmailMessage) -> None:
    async with ScriptedServer(RCPT=["550 5.1.1 no", "250 ok"]) as server:
        service = plain(server.port)
        with pytest.raises(EmailRefusedError):
            await service.send(mail)
        await service.send(mail)
        await service.close()
    assert (server.connections, server.mails) == (1, 1)
    assert "RSET" in server.heard


async def test_a_connection_the_server_closed_while_idle_is_replaced_unnoticed(mail: EmailMessage) -> None:
    async with ScriptedServer() as server:
        service = plain(server.port)
        await service.send(mail)
        server.drop_all()
        await service.send(mail)
        await service.check()
        await service.close()
    assert (server.connections, server.mails) == (2, 2)


@pytest.mark.parametrize("goodbye", ["421 4.4.2 idle too long", DROP, HANG])
async def test_a_stale_connection_is_tried_once_more_on_a_new_one(goodbye: str, mail: EmailMessage) -> None:
    async with ScriptedServer(MAIL=["250 ok", goodbye, "250 ok"]) as server:
        service = plain(server.port, timeout=0.5)
        await service.send(mail)
        await service.send(mail)
        await service.close()
    assert (server.connections, server.mails) == (2, 2)


async def test_a_server_that_keeps_answering_421_is_not_asked_forever(mail: EmailMessage) -> None:
    async with ScriptedServer(MAIL="421 4.3.2 shutting down") as server:
        service = plain(server.port)
        with pytest.raises(EmailDispatchError, match="421"):
            await service.send(mail)
        await service.close()
    assert server.connections == 1


@pytest.mark.parametrize("end", [DROP, HANG, "nonsense"])
async def test_a_mail_that_may_have_been_accepted_is_not_repeated_at_once(end: str, mail: EmailMessage) -> None:
    async with ScriptedServer(END=["250 ok", end]) as server:
        service = plain(server.port, timeout=0.5)
        await service.send(mail)
        with pytest.raises(EmailDispatchError):
            await service.send(mail)
        await service.close()
    assert server.mails == 2


async def test_a_cancelled_send_leaves_no_half_used_connection(mail: EmailMessage) -> None:
    async with ScriptedServer(RCPT=[HANG, "250 ok"]) as server:
        service = plain(server.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await service.send(mail)
        await service.send(mail)
        await service.close()
    assert (server.connections, server.mails) == (2, 1)


async def test_closing_sends_quit_and_ends_sending(mail: EmailMessage) -> None:
    async with ScriptedServer(QUIT="221 bye") as server:
        service = plain(server.port)
        await service.send(mail)
        await service.close()
        await service.close()
        with pytest.raises(EmailDispatchError, match="closed"):
            await service.send(mail)
    assert server.heard[-1] == "QUIT"


async def test_closing_does_not_wait_for_a_server_that_is_gone(mail: EmailMessage) -> None:
    async with ScriptedServer(QUIT=HANG) as server:
        service = plain(server.port)
        await service.send(mail)
        async with asyncio.timeout(4):
            await service.close()


async def test_a_connection_that_cannot_be_reset_after_a_refusal_is_not_reused(mail: EmailMessage) -> None:
    for broken in (DROP, "500 5.5.1 what?"):
        async with ScriptedServer(RCPT=["550 5.1.1 no", "250 ok"], RSET=broken) as server:
            service = plain(server.port)
            with pytest.raises(EmailRefusedError):
                await service.send(mail)
            await service.send(mail)
            await service.close()
        assert (server.connections, server.mails) == (2, 1)


async def test_a_connection_that_was_idle_for_too_long_is_not_reused(mail: EmailMessage) -> None:
    async with ScriptedServer() as server:
        opened = plain(server.port)
        connections = SmtpConnections(opened._connect, limit=1, max_idle=0)
        for _ in range(2):
            async with connections.borrow() as borrowed:
                assert not borrowed.reused
            await asyncio.sleep(0.01)
        await connections.close()
    assert server.connections == 2


async def test_closing_in_the_middle_of_a_mail_lets_it_finish(mail: EmailMessage) -> None:
    async with ScriptedServer() as server:
        service = plain(server.port)
        sending = asyncio.create_task(service.send(mail))
        await server.hears("MAIL")
        await service.close()
        await sending
    assert server.mails == 1
