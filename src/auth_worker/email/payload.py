"""Validates the data of an e-mail job, one model per type. Errors name the field and never quote a value."""

from __future__ import annotations

import abc
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from auth_worker.config import EmailJobType
from auth_worker.email.addresses import recipient_address, refuse_unsendable
from auth_worker.email.rendering import EmailKind, language_of

_LONGEST_LINK = 2048
_LINK_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+")
"""The ASCII of RFC 3986: no space, quote, angle bracket, backslash, caret, backtick, brace or bar."""
_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 -]{1,30}[A-Za-z0-9])")


def safe_link(value: str) -> str:
    """Return a link in ASCII to https, or to http on this machine. Raises ``ValueError`` for any other."""
    if len(value) > _LONGEST_LINK:
        raise ValueError(f"must have at most {_LONGEST_LINK} characters")
    if not _LINK_CHARACTERS.fullmatch(value):
        raise ValueError("must be a percent-encoded ASCII link")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a valid link") from None
    if not host or "@" in parts.netloc:
        raise ValueError("must be a link with a host and without user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must be an https link (http only to this machine)")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _locale(value: str) -> str:
    language_of(value)
    return value


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise ValueError("must be 3 to 32 ASCII letters or digits")
    return value


def _moment(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float | datetime):
        raise ValueError("must be an ISO 8601 time or epoch milliseconds")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Link = Annotated[str, AfterValidator(safe_link)]


class EmailJobData(BaseModel, abc.ABC):
    """The data that every e-mail job has. Unknown keys are ignored, since producers may send more."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True)
    kind: ClassVar[EmailKind]

    email: Annotated[str, AfterValidator(recipient_address)] = Field(repr=False)
    name: Annotated[str, Field(max_length=200), AfterValidator(refuse_unsendable)] | None = Field(
        default=None, repr=False
    )
    locale: Annotated[str, AfterValidator(_locale)] | None = None
    expires_in_minutes: Annotated[float, Field(strict=True, gt=0, le=525_600, allow_inf_nan=False)] | None = None
    expires_at: Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_utc)] | None = None

    @property
    @abc.abstractmethod
    def secret(self) -> str:
        """The secret of the mail: the link, or the code."""

    def expiry(self, produced_at: datetime) -> datetime | None:
        """Return when the link or code expires: at ``expires_at``, or some minutes after ``produced_at``."""
        if self.expires_at is not None or self.expires_in_minutes is None:
            return self.expires_at
        return produced_at + timedelta(minutes=self.expires_in_minutes)


class VerificationData(EmailJobData):
    """The data of ``sendVerificationEmail``."""

    kind = EmailKind.VERIFICATION
    name: Annotated[str, Field(max_length=200), AfterValidator(refuse_unsendable)] = Field(repr=False)
    verification_link: Link = Field(repr=False)

    @property
    def secret(self) -> str:
        """The link."""
        return self.verification_link


class PasswordResetData(EmailJobData):
    """The data of ``sendPasswordResetEmail``."""

    kind = EmailKind.PASSWORD_RESET
    name: Annotated[str, Field(max_length=200), AfterValidator(refuse_unsendable)] = Field(repr=False)
    reset_link: Link = Field(repr=False)

    @property
    def secret(self) -> str:
        """The link."""
        return self.reset_link


class MagicLinkData(EmailJobData):
    """The data of ``sendMagicLinkEmail``."""

    kind = EmailKind.MAGIC_LINK
    magic_link: Link = Field(repr=False)

    @property
    def secret(self) -> str:
        """The link."""
        return self.magic_link


class OneTimeCodeData(EmailJobData):
    """The data of ``sendOneTimeCodeEmail``."""

    kind = EmailKind.ONE_TIME_CODE
    code: Annotated[str, AfterValidator(_code)] = Field(repr=False)

    @property
    def secret(self) -> str:
        """The code."""
        return self.code


EMAIL_JOB_DATA: dict[EmailJobType, type[EmailJobData]] = {
    EmailJobType.SEND_VERIFICATION_EMAIL: VerificationData,
    EmailJobType.SEND_PASSWORD_RESET_EMAIL: PasswordResetData,
    EmailJobType.SEND_MAGIC_LINK_EMAIL: MagicLinkData,
    EmailJobType.SEND_ONE_TIME_CODE_EMAIL: OneTimeCodeData,
}
