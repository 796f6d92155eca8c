"""Names, defaults and settings."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import auth_worker
from auth_worker.config import EMAIL_JOB_TYPES, QUEUE_NAMES, SMS_JOB_TYPES, WORKER_CONFIG, Settings, WorkerConfig
from auth_worker.errors import ConfigurationError

CANARY = "hunter2-canary"
SECRETS = {"redis_url": f"redis://:{CANARY}@cache:6379", "http_token": CANARY, "smtp_password": CANARY}
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AUTH_WORKER_ variable, and a folder without a settings file."""
    for name in [name for name in os.environ if name.startswith("AUTH_WORKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    """Writes auth-worker.toml in the current folder."""

    def write(text: str) -> Path:
        path = tmp_path / "auth-worker.toml"
        path.write_text(text)
        return path

    return write


def whole_text(error: BaseException) -> str:
    """The error as a log with its traceback would show it."""
    return "".join(traceback.format_exception(error))


def test_the_defaults_are_the_references() -> None:
    assert WORKER_CONFIG.model_dump(by_alias=True, exclude_none=True) == {
        "concurrency": 5,
        "attempts": 3,
        "backoff": {"type": "exponential", "delay": 1000, "jitter": 0},
        "removeOnComplete": {"count": 1000},
        "removeOnFail": {"count": 5000},
        "stalledInterval": 60000,
        "lockDuration": 60000,
        "drainDelay": 500,
        "maxStalledCount": 3,
        "logSample": 1,
    }


def test_the_names_are_the_references() -> None:
    names: list[tuple[str, str]] = [
        (QUEUE_NAMES.EMAIL, "emailQueue"),
        (QUEUE_NAMES.EMAIL_DEAD_LETTER, "emailDeadLetter"),
        (EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL, "sendVerificationEmail"),
        (SMS_JOB_TYPES.SEND_OTP, "sendOtp"),
    ]
    for ours, reference in names:
        assert ours == reference
        assert f"{ours}" == reference


def test_everything_public_is_there() -> None:
    for name in auth_worker.__all__:
        assert getattr(auth_worker, name) is not None
    assert auth_worker.WORKER_CONFIG is WORKER_CONFIG


def test_a_config_cannot_be_changed_and_serves_as_a_key() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WORKER_CONFIG.concurrency = 9  # type: ignore[misc]
    assert {WorkerConfig(): 1}[WORKER_CONFIG] == 1


def test_a_config_is_taken_as_it_is_or_built_from_either_spelling() -> None:
    assert WorkerConfig.of(WORKER_CONFIG) is WORKER_CONFIG
    snake = WorkerConfig.of(
        {"lock_duration": 500, "remove_on_fail": {"count": 1}, "limiter": {"max": 1, "duration": 2}}
    )
    camel = WorkerConfig.of(
        {"lockDuration": 500, "removeOnFail": {"count": 1}, "limiter": {"max": 1, "duration": 2}}
    )
    assert snake == camel
    assert (snake.lock_duration, snake.remove_on_fail.count) == (500, 1)
    assert (
        WorkerConfig.of({"metrics": {"maxDataPoints": 5}}).metrics
        == WorkerConfig(metrics={"max_data_points": 5}).metrics
    )


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("concurency", "concurrency"), ("lock_durration", "lock_duration"), ("lockDuratoin", "lock_duration")],
)
def test_an_unknown_key_names_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"worker_config: {key} is not known; did you mean {nearest}\?"):
        WorkerConfig.of({key: 1})


@pytest.mark.parametrize("key", ["zzzzzz", 5])
def test_an_unknown_key_unlike_any_other_is_refused_without_advice(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key} is not known$"):
        WorkerConfig.of({key: 1})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10_001}, "concurrency"),
        ({"concurrency": "many"}, "concurrency"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 101}, "attempts"),
        ({"backoff": {"type": "magic"}}, "backoff.type"),
        ({"backoff": {"delay": -1}}, "backoff.delay"),
        ({"backoff": {"jitter": 2}}, "backoff.jitter"),
        ({"backoff": 5}, "backoff"),
        ({"remove_on_fail": {"count": -2}}, "remove_on_fail.count"),
        ({"lock_duration": 99}, "lock_duration"),
        ({"stalled_interval": 9}, "stalled_interval"),
        ({"timeout": 0}, "timeout"),
        ({"limiter": {"max": 1}}, "limiter.duration"),
        ({"metrics": {"max_data_points": 0}}, "metrics.max_data_points"),
        ({"name": "a b"}, "name"),
        ({"name": "a\n"}, "name"),
    ],
)
def test_a_wrong_value_names_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^worker_config: .*{field}: "):
        WorkerConfig(**values)


@pytest.mark.parametrize("value", [None, 5, "x", [("attempts", 3)]])
def test_a_config_that_is_no_mapping_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="worker_config must be a WorkerConfig or a mapping"):
        WorkerConfig.of(value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"attempts: .*; .*timeout: "):
        WorkerConfig(attempts=0, timeout=0)


def test_settings_have_defaults_that_start_on_a_laptop() -> None:
    settings = Settings()
    assert settings.redis_url is None
    assert (settings.http_host, settings.http_port, settings.http_token) == ("127.0.0.1", 9464, None)
    assert (settings.prefix, settings.shutdown_timeout, settings.smtp_security) == ("bull", 25, "starttls")


def test_flags_win_over_the_environment_over_the_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, toml: Write
) -> None:
    toml('prefix = "file"\nname = "file"\nlog_level = "ERROR"\n')
    monkeypatch.setenv("AUTH_WORKER_PREFIX", "env")
    monkeypatch.setenv("AUTH_WORKER_NAME", "env")
    settings = Settings(prefix="flag")
    assert (settings.prefix, settings.name, settings.log_level, settings.log_format) == (
        "flag",
        "env",
        "ERROR",
        "auto",
    )


def test_a_variable_can_name_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toml: Write) -> None:
    toml('name = "here"')
    other = tmp_path / "other.toml"
    other.write_text('name = "there"')
    monkeypatch.setenv("AUTH_WORKER_CONFIG", str(other))
    assert Settings().name == "there"
    monkeypatch.setenv("AUTH_WORKER_CONFIG", "")
    assert Settings().name == "here"


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_CONFIG", "nowhere.toml")
    with pytest.raises(ConfigurationError, match=r"AUTH_WORKER_CONFIG names nowhere\.toml"):
        Settings()


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe", b'a = "'])
def test_a_file_that_is_no_toml_is_named(toml: Write, content: bytes) -> None:
    toml("").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"auth-worker\.toml cannot be read as TOML"):
        Settings()


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", "")
    assert Settings().redis_url is None


def test_an_unknown_variable_is_refused_and_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_REDIS_ULR", "redis://x")
    with pytest.raises(
        ConfigurationError, match="AUTH_WORKER_REDIS_ULR is not a setting; did you mean AUTH_WORKER_REDIS_URL"
    ):
        Settings()


def test_an_unknown_key_of_the_file_is_refused_and_names_the_nearest(toml: Write) -> None:
    toml("smtp_prot = 25")
    with pytest.raises(ConfigurationError, match=r"settings: smtp_prot is not known; did you mean smtp_port\?"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", 70000),
        ("http_port", "web"),
        ("shutdown_timeout", -1),
        ("shutdown_timeout", "nan"),
        ("startup_timeout", 0),
        ("log_level", "LOUD"),
        ("prefix", "a:b"),
        ("prefix", "bull\n"),
        ("smtp_security", "ssl"),
        ("max_payload_bytes", 1),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=f"settings: {name}: "):
        Settings(**{name: value})
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", str(value))
    with pytest.raises(ConfigurationError, match=f"settings: {name}: "):
        Settings()


@pytest.mark.parametrize("none", ["none", "None", " NONE "])
def test_the_port_is_switched_off_by_a_word(none: str, monkeypatch: pytest.MonkeyPatch, toml: Write) -> None:
    toml(f'http_port = "{none}"')
    assert Settings().http_port is None
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", "9000")
    assert Settings().http_port == 9000
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", none)
    assert Settings().http_port is None


def test_tokens_have_names_and_roles(monkeypatch: pytest.MonkeyPatch, toml: Write) -> None:
    toml('http_token = "a"\n[http_tokens.ops]\ntoken = "b"\n[http_tokens.grafana]\ntoken = "c"\nrole = "reader"')
    monkeypatch.setenv("AUTH_WORKER_HTTP_READ_TOKEN", "d")
    found = {name: (each.token.get_secret_value(), each.role) for name, each in Settings().access_tokens.items()}
    expected = {
        "ops": ("b", "admin"),
        "grafana": ("c", "reader"),
        "admin": ("a", "admin"),
        "reader": ("d", "reader"),
    }
    assert found == expected
    monkeypatch.setenv("AUTH_WORKER_HTTP_TOKENS", '{"ci": {"token": "e"}}')
    assert Settings().access_tokens["ci"].role == "admin"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"http_tokens": {"admin": {"token": CANARY}}, "http_token": "x"}, "'admin' beside http_token"),
        ({"http_tokens": {"a": {"token": CANARY}, "b": {"token": CANARY}}}, "must all differ"),
        ({"http_token": CANARY, "http_read_token": CANARY}, "must all differ"),
        ({"http_tokens": {"a": {"token": ""}}}, r"http_tokens\.a\.token"),
        ({"http_tokens": {"a": {"token": CANARY, "role": "god"}}}, r"http_tokens\.a\.role"),
        ({"http_tokens": {"": {"token": CANARY}}}, "http_tokens"),
        ({"http_tokens": {"a": CANARY}}, r"http_tokens\.a"),
    ],
)
def test_tokens_that_cannot_be_told_apart_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as refusal:
        Settings(**values)
    assert CANARY not in whole_text(refusal.value)


def test_tokens_that_are_no_json_are_refused_without_telling_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_TOKENS", f"{{ops: {CANARY}")
    with pytest.raises(ConfigurationError, match=r"http_tokens.*write it as JSON") as refusal:
        Settings()
    assert CANARY not in whole_text(refusal.value)


def test_secrets_are_in_no_representation() -> None:
    settings = Settings(**SECRETS)
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in text
    assert settings.http_token is not None
    assert settings.http_token.get_secret_value() == CANARY


@pytest.mark.parametrize(
    "line", [f'smtp_pasword = "{CANARY}"', f'http_port = "{CANARY}"', f'log_level = "{CANARY}"']
)
def test_a_refused_value_is_in_no_error_or_traceback(line: str, toml: Write) -> None:
    toml(line)
    with pytest.raises(ConfigurationError) as refusal:
        Settings()
    assert CANARY not in whole_text(refusal.value)


def test_a_refused_variable_does_not_tell_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_SMTP_PASSWRD", CANARY)
    with pytest.raises(ConfigurationError) as refusal:
        Settings()
    assert CANARY not in whole_text(refusal.value)


@given(
    values=st.dictionaries(
        st.sampled_from([*WorkerConfig.model_fields, "unknown"]),
        st.none() | st.integers() | st.text(max_size=3) | st.dictionaries(st.text(max_size=3), st.integers()),
    )
)
def test_a_config_is_sane_or_a_configuration_error(values: dict[str, Any]) -> None:
    try:
        config = WorkerConfig.of(values)
    except ConfigurationError:
        return
    assert 1 <= config.concurrency <= 10_000
    assert 1 <= config.attempts <= 100
    assert config.lock_duration >= 100


@pytest.mark.parametrize("wrong", [{"log_level": "LOUD"}, {"log_sample": 0}, {"logSample": "many"}])
def test_a_queue_logs_at_a_known_level_and_one_line_in_one_or_more(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"log_?(level|sample|Sample)"):
        WorkerConfig(**wrong)
    assert WorkerConfig(**{"logLevel": "DEBUG", "logSample": 100}).log_sample == 100
