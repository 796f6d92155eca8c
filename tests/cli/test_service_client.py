"""Which service ``health`` and ``metrics`` ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auth_worker.cli import service_client
from auth_worker.config import Settings
from auth_worker.http.service_identity import IDENTITY_HEADER, Identity, read_identity
from support.command_line import Worker, run_here, run_program
from support.servers import free_port


class Program:
    """A program with an HTTP port: another's, or one that answers as a service with this ``identity``."""

    def __init__(self, identity: Identity | None, status: int = 200, location: str | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        program = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                program.asked.append((self.path, self.headers["authorization"]))
                body = b'{"healthy": true, "reasons": []}'
                self.send_response(status)
                if identity is not None:
                    self.send_header(IDENTITY_HEADER, identity.header)
                if location is not None:
                    self.send_header("location", location)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def served(self) -> Iterator[Program]:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    with ExitStack() as stack:
        yield lambda *given, **more: stack.enter_context(Program(*given, **more).served())


@pytest.mark.parametrize("command", ["health", "metrics"])
def test_another_program_is_named_as_such_and_gets_no_token(
    program: Callable[..., Program],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_TOKEN", "s3cret")
    other = program(None)
    assert run_here(command, "--url", other.url) == 3
    assert f"what answers at {other.url} is not auth-worker" in capsys.readouterr().err
    assert other.asked == [("/livez", None)]


def test_no_token_follows_a_redirection(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_TOKEN", "s3cret")
    other = program(None)
    ours = program(Identity("one", 1, "/one"), status=302, location=other.url)
    run_here("health", "--url", ours.url)
    assert other.asked == []
    assert ours.asked == [("/livez", None), ("/health", "Bearer s3cret")]


def test_of_several_services_that_of_the_settings_is_asked(
    program: Callable[..., Program],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    stranger, other = program(None), program(Identity("other", 1, "/elsewhere"))
    ours = program(Identity("ours", 2, str(Path(".auth-worker").absolute())))
    everyone = [stranger.url, other.url, ours.url]
    monkeypatch.setattr(service_client, "_bases_of", lambda settings: everyone)
    assert run_here("health", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["service"]["url"] == ours.url
    assert f"asked {ours.url} (worker ours, pid 2" in said.err
    assert f"the others: {other.url} (worker other, pid 1, state dir /elsewhere). --url chooses one" in said.err
    assert [path for path, _ in other.asked + stranger.asked] == ["/livez", "/livez"]
    monkeypatch.setenv("AUTH_WORKER_NAME", "other")
    assert run_here("health") == 0
    assert f"{other.url} (worker other" in capsys.readouterr().out


def test_the_ports_that_a_worker_may_have_taken_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    bases = service_client._bases_of(Settings())
    assert (bases[0], bases[-1], len(bases)) == ("http://127.0.0.1:9464", "http://127.0.0.1:9473", 10)
    assert service_client._bases_of(Settings(http_port=9470)) == ["http://127.0.0.1:9470"]
    assert service_client._bases_of(Settings(http_host="::", http_port=1)) == ["http://[::1]:1"]


@pytest.mark.parametrize("port", ["0", "none"])
def test_without_a_port_to_try_the_url_is_asked_for(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", port)
    assert run_here("health") == 2


def test_a_service_shows_who_it_is(folder: Path, worker: Callable[..., Worker]) -> None:
    settings = {"state_dir": "state", "http_port": str(free_port()), "http_token": "s3cret", "name": "harness-1"}
    started = worker(**settings)
    shown = run_program(folder, "health", **settings)
    assert f"http://127.0.0.1:{settings['http_port']} (worker harness-1, pid " in shown.stdout, shown.stderr
    assert "***" not in shown.stdout
    assert f"state dir {folder / 'state'}" in shown.stdout
    assert started.end() == 0


@pytest.mark.parametrize("header", ["", "nonsense", "[]", '{"service": "other"}', "[" * 9999])
def test_only_our_header_identifies_us(header: str) -> None:
    assert read_identity({IDENTITY_HEADER: header}) is None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://x",
            "nonsense",
            "http://h:99999",
            "http://h:x",
            "http://h:0",
            "http://",
            "http://[::1",
            "http:/x",
        ),
        *("http://u:hunter2@h", "http://h h", "http://h/?a=1", ""),
    ],
)
def test_a_wrong_url_is_a_usage_error_that_names_the_flag(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("health", "metrics"):
        assert run_here(command, "--url", url) == 2
        said = capsys.readouterr().err
        assert "--url" in said
        assert "hunter2" not in said


@pytest.mark.parametrize("command", [("queues",), ("jobs", "mail"), ("add", "mail", "x"), ("run",), ("doctor",)])
@pytest.mark.parametrize(
    "url", ["http://x", "nonsense", "redis://h:99999", "redis://h:x", "redis+sentinel://h", ""]
)
def test_a_wrong_redis_is_a_usage_error_that_names_the_flag(
    command: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(*command, "--redis", url) == 2
    assert "--redis" in capsys.readouterr().err


def test_a_wrong_redis_names_the_variable_or_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("auth-worker.toml").write_text('redis_url = "http://x"\n')
    assert run_here("queues") == 2
    assert "redis_url in auth-worker.toml: http:// is not a Redis URL" in capsys.readouterr().err
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", "nonsense")
    assert run_here("queues") == 2
    assert "AUTH_WORKER_REDIS_URL: not a URL" in capsys.readouterr().err
