"""The rules of the house that a machine can measure."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "src").rglob("*.py"))
CODE = [*MODULES, *sorted(path for top in ("tests", "bench") for path in (ROOT / top).rglob("*.py"))]

# Written in halves, so that this file does not break the rules it keeps.
INDEX_HOSTS = [
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"),
        ("pypi", "python.org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb.debian", "org"),
        ("anaconda", "org"),
    )
]
MACHINE_PATHS = [f"/{top}/{rest}" for top, rest in (("work", ""), ("tmp", "w"), ("opt", "pypi"), ("root", ""))]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "X" * 3]

Function = ast.FunctionDef | ast.AsyncFunctionDef


Rule = Callable[[ast.Module], object]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "src"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def offenders(rule: Rule, modules: Iterable[Path]) -> dict[str, object]:
    """What ``rule`` finds in each of ``modules``, by the name of the module."""
    found = {name_of(path): rule(tree_of(path)) for path in modules}
    return {name: what for name, what in found.items() if what}


def committed_files() -> Iterator[tuple[str, str]]:
    """Name and text of every file that git tracks; what is not text is left out."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listing.stdout.split("\0")):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def places(pattern: str) -> list[str]:
    """Where committed files match, as ``file:line: text``."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in committed_files()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def undocumented(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    """The public names in ``node`` that have no docstring."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | Function) or child.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in child.decorator_list}
        if not ast.get_docstring(child) and not decorators & {"overload", "override", "setter"}:
            yield prefix + child.name
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{prefix}{child.name}.")


def test_a_file_stays_under_300_lines() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in CODE}
    assert {name: count for name, count in lines.items() if count >= 300} == {}


def test_a_function_stays_under_50_lines() -> None:
    def too_long(tree: ast.Module) -> dict[str, int]:
        lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions(tree)}
        return {name: length for name, length in lengths.items() if length >= 50}

    assert offenders(too_long, MODULES) == {}


def test_what_is_public_is_documented() -> None:
    def without_docstring(tree: ast.Module) -> list[str]:
        return ["the module"] * bool(tree.body and not ast.get_docstring(tree)) + list(undocumented(tree))

    assert offenders(without_docstring, MODULES) == {}


def test_nothing_is_left_unfinished() -> None:
    unfinished = re.compile(rf"\b(?:{'|'.join(UNFINISHED)})\b")
    assert [name_of(path) for path in MODULES if unfinished.search(path.read_text())] == []


def test_no_committed_file_names_a_package_index() -> None:
    assert places("|".join(map(re.escape, INDEX_HOSTS))) == []


def test_no_committed_file_names_a_machine_path() -> None:
    assert places(rf"(?<![\w.}}-])(?:{'|'.join(map(re.escape, MACHINE_PATHS))})") == []


def test_the_pinned_requirements_cover_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    demo = [name for extra in ("cli", "http", "email", "embedded", "uvloop", "demo") for name in extras[extra]]
    everything = [name for extra in extras.values() for name in extra]
    for wanted, file in ((project["dependencies"] + demo, "run.txt"), (everything, "dev.txt")):
        pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / file).read_text(), re.MULTILINE))
        names = {re.split(r"[^\w.-]", name)[0] for name in wanted} - {project["name"]}
        assert names <= pinned, "run `make requirements`"


def test_run_and_dev_requirements_pin_the_same_versions() -> None:
    run, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / file).read_text(), re.MULTILINE))
        for file in ("run.txt", "dev.txt")
    )
    assert {name: dev.get(name) for name in run} == run


def test_the_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


COMMAND = re.compile(
    r"BZPOPMIN|CLIENT|EVAL|EVALSHA|EXEC|EXISTS|HDEL|HEXISTS|HGET|HGETALL|HKEYS|HLEN|HMGET|HSCAN|HSET|HSTRLEN|LINDEX|"
    r"LLEN|LPUSH|LRANGE|LREM|MGET|MULTI|PEXPIRE|PING|PTTL|RPUSH|SCAN|SCARD|SMEMBERS|SSCAN|UNWATCH|WATCH|XADD|ZADD|"
    r"ZCARD|ZCOUNT|ZRANGE|ZRANGEBYSCORE|ZREM|ZREVRANGE|ZSCORE"
)
HASH_FIELD = re.compile(r"atm|ats|stc|pb|defa|deid|rjk|dlq|processedOn|finishedOn|parentKey")
JSON_FIELD = re.compile(r"name|data|opts|timestamp|returnvalue|failedReason|stacktrace")
"""Fields of a hash that are words of JSON too: as bytes they are that of a hash."""
KEY_SUFFIX = re.compile(
    r"(?:^|\S):(?:wait|paused|active|prioritized|delayed|waiting-children|completed|failed|meta|lock|logs|marker|limiter|"
    r"events|repeat|dependencies|processed|unsuccessful|stalled|id|pc)(?::|$)"
)
SCRIPT_CODE = re.compile(r"NOSCRIPT")
KEYS = "auth_worker/core/keys.py"
"""The keys of queues and jobs, which users see in parents and children."""


def words_of_redis(tree: ast.AST) -> list[str]:
    """The constants in ``tree`` that are a command, a hash field, a key or a code of Redis; no docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: list[str] = []
    for node in ast.walk(tree):
        text, words = "", [COMMAND, HASH_FIELD, SCRIPT_CODE]
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, bytes):
                text, words = node.value.decode(errors="replace"), [*words, JSON_FIELD]
            elif isinstance(node.value, str):
                text = node.value
        if KEY_SUFFIX.search(text) or any(word.fullmatch(text) for word in words):
            found.append(text)
    return found


def joined_keys(tree: ast.AST) -> list[str]:
    """The f-strings in ``tree`` that join BullMQ's prefix to something with a colon, as its keys are."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for value, text in pairwise(node.values)
        if isinstance(value, ast.FormattedValue)
        and re.search(r"prefix\W*$", ast.unparse(value.value))
        and isinstance(text, ast.Constant)
        and re.match(r":(?:\S|$)", str(text.value))
    ]


def is_negative(node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    )


def return_codes(tree: ast.AST) -> list[str]:
    """The comparisons, cases and tables in ``tree`` with negative numbers, which BullMQ's scripts return."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare() if any(map(is_negative, (node.left, *node.comparators))):
                found.append(node)
            case ast.MatchValue() if is_negative(node.value):
                found.append(node)
            case ast.Dict() if any(map(is_negative, node.keys)):
                found.append(node)
    return [ast.unparse(node) for node in found]


OUTSIDE_BROKERS = [path for path in MODULES if not name_of(path).startswith("auth_worker/brokers/")]


def test_only_the_brokers_use_the_words_of_redis() -> None:
    assert offenders(words_of_redis, OUTSIDE_BROKERS) == {}


def test_only_the_brokers_build_keys() -> None:
    assert offenders(joined_keys, OUTSIDE_BROKERS).keys() <= {KEYS}


def test_only_the_brokers_read_return_codes() -> None:
    assert offenders(return_codes, OUTSIDE_BROKERS) == {}


@pytest.mark.parametrize(
    "code", ['f"{prefix}:{queue}"', 'f"{self._key_prefix}:wait"', 'f"{settings.prefix}:{q}:{job_id}"']
)
def test_the_keys_of_redis_are_found(code: str) -> None:
    assert joined_keys(ast.parse(code)) != []


@pytest.mark.parametrize(
    "code", ["reply == -4", "if reply < -1: pass", "match reply:\n    case -9: pass", "REFUSALS = {-5: None}"]
)
def test_the_return_codes_of_scripts_are_found(code: str) -> None:
    assert return_codes(ast.parse(code)) != []


@pytest.mark.parametrize(
    "code",
    [
        'link.execute("LRANGE", key, 0, -1)',
        'link.execute("PING")',
        'raw.get(b"opts")',
        'fields["processedOn"]',
        'key = f"{prefix}:{queue}:wait"',
        'key = prefix + job_id + b":lock"',
        'error.code == "NOSCRIPT"',
    ],
)
def test_the_words_of_redis_are_found(code: str) -> None:
    assert words_of_redis(ast.parse(code)) != []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_a_page_names_paths_that_exist(page: str) -> None:
    named = re.findall(r"`((?:[\w.-]+/)*[\w.-]+(?:\.(?:py|md|toml)|/))`", (ROOT / page).read_text())
    assert named
    tops = (ROOT, ROOT / "src" / "auth_worker")
    assert [path for path in named if not any((top / path).exists() for top in tops)] == []
