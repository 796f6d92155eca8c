"""Makes the reference pages from the code, and ``llms.txt`` from the pages. A hook of MkDocs."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from auth_worker import messages
from auth_worker.cli.app import app
from auth_worker.config import Settings
from auth_worker.core import job_options_dict, worker_config
from auth_worker.core.alert_settings import AlertSettings
from auth_worker.core.setting_types import HttpToken

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "auth_worker"
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT))

from docs.benchmark_page import benchmarks  # noqa: E402 - all are found by the paths above
from docs.tables import table  # noqa: E402

from support.distributions import EXTRAS, packages_of, size_of  # noqa: E402

SETTINGS = """# Settings

Flags > environment > `auth-worker.toml` (or the file that `AUTH_WORKER_CONFIG` names) > defaults. A key that
nobody knows is an error that names the nearest one. `auth-worker config show` shows each setting and where it
is set. Times are seconds.
"""
WORKER_CONFIG = """# Worker config

How a queue is worked: `worker_config=` of `register_processor` and of `TaskQueue`, as a `WorkerConfig` or a
dict with these names, or BullMQ's camelCase. Times are milliseconds.
"""
JOB_OPTIONS = """# Job options

For `JobQueue.add`, `opts` of `add_bulk`, `task.options`, `Flow` and the flags of `auth-worker add`; a type
checker knows them. Times are milliseconds.
"""
MESSAGES = """# Log messages

The `event` of every log line is one of these and nothing else; all the rest are fields. Alert on the text; in
code it is `WORKER_MESSAGES` and `WORKER_ERRORS`.
"""
METRICS = """# Metrics

At `/metrics`, as Prometheus or OpenMetrics. Counters and histograms are each process's own. Gauges of queues
are read from Redis and are the same in every worker: take their `max`, not their sum. Behind `--processes`
each has the label `process`. BullMQ's own metrics, for Bull Board, are on with `worker_config={"metrics":
{}}`.
"""
COMMANDS = """# Commands

Each has `--help`; what looks or acts has `--json`. Without a Redis in the settings they use the embedded
broker of the state directory, as `run` does.
"""
EXTRAS_PAGE = """# Extras

`auth-worker` alone is what an application needs to enqueue, and a worker to work. What is missing is told
where it is needed, with the command that installs it. The packages of one environment, without this one:
"""
GENERATED: dict[str, Callable[[], str]] = {}
"""What makes each page, by its path."""
_markdown: dict[str, str] = {}
"""The text of every page by its address, for ``llms-full.txt``."""


def generated(path: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """The decorated function makes the page at ``path``."""

    def register(function: Callable[[], str]) -> Callable[[], str]:
        GENERATED[path] = function
        return function

    return register


def code(text: object) -> str:
    """``text`` as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


@generated("reference/settings.md")
def settings() -> str:
    """Every setting, from ``Settings``."""
    rows = [
        (code(name), code(f"AUTH_WORKER_{name.upper()}"), code(_shown(field.default)), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    columns = ("in the file", "variable", "default", "what it is")
    roles = _plain(inspect.getdoc(HttpToken) or "")
    alerts = [
        (code(name), code(_shown(field.default)), field.description or "")
        for name, field in AlertSettings.model_fields.items()
    ]
    return (
        f"{SETTINGS}\n{table(columns, rows)}\n\n"
        f"A table, such as `http_tokens`, is JSON in its variable. {roles}\n\n"
        f"## alerts\n\n{_plain(inspect.getdoc(AlertSettings) or '')}\n\n"
        f"{table(('field', 'default', 'what it is'), alerts)}\n"
    )


def _shown(value: object) -> object:
    return "" if value is None or value == () else {} if isinstance(value, AlertSettings) else value


@generated("reference/worker-config.md")
def worker_settings() -> str:
    """Every field of ``WorkerConfig``."""
    docs = attribute_docs(Path(worker_config.__file__), "WorkerConfig")
    fields = worker_config.WorkerConfig.model_fields
    rows = [(code(name), code(_default(field.default)), _plain(docs[name])) for name, field in fields.items()]
    return f"{WORKER_CONFIG}\n{table(('field', 'default', 'what it is'), rows)}\n"


def _default(value: object) -> object:
    if isinstance(value, worker_config.FrozenModel):
        return value.model_dump(exclude_none=True)
    return _shown(value)


@generated("reference/job-options.md")
def job_options() -> str:
    """Every option of a job."""
    docs = attribute_docs(Path(job_options_dict.__file__), "JobOptionsDict")
    rows = [(code(name), _plain(text)) for name, text in docs.items()]
    return f"{JOB_OPTIONS}\n{table(('option', 'what it does'), rows)}\n"


def attribute_docs(file: Path, name: str) -> dict[str, str]:
    """The docstrings below the attributes of the class ``name`` in ``file``."""
    classes = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef))
    (found,) = (node for node in classes if node.name == name)
    docs = {}
    for attribute, after in zip(found.body, found.body[1:], strict=False):
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant):
                docs[attribute.target.id] = inspect.cleandoc(str(text.value))
    return docs


def _plain(text: str) -> str:
    """A docstring on one line, in Markdown."""
    return " ".join(text.split()).replace("``", "`")


@generated("reference/messages.md")
def log_messages() -> str:
    """Every message of the logs."""

    def rows(kind: type[StrEnum]) -> Iterator[tuple[str, str]]:
        return ((code(each.name), each.value) for each in kind)

    happens, wrong = (
        table(("name", "event"), rows(kind)) for kind in (messages.WorkerMessage, messages.WorkerError)
    )
    return f"{MESSAGES}\n## What happens\n\n{happens}\n\n## What goes wrong\n\n{wrong}\n"


@generated("reference/metrics.md")
def metrics() -> str:
    """Every metric, from the calls that make them."""
    rows = sorted(
        row for folder in ("observability", "http", "supervisor") for row in _metrics_in(SOURCE / folder)
    )
    return f"{METRICS}\n{table(('metric', 'kind', 'labels', 'what it is'), rows)}\n"


def _metrics_in(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 2):
                continue
            kind = node.func.id.removesuffix("MetricFamily").lower()
            texts = [part.value if isinstance(part, ast.Constant) else None for part in node.args[:2]]
            if kind != node.func.id.lower() and isinstance(texts[0], str) and isinstance(texts[1], str):
                labels = next((ast.literal_eval(key.value) for key in node.keywords if key.arg == "labels"), ())
                name = texts[0] + ("_total" if kind == "counter" else "")
                yield code(name), kind, ", ".join(map(code, labels)), texts[1]


@generated("reference/commands.md")
def commands() -> str:
    """Every command with its options, from the command line itself."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("auth-worker", ["version"], resilient_parsing=True)
    parts = [COMMANDS]
    for path, each, inner in _walk(command, context, "auth-worker"):
        parts.append(f"## {path}\n\n{_help(each.help)}\n\n{_options(each, inner)}")
    return "\n".join(parts) + "\n"


def _walk(group: Any, context: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        if hasattr(each, "list_commands"):
            yield from _walk(each, type(context)(each, info_name=name, parent=context), f"{path} {name}")
        else:
            inner = each.make_context(name, [], parent=context, resilient_parsing=True)
            yield f"{path} {name}", inner.command, inner


def _help(text: str | None) -> str:
    text = re.sub(r"Example: \[bold\](.*?)\[/\]", r"```console { .example }\n$ \1\n```", text or "")
    return re.sub(r"\[/?(?:bold|cyan)?\]", "`", text)


def _options(command: Any, context: Any) -> str:
    rows = []
    for option in command.get_params(context):
        if getattr(option, "hidden", False) or option.name == "help":
            continue
        is_option = option.param_type_name == "option"
        names = [*option.opts, *option.secondary_opts] if is_option else [option.name.upper()]
        rows.append((", ".join(map(code, names)), " ".join((getattr(option, "help", None) or "").split())))
    return table(("argument or option", "what it is"), rows) + "\n" if rows else ""


@generated("reference/extras.md")
def extras() -> str:
    """What each extra installs, measured."""
    rows = []
    for extra in ("", *(name for name in EXTRAS if name != "dev")):
        packages = packages_of(*filter(None, [extra]))
        direct = ", ".join(re.split(r"[^\w.\[\],-]", need)[0] for need in EXTRAS.get(extra, ()))
        name = f"auth-worker[{extra}]" if extra else "auth-worker"
        rows.append((code(name), direct, str(len(packages)), f"{size_of(packages.values()) / 1e6:.0f} MB"))
    return f"{EXTRAS_PAGE}\n{table(('install', 'adds', 'packages in all', 'size'), rows)}\n"


GENERATED["why/benchmarks.md"] = benchmarks
GENERATED["why/architecture.md"] = (ROOT / "ARCHITECTURE.md").read_text
GENERATED["changelog.md"] = (ROOT / "CHANGELOG.md").read_text


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages. Called by MkDocs."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keep the page's text. Called by MkDocs."""
    _markdown[page.file.src_uri] = markdown
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Write ``llms.txt``, the list of pages, and ``llms-full.txt``, all of their text. Called by MkDocs."""
    pages = {path: text for path, text in _markdown.items() if path not in ("changelog.md", "why/architecture.md")}
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for path, text in pages.items():
        title = next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), path)
        lines.append(f"- [{title}]({path.removesuffix('.md').removesuffix('index') or '.'}/)")
    Path(config.site_dir, "llms.txt").write_text("\n".join(lines) + "\n")
    Path(config.site_dir, "llms-full.txt").write_text("\n\n".join(pages.values()) + "\n")
