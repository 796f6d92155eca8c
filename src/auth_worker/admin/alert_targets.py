"""Whom alerts are sent to: a webhook, Slack, and mailboxes. Errors and names have no secret."""

from __future__ import annotations

import asyncio
import concurrent.futures
import html
import http.client
import json
import uuid
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol
from urllib.error import URLError

from pydantic import SecretStr

from auth_worker.config import Settings
from auth_worker.core.alert_messages import Message
from auth_worker.core.error_text import error_text
from auth_worker.core.redaction import redact
from auth_worker.errors import AuthWorkerError
from auth_worker.system.web_posts import post
from auth_worker.version import __version__

TRIES = 3
TIMEOUT_S = 5.0
"""How long (s) each try may take."""
RETRY_S = 0.5
"""How long (s) to wait before the second try, and twice as long before each further one."""
MAIL_TIMEOUT_S = 20.0
_MAY_PASS = frozenset((408, 425, 429, *range(500, 600)))


class DeliveryError(AuthWorkerError):
    """A target has not taken a message. The text says why, without secrets."""


class Target(Protocol):
    """Somebody who is notified of alerts."""

    @property
    def name(self) -> str:
        """What it is called on pages and in the state of the alerts, without secrets."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Send a message. Returns once it is accepted; raises ``DeliveryError``."""


class WebTarget:
    """A webhook: gets ``payload`` of a message as JSON, and ``token`` as a bearer token, if there is one."""

    def __init__(
        self, name: str, url: SecretStr, payload: Callable[[Message], Any], token: SecretStr | None = None
    ) -> None:
        self.name = name
        self._url = url
        self._payload = payload
        self._headers = {"content-type": "application/json", "user-agent": f"auth-worker/{__version__}"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token.get_secret_value()}"
        self._sending: concurrent.futures.Future[int] | None = None

    async def send(self, message: Message) -> None:
        """As in ``Target``. Tries again after what may pass."""
        body = json.dumps(self._payload(message)).encode()
        for number in range(1, TRIES + 1):
            status, problem = await self._try(body)
            if 200 <= status < 300:
                return
            if status and status not in _MAY_PASS:
                problem = f"it has answered {status}"
            elif number < TRIES:
                await asyncio.sleep(RETRY_S * 2 ** (number - 1))
                continue
            raise DeliveryError(problem or f"it has answered {status}, {TRIES} times")

    async def _try(self, body: bytes) -> tuple[int, str]:
        """Return the status of the answer, or 0 and why there is none."""
        if self._sending is not None and not self._sending.done():
            ended = asyncio.wrap_future(self._sending)
            ended.add_done_callback(asyncio.Future.exception)  # which the earlier try has reported
            await asyncio.wait({ended}, timeout=TIMEOUT_S)
            if not ended.done():
                return 0, "an earlier message still waits for its host to be looked up"
        self._sending = post(self._url.get_secret_value(), body, self._headers, TIMEOUT_S)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._sending)), TIMEOUT_S), ""
        except TimeoutError:
            return 0, f"no answer within {TIMEOUT_S:g} s"
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            return 0, f"no answer: {redact(str(reason) or type(reason).__name__)}"


class MailTarget:
    """A mailbox, over the mail server of ``settings``, else in the outbox. ``name`` masks the address."""

    def __init__(self, name: str, address: str, settings: Settings) -> None:
        self.name = name
        self._address = address
        self._settings = settings

    async def send(self, message: Message) -> None:
        """As in ``Target``."""
        try:
            async with asyncio.timeout(MAIL_TIMEOUT_S):
                await self._send(message)
        except TimeoutError:
            raise DeliveryError(f"the mail server has not taken it within {MAIL_TIMEOUT_S:g} s") from None
        except AuthWorkerError as error:
            raise DeliveryError(redact(error_text(error, own_words=True))) from None

    async def _send(self, message: Message) -> None:
        from auth_worker.email import email_service_from  # only who gets mails needs the extra
        from auth_worker.email.addresses import sender_from
        from auth_worker.email.message import compose
        from auth_worker.email.rendering import RenderedEmail

        sender = sender_from(self._settings.email_from)
        text = f"{message.text}\n\n{message.place}\n"
        content = RenderedEmail(message.subject, f"<pre>{html.escape(text)}</pre>", text)
        message_id = f"<{uuid.uuid4().hex}@{sender.domain}>"
        service = email_service_from(self._settings)
        try:
            mail = compose(
                sender=sender, to=self._address, display_name="", message_id=message_id, content=content
            )
            await service.send(mail)
        finally:
            await service.close()


def targets_of(settings: Settings) -> list[Target]:
    """Return whom the settings name."""
    alerts = settings.alerts
    found: list[Target] = []
    if alerts.webhook_url is not None:
        found.append(WebTarget("webhook", alerts.webhook_url, lambda each: each.payload, alerts.webhook_token))
    if alerts.slack_url is not None:
        found.append(WebTarget("slack", alerts.slack_url, lambda each: each.slack_payload))
    masked = [redact(address) for address in alerts.email_to]
    for number, address in enumerate(alerts.email_to):
        name = masked[number]
        if masked.count(name) > 1:
            name = f"{name} ({masked[: number + 1].count(name)})"
        found.append(MailTarget(name, address, settings))
    return found
