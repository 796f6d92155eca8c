"""Explains why a server refuses a connection, and names the remedy."""

from __future__ import annotations

import ssl

from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError

_BY_REFUSAL = {
    "WRONGPASS": "check user and password in the URL (percent-encode special characters), and that the user is on",
    "NOAUTH": "it requires a password: redis://user:password@host, or redis://:password@host for the default user",
    "NOPERM": "give the user what `auth-worker doctor --acl` prints",
    "LOADING": "it is loading its data after a start: wait longer (startup_timeout)",
    "ERR AUTH": "it has no password: remove the one in the URL, or set one on the server (requirepass)",
    "ERR DB index": "use another database, such as 0: the server's setting `databases` is their number",
    "ERR SELECT": "a cluster has database 0 only",
    "ERR max number of clients": "raise its maxclients, or run fewer workers",
}
_KINDS: dict[str, type[BrokerError]] = {"ERR max number of clients": BrokerBusyError, "NOAUTH": BrokerError}
_STALE_LOGIN = (
    "the credential_provider gives what the server does not accept: check the user it names, and that its token "
    "is for this server and still valid"
)
CLIENT_CERTIFICATE = "does the server want a client certificate (ssl_certfile, ssl_keyfile)?"


def with_remedy(error: BrokerError, *, tls: bool, answered: bool, provided: bool = False) -> BrokerError:
    """Return the error with its remedy, if one is known.

    ``tls`` is whether we use TLS, ``answered`` whether the server has answered anything before, ``provided``
    whether a credential_provider supplied the credentials, which may differ the next time.
    """
    if isinstance(error.__cause__, ssl.SSLError):
        return tls_error(error.__cause__)
    if isinstance(error, BrokerUnavailableError) and not answered:
        question = CLIENT_CERTIFICATE if tls else "is that Redis? If the port speaks TLS, use rediss://"
        return type(error)(f"{error}; {question}", error.code)
    refusal = str(error).removeprefix("Redis refused: ")
    if provided and error.code in ("WRONGPASS", "NOAUTH"):
        return BrokerBusyError(f"{str(error).rstrip('.')}; {_STALE_LOGIN}", error.code)
    for beginning, remedy in _BY_REFUSAL.items():
        if refusal.startswith(beginning):
            kind = _KINDS.get(beginning, type(error))
            return kind(f"{str(error).rstrip('.')}; {remedy}", error.code)
    return error


def connect_error(error: Exception, *, tls: bool) -> BrokerError:
    """Return what an attempt to connect, with or without ``tls``, failed with as one of our own errors."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, TimeoutError):
        return no_answer(tls=tls)
    return BrokerUnavailableError(str(error) or type(error).__name__)


def no_answer(*, tls: bool) -> BrokerUnavailableError:
    """Build the error for a server that does not answer at all."""
    question = (
        "does that port speak TLS? If not, use redis://"
        if tls
        else "is that Redis, and does no firewall block it?"
    )
    return BrokerUnavailableError(f"no answer; {question}")


def tls_error(error: ssl.SSLError) -> BrokerError:
    """Build the error for failed TLS. It is usually about the server's or client's certificate, and permanent."""
    reason = (getattr(error, "reason", "") or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLEOFError):  # as from a TLS proxy whose Redis is down
        return BrokerUnavailableError(f"TLS failed: {reason}", "TLS")
    if not isinstance(error, ssl.SSLCertVerificationError):
        question = CLIENT_CERTIFICATE if "alert" in reason else "does that port speak TLS? If not, use redis://"
        return BrokerError(f"TLS failed: {reason}; {question}", "TLS")
    why = error.verify_message.rstrip(".") or str(error)
    if "mismatch" in why or "not valid for" in why:
        return BrokerError(
            f"the certificate of Redis is for another host: {why}; connect by a name in it, or issue one "
            "for this name (subjectAltName)",
            "TLS",
        )
    return BrokerError(
        f"the certificate of Redis cannot be trusted: {why}; name the authority that signed it: "
        "?ssl_ca_certs=/path/ca.pem",
        "TLS",
    )
