"""The SMTP service against aiosmtpd, and against a server that misbehaves on purpose."""

from __future__ import annotations

import traceback
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from auth_worker.core.redaction import redact
from auth_worker.email import EmailRefusedError, SmtpEmailService
from auth_worker.email.mail_redaction import mask_address, mask_reply
from auth_worker.errors import ConfigurationError, EmailDispatchError, InvalidJobDataError
from support.mail_servers import (
    DROP,
    HANG,
    Mailbox,
    ScriptedServer,
    a_mail,
    authenticate,
    make_certificate,
    plain,
    real_server,
    server_context,
)

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mail() -> EmailMessage:
    return a_mail()


async def test_a_mail_is_sent_encrypted_after_a_login(certificate: tuple[Path, Path], mail: EmailMessage) -> None:
    mailbox = Mailbox()
    async with real_server(
        mailbox,
        tls_context=server_context(certificate),
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    ) as port:
        service = SmtpEmailService(
            "127.0.0.1", port=port, username="worker", password="s3cret", ca_file=certificate[0], timeout=5
        )
        await service.check()
        await service.send(mail)
        await service.close()
    assert mailbox.encrypted == [True]
    assert mailbox.envelopes[0].mail_from == "no-reply@example.org"
    assert mailbox.envelopes[0].rcpt_tos == ["alice@example.com"]
    received = mailbox.messages[0]
    assert received["Message-ID"] == "<0123456789abcdef@example.org>"
    text = received.get_body(("plain",))
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == ".\n.leading dot\nHello, Zoë\n"


async def test_tls_from_the_first_byte_works(certificate: tuple[Path, Path], mail: EmailMessage) -> None:
    mailbox = Mailbox()
    async with real_server(mailbox, implicit_tls=server_context(certificate)) as port:
        service = SmtpEmailService("localhost", port=port, security="tls", ca_file=certificate[0], timeout=5)
        await service.send(mail)
        await service.close()
    assert len(mailbox.envelopes) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_untrusted_certificate_is_refused(
    security: str, certificate: tuple[Path, Path], mail: EmailMessage
) -> None:
    mailbox, context = Mailbox(), server_context(certificate)
    tls = {"implicit_tls": context} if security == "tls" else {"tls_context": context}
    async with real_server(mailbox, **tls) as port:
        service = SmtpEmailService("127.0.0.1", port=port, security=security, timeout=5)  # type: ignore[arg-type]
        with pytest.raises(EmailDispatchError, match="AUTH_WORKER_SMTP_CA_FILE"):
            await service.send(mail)
        await service.close()
    assert mailbox.envelopes == []


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path, mail: EmailMessage) -> None:
    other = make_certificate(tmp_path, "DNS:mail.example.net")
    async with real_server(Mailbox(), tls_context=server_context(other)) as port:
        service = SmtpEmailService("127.0.0.1", port=port, ca_file=other[0], timeout=5)
        with pytest.raises(EmailDispatchError, match="cannot be trusted"):
            await service.send(mail)
        await service.close()


async def test_a_server_whose_starttls_was_stripped_gets_neither_login_nor_mail(mail: EmailMessage) -> None:
    async with ScriptedServer(EHLO="250-mx.test\r\n250 AUTH PLAIN LOGIN") as server:
        service = SmtpEmailService("127.0.0.1", port=server.port, username="worker", password="s3cret", timeout=5)
        with pytest.raises(EmailDispatchError, match="STARTTLS"):
            await service.send(mail)
        await service.close()
    assert {line.split()[0] for line in server.heard} <= {"EHLO", "QUIT"}


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "502 5.5.1 no", "220 go"])
async def test_a_failing_starttls_sends_nothing_in_clear(reply: str, mail: EmailMessage) -> None:
    async with ScriptedServer(EHLO="250-mx.test\r\n250 STARTTLS", STARTTLS=reply) as server:
        service = SmtpEmailService("127.0.0.1", port=server.port, timeout=0.5)
        with pytest.raises(EmailDispatchError):
            await service.send(mail)
        await service.close()
    assert not [line for line in server.heard if line.startswith(("MAIL", "AUTH"))]


async def test_a_wrong_password_keeps_the_jobs_alive_and_names_the_remedy(
    certificate: tuple[Path, Path], mail: EmailMessage
) -> None:
    async with real_server(Mailbox(), tls_context=server_context(certificate), authenticator=authenticate) as port:
        service = SmtpEmailService(
            "127.0.0.1", port=port, username="worker", password="wr0ng", ca_file=certificate[0], timeout=5
        )
        with pytest.raises(EmailDispatchError, match=r"535.*AUTH_WORKER_SMTP_PASSWORD") as caught:
            await service.send(mail)
        with pytest.raises(EmailDispatchError, match="AUTH_WORKER_SMTP_PASSWORD"):
            await service.check()
        await service.close()
    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
    assert "wr0ng" not in repr(service)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
async def test_a_server_that_wants_a_login_first_keeps_the_jobs_alive(mail: EmailMessage) -> None:
    async with real_server(
        Mailbox(), authenticator=authenticate, auth_required=True, auth_require_tls=False
    ) as port:
        service = plain(port)
        with pytest.raises(EmailDispatchError, match=r"530.*AUTH_WORKER_SMTP_USERNAME"):
            await service.send(mail)
        await service.close()


async def test_a_temporary_refusal_is_retried(mail: EmailMessage) -> None:
    for replies in ({"RCPT": "450 4.2.0 greylisted"}, {"DATA": "451 4.3.0 try later"}):
        async with real_server(Mailbox(**replies)) as port:
            service = plain(port)
            with pytest.raises(EmailDispatchError, match=r"45\d 4\."):
                await service.send(mail)
            await service.close()


async def test_an_unknown_recipient_ends_the_job_and_is_not_named_in_full(mail: EmailMessage) -> None:
    mailbox = Mailbox(RCPT="550 5.1.1 <alice@example.com>: user unknown")
    async with real_server(mailbox) as port:
        service = plain(port)
        with pytest.raises(EmailRefusedError, match=r"550 5\.1\.1 .*user unknown") as caught:
            await service.send(mail)
        await service.close()
    report = "".join(traceback.format_exception(caught.value))
    assert caught.value.code == 550
    assert "alice@example.com" not in report
    assert "a***@example.com" in report


@pytest.mark.parametrize("greeting", [DROP, HANG, "554 5.3.2 go away", "nonsense"])
async def test_a_bad_greeting_is_retried(greeting: str, mail: EmailMessage) -> None:
    async with ScriptedServer(GREETING=greeting) as server:
        service = plain(server.port, timeout=0.5)
        with pytest.raises(EmailDispatchError, match=f"127.0.0.1:{server.port}"):
            await service.send(mail)
        with pytest.raises(EmailDispatchError):
            await service.check()
        await service.close()


async def test_a_refused_connection_is_retried(mail: EmailMessage) -> None:
    async with ScriptedServer() as server:
        port = server.port
    service = plain(port)
    with pytest.raises(EmailDispatchError) as caught:
        await service.send(mail)
    assert isinstance(caught.value.cause, OSError)
    assert str(caught.value).startswith(f"Mail server 127.0.0.1:{port} could not be used: ")
    await service.close()


async def test_an_international_mailbox_needs_a_server_with_smtputf8(mail: EmailMessage) -> None:
    del mail["To"]
    mail.policy = policy.SMTPUTF8
    mail["To"] = "jürgen@example.com"
    mailbox = Mailbox()
    async with real_server(mailbox, enable_SMTPUTF8=True) as port, ScriptedServer() as old:
        modern, ancient = plain(port), plain(old.port)
        await modern.send(mail)
        with pytest.raises(EmailRefusedError, match="SMTPUTF8"):
            await ancient.send(mail)
        await modern.close()
        await ancient.close()
    assert mailbox.envelopes[0].rcpt_tos == ["jürgen@example.com"]


@pytest.mark.parametrize("extra", ["To", "Cc", "Bcc"])
async def test_a_second_recipient_is_refused_before_anything_is_sent(extra: str, mail: EmailMessage) -> None:
    if extra == "To":
        del mail["To"]
        mail["To"] = "alice@example.com, eve@example.net"
    else:
        mail[extra] = "eve@example.net"
    async with ScriptedServer() as server:
        service = plain(server.port)
        with pytest.raises(InvalidJobDataError):
            await service.send(mail)
        await service.close()
    assert server.connections == 0


async def test_an_address_no_server_should_see_is_refused_before_anything_is_sent(mail: EmailMessage) -> None:
    del mail["To"]
    mail["To"] = "alice..bob@example.com"
    async with ScriptedServer() as server:
        service = plain(server.port)
        with pytest.raises(InvalidJobDataError, match="valid e-mail address"):
            await service.send(mail)
        await service.close()
    assert server.connections == 0


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="smtp_password"):
        SmtpEmailService("127.0.0.1", username="worker")
    with pytest.raises(ConfigurationError, match="smtp_security"):
        SmtpEmailService("127.0.0.1", security="ssl")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="smtp_ca_file"):
        SmtpEmailService("127.0.0.1", ca_file=tmp_path / "missing.pem")
    (tmp_path / "broken.pem").write_text("not a certificate")
    with pytest.raises(ConfigurationError, match="smtp_ca_file"):
        SmtpEmailService("127.0.0.1", ca_file=tmp_path / "broken.pem")


@pytest.mark.parametrize("address", ['"john doe"@example.com', '"a@b"@example.com', '"a\\\\\\"b"@example.com'])
async def test_a_quoted_local_part_arrives_as_it_is(address: str) -> None:
    mailbox = Mailbox()
    mail = a_mail(to=address)
    async with real_server(mailbox) as port:
        service = plain(port)
        await service.send(mail)
        await service.close()
    assert mailbox.envelopes[0].rcpt_tos == [address]
    assert mailbox.messages[0]["To"].addresses[0].addr_spec == address
    assert mask_address(address).endswith("***@example.com")
    for masked in (mask_reply(f"550 no {address} here"), redact(f"550 no {address} here")):
        assert address[1:-14] not in masked
