"""Variables that Kubernetes and Docker inject are not settings; other unknown ones are errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("bare_environment")
SERVICE_VARIABLES = {
    "SERVICE_HOST": "10.96.12.7",
    "SERVICE_PORT": "9464",
    "SERVICE_PORT_HTTP": "9464",
    "SERVICE_PORT_METRICS_2": "9465",
    "PORT": "tcp://10.96.12.7:9464",
    "PORT_9464_TCP": "tcp://10.96.12.7:9464",
    "PORT_9464_TCP_ADDR": "10.96.12.7",
    "PORT_9464_TCP_PORT": "9464",
    "PORT_9464_TCP_PROTO": "tcp",
    "PORT_53_UDP": "udp://10.96.12.7:53",
    "PORT_53_UDP_ADDR": "fd00::1",
    "PORT_3868_SCTP_PROTO": "sctp",
    "ENV_PATH": "/bin",
    "NAME": "/shop/auth-worker",
}
"""The variables that Kubernetes injects for a Service, and Docker for a link, after its name in capitals."""


@pytest.mark.parametrize(
    "service", ["AUTH_WORKER", "AUTH_WORKER_HTTP", "AUTH_WORKER_SMTP", "AUTH_WORKER_REDIS_URL", "AUTH_WORKER_2"]
)
@pytest.mark.parametrize("address", ["10.96.12.7:9464", "[fd00::1]:9464"])
def test_variables_of_a_service_are_not_settings(
    service: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SERVICE_VARIABLES.items():
        monkeypatch.setenv(f"{service}_{name}", value.replace("10.96.12.7:9464", address))
    settings = Settings()
    assert (settings.http_port, settings.smtp_port, settings.name) == (9464, None, None)


def test_a_flag_or_the_file_sets_what_a_service_shadows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "auth-worker.toml").write_text("http_port = 9000\nsmtp_port = 2525")
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", "tcp://10.96.12.7:9464")
    monkeypatch.setenv("AUTH_WORKER_SMTP_PORT", "tcp://[fd00::1]:25")
    assert (Settings().http_port, Settings(http_port=1).http_port, Settings().smtp_port) == (9000, 1, 2525)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("AUTH_WORKER_PORT", "AUTH_WORKER_(HTTP|SMTP)_PORT"),
        ("AUTH_WORKER_HTP_PORT", "AUTH_WORKER_HTTP_PORT"),
        ("AUTH_WORKER_SMTP_HOTS", "AUTH_WORKER_SMTP_HOST"),
        ("auth_worker_redis_ulr", "AUTH_WORKER_REDIS_URL"),
        ("Auth_Worker_Http_Tokenss", "AUTH_WORKER_HTTP_TOKENS"),
    ],
)
def test_a_variable_that_only_looks_like_one_of_a_service_is_refused(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "9464")
    with pytest.raises(ConfigurationError, match=f"{name} is not a setting; did you mean {nearest}"):
        Settings()


def test_a_port_that_is_not_a_service_link_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", "http://10.96.12.7")
    with pytest.raises(ConfigurationError, match="settings: http_port: "):
        Settings()
