"""Every snippet of the README and of the documentation runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_worker import flow
from support.needed import skip_or_fail
from support.pages import NODE_MODULES, ROOT, PageRun, blocks_of
from support.servers import free_port

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOLD = {"python", "console", "test", "js", "ts", "toml", "yaml", "ini", "text", "dockerfile", "json"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[Path]:
    """An empty folder to follow a page in, with a Redis and nothing else set."""
    for name in os.environ:
        if name.startswith("AUTH_WORKER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", redis_url)
    monkeypatch.setenv("AUTH_WORKER_HTTP_PORT", str(free_port()))
    monkeypatch.setenv("COLUMNS", "200")
    flow._default.cache_clear()  # it keeps the Redis of the page before
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    if NODE_MODULES.is_dir():
        (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    for name, module in list(sys.modules.items()):  # a page may have a module of the same name
        if (getattr(module, "__file__", "") or "").startswith(str(ROOT / "examples")):
            monkeypatch.delitem(sys.modules, name)
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if (sys.modules[name].__dict__.get("__file__") or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs_as_it_stands(page: Path, folder: Path) -> None:
    blocks = list(blocks_of(page))
    assert {block.language for block in blocks} <= TOLD
    if any("node " in block.text for block in blocks if block.language == "console") and (
        shutil.which("node") is None or not NODE_MODULES.exists()
    ):
        skip_or_fail("the page needs Node and its packages", "install Node, and run `make interop`")
    run = PageRun(page, folder)
    try:
        run.run()
    finally:
        run.close()


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("mkdocs", path=str(Path(sys.executable).parent)) is None:
        skip_or_fail("the site needs the packages of requirements/docs.txt", "run `make docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=200, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    pages = (tmp_path / "site" / "llms.txt").read_text()
    assert "[Settings](reference/settings/)" in pages
    assert "AUTH_WORKER_SHUTDOWN_TIMEOUT" in (tmp_path / "site" / "llms-full.txt").read_text()


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_the_links_of_a_page_beside_the_site_lead_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))]
    assert [link for link in links if not link.startswith("https://") and not (page.parent / link).exists()] == []
