"""Keeps a connection to Redis: connects, logs in, loads the scripts, monitors it, and reconnects.

While it is down, every call fails at once with ``BrokerUnavailableError``. A caller that needs the reply waits
with ``wait_up`` and decides itself whether to send again. Reconnecting is tried after 50 ms, then less often, up
to every second, with jitter, so that a thousand workers do not reconnect at the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from auth_worker.brokers.redis.scripts.loader import Script
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.call_types import Call, OnReply
from auth_worker.brokers.redis.wire.connect_errors import connect_error, no_answer
from auth_worker.brokers.redis.wire.credentials import Login
from auth_worker.brokers.redis.wire.dialing import dial, greeting, keep_logged_in, log_in, refuse_replica
from auth_worker.brokers.redis.wire.pipeline import AT_ONCE, Connection
from auth_worker.brokers.redis.wire.resp import ELSEWHERE_CODES, client_name_of, pack
from auth_worker.core.error_text import error_text
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError
from auth_worker.events import BrokerChanged
from auth_worker.system.loops import discard_task

CONNECT_TIMEOUT = 5.0
SILENCE_LIMIT = 6.0
FIRST_RETRY, LONGEST_RETRY = 0.05, 1.0
TRANSIENT_ERRORS = (BrokerUnavailableError, BrokerBusyError)
"""Errors after which it is worth to try again: the server may be back, or able to, in a moment."""


class Link:
    """A connection that is kept open, in the event loop that started it. Once stopped, another loop may start it.

    ``silence_limit`` (s): the connection is closed if commands wait and no reply arrives for this long; for
    blocking commands it must include the blocking time. ``writes`` refuses a replica, and a primary that has
    become one. ``at_once`` is how many commands are written together, and how many replies are delivered.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        client_name: str = "",
        scripts: Iterable[Script] = (),
        on_change: Callable[[BrokerChanged], None] = lambda event: None,
        silence_limit: float = SILENCE_LIMIT,
        writes: bool = True,
        at_once: int = AT_ONCE,
    ) -> None:
        self.address = address
        self.name = name
        self.client_name = client_name_of(client_name)
        self.client_id = 0
        self.place: tuple[str, int] | None = None
        """The host and port of the current or last connection. None for a unix socket."""
        self.last_error: BrokerError | None = None
        self._scripts = tuple(scripts)
        self._on_change = on_change
        self._silence_limit = silence_limit
        self._writes = writes
        self._leave_at = ELSEWHERE_CODES if writes else ELSEWHERE_CODES - {"READONLY"}
        self._at_once = at_once
        self._connection: Connection | None = None
        """None while no commands can be sent; ``is_up`` tells."""
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._down_since = time.monotonic()
        self._was_up = False
        self._asking = False
        """Whether the link waits for the credential_provider."""

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent now."""
        return self._connection is not None

    @property
    def waiting(self) -> int:
        """The number of pending replies."""
        return 0 if self._connection is None else self._connection.waiting

    @property
    def down_s(self) -> float:
        """How long (s) there has been no connection; 0 while there is one."""
        return 0.0 if self.is_up else time.monotonic() - self._down_since

    def why_down(self) -> BrokerError:
        """Return why the last attempt to connect failed, or what the current one waits for."""
        if self.last_error is not None:
            return self.last_error
        if self._asking and self.address.credentials is not None:
            return self.address.credentials.silence()
        return no_answer(tls=self.address.tls is not None)

    def begin(self) -> asyncio.Task[None]:
        """Connect as soon as that is possible, and stay connected. The task ends only if that is hopeless."""
        self._up, self._broken = asyncio.Event(), asyncio.Event()
        self._keeping = asyncio.create_task(self._keep_connected(), name=f"link {self.name}")
        return self._keeping

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected.

        Raises ``BrokerError`` if no connection was made within ``timeout`` s, which stops the link. A wrong
        password or an unknown database is reported at once.
        """
        keeping = self.begin()
        up = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({up, keeping}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop()
            raise
        finally:
            up.cancel()
        if not self.is_up:
            error = self.why_down()
            await self.stop()
            waited = f" within {timeout:g} s" if isinstance(error, TRANSIENT_ERRORS) else ""
            raise type(error)(f"cannot connect to {self.address}{waited}: {error}", error.code)

    async def stop(self) -> None:
        """Close the connection, and do not reconnect."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        self._up.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close("the link was stopped")
            await asyncio.sleep(0)  # the socket is closed in the next iteration of the loop

    def discard(self) -> None:
        """Release everything without the event loop, which is closed or belongs to the parent process."""
        for task in (self._keeping, *self._watching):
            discard_task(task)
        if self._connection is not None:
            self._connection.discard()

    def leave_unless_at(self, place: tuple[str, int] | None) -> None:
        """Reconnect if connected elsewhere: another link has found the server at ``place``."""
        if self._connection is not None and self.place != place:
            self._connection.close("the primary is another server now")

    async def wait_up(self) -> None:
        """Wait until there is a connection."""
        await self._up.wait()

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Send a packed command. ``on_reply`` is called with its reply or the ``BrokerError``."""
        self.send_call((None, command), on_reply)

    def send_call(self, call: Call, on_reply: OnReply) -> None:
        """Send a call. ``on_reply`` is called with its reply or the ``BrokerError``."""
        if self._connection is None:
            asyncio.get_running_loop().call_soon(on_reply, self._down_error())
        else:
            self._connection.send_call(call, on_reply)

    def send_transaction(self, commands: list[bytes], on_reply: OnReply) -> None:
        """Send packed commands as one MULTI/EXEC. ``on_reply`` is called with the list of replies or the error."""
        if self._connection is None:
            asyncio.get_running_loop().call_soon(on_reply, self._down_error())
        else:
            self._connection.send_transaction(commands, on_reply)

    async def execute(self, *args: str | int | float | bytes) -> Any:
        """Send one command and wait for its reply. Raises ``BrokerError``."""
        if self._connection is None:
            raise self._down_error()
        return await self._connection.request(pack(*args))

    async def call(self, script: Script, keys: list[Any], args: list[Any]) -> Any:
        """Run a script, loading it first if Redis has forgotten it. Raises ``BrokerError``."""
        call = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return await self.execute(*call)
        except BrokerError as error:
            if error.code != "NOSCRIPT":
                raise
        await self.execute("SCRIPT", "LOAD", script.text)
        return await self.execute(*call)

    async def load_scripts(self) -> None:
        """Load every script of this link again, as after SCRIPT FLUSH. Raises ``BrokerError``."""
        for script in self._scripts:
            await self.execute("SCRIPT", "LOAD", script.text)

    def _down_error(self) -> BrokerUnavailableError:
        return BrokerUnavailableError(f"no connection to {self.address}: {self.last_error or 'not connected'}")

    async def _keep_connected(self) -> None:
        delay = FIRST_RETRY
        while True:
            self._broken.clear()
            try:
                login = await self._login()
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    connection = await self._connect(login)
            except (OSError, BrokerError, ValueError, TimeoutError) as error:
                self.last_error = connect_error(error, tls=self.address.tls is not None)
                if isinstance(self.last_error, TRANSIENT_ERRORS) or self._was_up:
                    await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                    delay = min(delay * 2, LONGEST_RETRY)
                    continue
                return
            delay = FIRST_RETRY
            self._mark_up(connection)
            self._watching = [asyncio.create_task(self._watch(connection))]
            if self.address.credentials is not None:
                renewing = keep_logged_in(connection, self.address.credentials, login)
                self._watching.append(asyncio.create_task(renewing))
            try:
                await self._broken.wait()
            finally:
                for task in self._watching:
                    task.cancel()

    def _mark_up(self, connection: Connection) -> None:
        self._connection = connection
        down_s = time.monotonic() - self._down_since if self._was_up else 0.0
        self._was_up = True
        self.last_error = None
        self._up.set()
        self._on_change(BrokerChanged(self.name, True, "", down_s))

    def _lost(self, connection: Connection, error: BrokerError) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._up.clear()
        self._down_since = time.monotonic()
        self.last_error = error
        self._broken.set()
        self._on_change(BrokerChanged(self.name, False, error_text(error), 0.0))

    async def _login(self) -> Login:
        self._asking = True
        try:
            return await self.address.login()
        finally:
            self._asking = False

    async def _connect(self, login: Login) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self._lost, self._leave_at, self._at_once)
        if self.address.path:
            await loop.create_unix_connection(lambda: connection, self.address.path)
        else:
            self.place = await self.address.resolve(login)
            await dial(connection, *self.place, self.address.tls, self.address.socket_options)
        with greeting(connection, self.address.tls, provided=self.address.credentials is not None):
            await self._greet(connection, login)
            if connection.lost is not None:  # by data that arrived with the last reply
                raise connection.lost
        return connection

    async def _greet(self, connection: Connection, login: Login) -> None:
        await log_in(connection, login)
        if self.address.db:
            await connection.execute("SELECT", self.address.db)
        await connection.execute("PING")
        if self._writes:
            await refuse_replica(connection)
        if self.client_name:
            with contextlib.suppress(BrokerError):  # an ACL may refuse it; only the list of workers needs it
                await connection.execute("CLIENT", "SETNAME", self.client_name)
        with contextlib.suppress(BrokerError):
            self.client_id = int(await connection.execute("CLIENT", "ID"))
        for script in self._scripts:
            await connection.execute("SCRIPT", "LOAD", script.text)

    async def _watch(self, connection: Connection) -> None:
        """Close the connection if commands wait and no byte moves: the peer may be gone."""
        step = self._silence_limit / 4
        silent, progress = 0.0, connection.progress
        while True:
            before = time.monotonic()
            await asyncio.sleep(step)
            late = time.monotonic() - before - step
            if connection.progress != progress or not connection.waiting or late > step:
                silent, progress = 0.0, connection.progress
                continue
            silent += step
            if silent >= self._silence_limit:
                connection.close(f"no answer for {silent:.0f} s")
