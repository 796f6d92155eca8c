"""The outbox: whole files, one per mail, readable only by their owner."""

from __future__ import annotations

import os
import stat
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest

from auth_worker.config import Settings
from auth_worker.email import EmailService, OutboxEmailService, SmtpEmailService, email_service_from
from auth_worker.errors import ConfigurationError, EmailDispatchError, InvalidJobDataError


def a_mail(message_id: str = "<abc123@example.org>", text: str = "Hello, Zoë\n") -> EmailMessage:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["To"], mail["Message-ID"] = "no-reply@example.org", "alice@example.com", message_id
    mail.set_content(text)
    return mail


async def test_a_mail_written_twice_is_one_whole_file(tmp_path: Path) -> None:
    outbox = OutboxEmailService(tmp_path / "state" / "outbox")
    await outbox.send(a_mail(text="first\n"))
    await outbox.send(a_mail(text="second\n"))
    await outbox.send(a_mail("<def456@example.org>"))
    files = {path.name: path for path in outbox.folder.iterdir()}
    assert set(files) == {"abc123.eml", "def456.eml"}
    read = BytesParser(policy=policy.default).parsebytes(files["abc123.eml"].read_bytes())
    assert read.get_content().splitlines() == ["second"]


async def test_mails_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    outbox = OutboxEmailService(tmp_path / "outbox")
    await outbox.check()
    await outbox.send(a_mail())
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((outbox.folder / "abc123.eml").stat().st_mode) == 0o600


@pytest.mark.parametrize("message_id", ["<../../evil@example.org>", "<a/b@example.org>", "<.hidden@x>", ""])
async def test_no_message_id_escapes_the_folder(message_id: str, tmp_path: Path) -> None:
    outbox = OutboxEmailService(tmp_path / "outbox")
    await outbox.send(a_mail(message_id))
    (written,) = (Path(top) / name for top, _, names in os.walk(tmp_path) for name in names)
    assert written.parent == outbox.folder
    assert written.suffix == ".eml"


async def test_a_header_that_cannot_be_encoded_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(InvalidJobDataError):
        await OutboxEmailService(tmp_path / "outbox").send(a_mail("<é@example.org>"))


async def test_a_failed_write_leaves_nothing_behind_and_is_worth_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    outbox = OutboxEmailService(tmp_path / "outbox")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(EmailDispatchError, match=r"No space left.*AUTH_WORKER_OUTBOX_DIR"):
        await outbox.send(a_mail())
    assert list(outbox.folder.iterdir()) == []


async def test_the_check_reports_a_folder_that_cannot_exist(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "outbox"):
        with pytest.raises(EmailDispatchError, match="AUTH_WORKER_OUTBOX_DIR"):
            await OutboxEmailService(folder).check()


async def test_nothing_is_written_after_close(tmp_path: Path) -> None:
    outbox = OutboxEmailService(tmp_path / "outbox")
    await outbox.close()
    with pytest.raises(EmailDispatchError, match="closed"):
        await outbox.send(a_mail())
    assert not outbox.folder.exists()


def test_the_settings_choose_the_service(tmp_path: Path) -> None:
    default = email_service_from(Settings(state_dir=tmp_path))
    assert isinstance(default, OutboxEmailService)
    assert default.folder == tmp_path / "outbox"
    chosen = email_service_from(Settings(outbox_dir=tmp_path / "mails"))
    assert isinstance(chosen, OutboxEmailService)
    assert chosen.folder == tmp_path / "mails"
    smtp = email_service_from(Settings(smtp_host="mx.test", smtp_username="worker", smtp_password="s3cret"))
    assert isinstance(smtp, SmtpEmailService)
    assert repr(smtp) == "<SmtpEmailService mx.test:587 starttls>"
    assert all(isinstance(service, EmailService) for service in (default, smtp))
    with pytest.raises(ConfigurationError, match="smtp_password"):
        email_service_from(Settings(smtp_host="mx.test", smtp_username="worker"))
