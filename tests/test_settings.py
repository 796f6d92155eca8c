"""Settings: where they come from, what is refused, and that no secret is shown."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("bare_environment")
CANARY = "hunter2-canary"
SECRETS = {"redis_url": f"redis://:{CANARY}@cache:6379", "http_token": CANARY, "smtp_password": CANARY}
Write = Callable[[str], Path]


def whole_text(error: BaseException) -> str:
    """Return the error as a log with its traceback would show it."""
    return "".join(traceback.format_exception(error))


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


def test_a_named_file_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_CONFIG", "nowhere.toml")
    with pytest.raises(ConfigurationError, match=r"AUTH_WORKER_CONFIG names nowhere\.toml"):
        Settings()


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe", b'a = "'])
def test_a_file_that_is_not_toml_is_named(toml: Write, content: bytes) -> None:
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
    with pytest.raises(
        ConfigurationError, match=r"settings: smtp_prot is not known; did you mean smtp_port\? \(in .*toml\)"
    ):
        Settings()


def test_a_wrong_setting_is_told_with_the_file_or_the_variable_that_sets_it(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml('smtp_port = "mail"\nhttp_port = "web"')
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", "internet")
    with pytest.raises(ConfigurationError, match=r"http_port: .* \(in AUTH_WORKER_HTTP_PORT\); .* \(in .*toml\)$"):
        Settings()
    with pytest.raises(ConfigurationError, match=r"settings: http_port: [^()]*$"):
        Settings(http_port="here", smtp_port=25)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", 70000),
        ("http_port", "web"),
        ("shutdown_timeout", -1),
        *(
            (name, value)
            for name in (
                "shutdown_timeout",
                "startup_timeout",
                "dead_letter_max_age",
                "reconcile_interval",
                "smtp_timeout",
            )
            for value in ("nan", "inf", "-Infinity", "1e400", 1e10)
        ),
        ("max_payload_bytes", 2**53),
        ("dead_letter_max_count", "9" * 30),
        ("http_port", "9" * 5000),
        ("startup_timeout", 0),
        ("log_level", "LOUD"),
        ("prefix", "a\x1b"),
        ("prefix", "bu\nll"),
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


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "+inf"])
def test_a_number_of_the_file_is_finite(value: str, toml: Write) -> None:
    toml(f"shutdown_timeout = {value}")
    with pytest.raises(ConfigurationError, match="settings: shutdown_timeout: "):
        Settings()


@pytest.mark.parametrize("none", ["none", "None", " NONE "])
def test_a_word_switches_the_port_off(none: str, monkeypatch: pytest.MonkeyPatch, toml: Write) -> None:
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
        ({"http_tokens": {"a": CANARY}}, r"http_tokens: an entry is a name and a table"),
    ],
)
def test_equal_tokens_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as refusal:
        Settings(**values)
    assert CANARY not in whole_text(refusal.value)


def test_tokens_that_are_not_json_are_refused_without_quoting_them(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_error_about_a_variable_does_not_quote_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_SMTP_PASSWRD", CANARY)
    with pytest.raises(ConfigurationError) as refusal:
        Settings()
    assert CANARY not in whole_text(refusal.value)


@pytest.mark.parametrize(
    "tokens",
    [
        {CANARY: "admin"},
        {CANARY: {"role": "admin"}},
        {CANARY: {}},
        {CANARY: {"role": "god"}},
        {CANARY: {"tok": "x"}},
        {f"{CANARY} !": {"token": "x"}},
        {CANARY * 9: {"token": "x"}},
        {f"{CANARY}=": "admin", "ops": {"token": ""}},
    ],
)
def test_a_token_that_was_written_as_a_key_is_not_quoted(
    tokens: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for values in ({"http_tokens": tokens}, {}):
        with pytest.raises(ConfigurationError, match="http_tokens: ") as refusal:
            Settings(**values)
        assert CANARY not in whole_text(refusal.value)
        monkeypatch.setenv("AUTH_WORKER_HTTP_TOKENS", json.dumps(tokens))


@pytest.mark.parametrize(
    "content",
    [f'[http_tokens."{CANARY}"]\n' * 2, f'a = "{CANARY}\n', f"{CANARY} = 1\n{CANARY} = 2", f"a = {CANARY}"],
)
def test_a_file_that_is_not_toml_is_not_quoted(content: str, toml: Write) -> None:
    toml(content)
    with pytest.raises(ConfigurationError, match=r"cannot be read as TOML \(at ") as refusal:
        Settings()
    assert CANARY not in whole_text(refusal.value)
