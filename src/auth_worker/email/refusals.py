"""Classifies a mail server's refusal, in one table: as about the connection, us, the recipient or the message.

The first rule that matches decides. Sources: RFC 5321 (reply codes), RFC 3463 (X.Y.Z status codes), RFC 4954
(login), RFC 7372 (SPF, DKIM, DMARC), and what Postfix, Exim, Gmail, Exchange Online and Amazon SES write.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """The SMTP command that was refused."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"


class Subject(StrEnum):
    """What a refusal is about. Only the last two are the mail's own fault."""

    CONNECTION = "connection"
    """The connection: a new one may help."""
    ACCOUNT = "account"
    """Our login, sender, quota, domain or network, which the operator can fix."""
    RECIPIENT = "recipient"
    MESSAGE = "message"


class Rule(NamedTuple):
    """Matches a refusal by all that is given. ``status`` and ``text`` are searched case-insensitively."""

    subject: Subject
    codes: frozenset[int] = frozenset()
    status: str = ""
    text: str = ""
    stages: frozenset[Stage] = frozenset(Stage)

    def fits(self, stage: Stage, code: int, status: str, text: str) -> bool:
        """Whether the rule matches this refusal."""
        return (
            stage in self.stages
            and (not self.codes or code in self.codes)
            and (not self.status or re.fullmatch(self.status, status) is not None)
            and (not self.text or re.search(self.text, text, re.IGNORECASE) is not None)
        )


RULES: tuple[Rule, ...] = (
    # RFC 5321, 3.8 and 4.2.2: the service closes the channel; bad sequence of commands.
    Rule(Subject.CONNECTION, codes=frozenset((421, 503))),
    # RFC 4954, 6 and RFC 3207, 4: the login or the encryption was lost since the connection was opened.
    Rule(Subject.CONNECTION, codes=frozenset((454, 530))),
    # RFC 3463, 3.5: bad connection; Postfix, Exim and Exchange limit the mails of one connection.
    Rule(Subject.CONNECTION, status=r"[45]\.4\.2"),
    Rule(
        Subject.CONNECTION,
        text=r"too many (?:messages|e?-?mails|transactions|commands|errors|recipients|invalid \w+)\b.{0,40}"
        r"\b(?:connection|session)|(?:per|for this|in one|in this) (?:smtp )?(?:connection|session)|"
        r"\b(?:session|connection)\b.{0,20}\b(?:expired|timed? ?-?out|idle|limit)|\bidle\b.{0,20}\btime",
    ),
    # RFC 5321, 4.2.2 and RFC 4954, 6: an unknown command; a login that is refused, too weak or required.
    Rule(Subject.ACCOUNT, codes=frozenset((500, 502, 504, 534, 535, 538))),
    # RFC 3463, 3.2: this mailbox does not exist, has moved, is disabled or full.
    Rule(Subject.RECIPIENT, status=r"5\.1\.(?:[1-6]|10)|5\.2\.[12]"),
    # RFC 3463, 3.4 and 3.7: too big, unsupported content; RFC 5321: 552 exceeds the storage.
    Rule(Subject.MESSAGE, status=r"5\.3\.4|5\.6\.\d+"),
    Rule(Subject.MESSAGE, codes=frozenset((552,)), stages=frozenset((Stage.MAIL, Stage.DATA))),
    # RFC 3463, 3.2 and 3.5: our address or its domain; congestion, Gmail's quota of a sender (5.4.5); Microsoft's
    # 5.1.90 and 5.7.705 (daily limit), 5.7.60 (send as), 5.7.5xx and 5.7.7xx (sender or tenant blocked).
    Rule(
        Subject.ACCOUNT,
        status=r"5\.1\.(?:[789]|90)|5\.2\.252|5\.3\.[25]|5\.4\.5|5\.5\.[124]|"
        r"5\.7\.(?:[4-9]|1[0-9]|2[0-9]|[356]\d|5\d\d|7\d\d)",
        stages=frozenset((Stage.RCPT, Stage.DATA)),
    ),
    # The same in words: a full mailbox, before what it has in common with a quota of ours.
    Rule(
        Subject.RECIPIENT,
        text=r"\b(?:mailbox|inbox)\b.{0,40}\b(?:full|quota)\b|\brecipient'?s (?:account|mailbox|inbox)\b",
        stages=frozenset((Stage.RCPT, Stage.DATA)),
    ),
    # Quotas, suspended accounts, unverified senders, relaying, reputation.
    Rule(
        Subject.ACCOUNT,
        text=r"\brelay(?:ing)?\b|authenticat|\blog ?in\b|credential|client host|black ?list|block ?list|"
        r"deny ?list|blocked using|"
        r"\b(?:sending|send|daily|hourly|monthly|message|rate) (?:\w+ )?(?:limits?|quota|rate)\b|"
        r"(?:quota|limit|rate) (?:is |was |has been )?(?:exceeded|reached)|exceeded .{0,40}(?:limit|quota|rate)|"
        r"too many (?:messages|e?-?mails|connections)|"
        r"\b(?:e?-?mails|messages|recipients) (?:\w+ ){0,4}per (?:minute|hour|day|month)|"
        r"\bsubscription\b.{0,20}\bexpired|payment required|(?:no|out of|insufficient|maximum) (?:\w+ )?credits?|"
        r"account\b.{0,40}\b(?:suspended|disabled|blocked|locked)|"
        r"\b(?:suspended|paused|disabled) .{0,20}account|\bsender\b|sendasdenied|send (?:as|mail from|on behalf)|"
        r"not (?:allowed|authori[sz]ed|permitted) to (?:send|use)|not verified|unverified|\bspf\b|\bdkim\b|"
        r"\bdmarc\b|reverse dns|\bptr\b|reputation|\bhelo\b|\behlo\b|"
        r"\byour (?:account|ip|domain|server|host|network)\b",
    ),
    # A refusal in other words: by its command.
    Rule(Subject.ACCOUNT, stages=frozenset((Stage.MAIL,))),
    Rule(Subject.RECIPIENT, stages=frozenset((Stage.RCPT,))),
    Rule(Subject.MESSAGE),
)
_STATUS = re.compile(r"\s*(\d\.\d{1,3}\.\d{1,3})\b")


def subject_of(stage: Stage, code: int, text: str) -> Subject:
    """Return what a negative reply with this ``code`` and ``text`` to the command of ``stage`` is about."""
    found = _STATUS.match(text)
    status = found[1] if found else ""
    return next(rule.subject for rule in RULES if rule.fits(stage, code, status, text[:1000]))
