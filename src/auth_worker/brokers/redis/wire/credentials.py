"""Provides the credentials for AUTH: fixed ones, or those of redis-py's ``CredentialProvider``."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.credentials import CredentialProvider

from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.system.daemon_threads import call_in_daemon_thread
from auth_worker.system.forks import reset_in_child

Login = tuple[str, ...]
"""The arguments of AUTH: user and password, a password alone, or nothing. Not for logs."""
PROVIDER_TIMEOUT = 5.0
"""How long (s) a provider may take."""
HOME_TIMEOUT = 1.0
"""How long (s) the provider's event loop may take before the previous credentials are tried."""
_NOBODY: Any = object()


class CredentialSource:
    """Gets credentials from a provider. All connections of an address share one. Thread-safe.

    A plain ``get_credentials`` is called in a thread of its own, which delays neither a loop nor the exit of the
    process. ``get_credentials_async`` runs in the loop that asked first, as long as it runs, since the provider's
    sessions and locks may be bound to it.
    """

    def __init__(self, provider: Any) -> None:
        own = getattr(type(provider), "get_credentials_async", None)
        self._is_async = own is not None and own is not CredentialProvider.get_credentials_async
        if not self._is_async and not callable(getattr(provider, "get_credentials", None)):
            raise ConfigurationError(
                "redis_connection: credential_provider must have get_credentials() or get_credentials_async(), as "
                f"redis.CredentialProvider has; {type(provider).__name__} has neither"
            )
        self._provider = provider
        self._last: Login = ()
        self._asked = float("-inf")
        self.after_fork()
        reset_in_child(self)

    @property
    def identity(self) -> int:
        """The identity of the provider, as long as this lives."""
        return id(self._provider)

    def after_fork(self) -> None:
        """Forget the loop and the thread in a forked child, where they do not exist."""
        self._lock = threading.Lock()
        self._home: asyncio.AbstractEventLoop | None = None
        self._answer: concurrent.futures.Future[Any] | None = None

    async def get(self, max_age: float = 0.0) -> Login:
        """Return the provider's credentials, or those it returned less than ``max_age`` s ago.

        Raises ``BrokerUnavailableError``, which quotes neither the credentials nor the provider's error.
        """
        if time.monotonic() - self._asked < max_age:
            return self._last
        try:
            async with asyncio.timeout(PROVIDER_TIMEOUT):
                given = await (self._ask_async() if self._is_async else self._ask_in_thread())
        except TimeoutError:
            given = TimeoutError()
        if isinstance(given, TimeoutError):
            raise self.silence() from None
        if isinstance(given, BaseException):
            raise BrokerUnavailableError(
                f"the credential_provider ({type(self._provider).__name__}) raised {type(given).__name__}; check "
                "that it can get credentials on this host"
            ) from None
        self._last = self._login_of(given)
        self._asked = time.monotonic()
        return self._last

    def silence(self) -> BrokerUnavailableError:
        """Build the error for a provider that does not answer."""
        return BrokerUnavailableError(
            f"the credential_provider ({type(self._provider).__name__}) gave no credentials within "
            f"{PROVIDER_TIMEOUT:g} s; check that it can reach their source"
        )

    async def _ask_in_thread(self) -> Any:
        """Make one call at a time, so that a provider that hangs blocks only one thread."""
        with self._lock:
            if self._answer is None or self._answer.done():
                call = partial(_given_by, self._provider.get_credentials)
                self._answer = call_in_daemon_thread(call, "credentials")
            answer = self._answer
        return await asyncio.shield(asyncio.wrap_future(answer))

    async def _ask_async(self) -> Any:
        """Call the provider in its home loop, or in the running one if that has ended, even meanwhile."""
        here = asyncio.get_running_loop()
        while (home := self._home_or(here)) is not here:
            answer = await self._ask_in(home)
            if answer is not _NOBODY:
                return answer
        return await self._call()

    def _home_or(self, here: asyncio.AbstractEventLoop, gone: asyncio.AbstractEventLoop | None = None) -> Any:
        with self._lock:
            if self._home is None or self._home is gone or not self._home.is_running():
                self._home = here
            return self._home

    async def _ask_in(self, home: asyncio.AbstractEventLoop) -> Any:
        """Return the provider's answer from ``home``, or ``_NOBODY`` if that loop ends first."""
        here = asyncio.get_running_loop()
        call = self._call()
        try:
            answer = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, home))
        except RuntimeError:  # it was closed since the check
            call.close()
            return _NOBODY
        while not answer.done():
            await asyncio.wait({answer}, timeout=HOME_TIMEOUT)
            if answer.done():
                break
            if not home.is_running():  # it has ended, and will never run our call
                if inspect.getcoroutinestate(call) == inspect.CORO_CREATED:
                    call.close()
                return _NOBODY
            if self._last:  # a job may block that loop, but the watch loop must connect
                answer.cancel()
                return self._last
        if answer.cancelled():  # by the loop's shutdown
            self._home_or(here, gone=home)
            return _NOBODY
        return answer.result()

    async def _call(self) -> Any:
        try:
            return await self._provider.get_credentials_async()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return error  # the provider's own error
        except Exception as error:
            return error

    def _login_of(self, given: Any) -> Login:
        with contextlib.suppress(TypeError, ValueError):
            login = tuple(part.decode() if isinstance(part, bytes) else part for part in given)
            if not isinstance(given, str | bytes) and all(isinstance(part, str) for part in login):
                if len(login) == 2 and login[1]:
                    return login if login[0] else login[1:]
                if len(login) == 1 and login[0]:
                    return login
        raise BrokerUnavailableError(
            f"the credential_provider ({type(self._provider).__name__}) gave {type(given).__name__} where (user, "
            "password) or (password,) was expected, of texts that are not empty"
        )


def _given_by(get_credentials: Callable[[], Any]) -> Any:
    """Return what a provider gives, or what it raises."""
    try:
        return get_credentials()
    except BaseException as error:
        return error
