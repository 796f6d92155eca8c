"""Who is compared, and how each one's process is started."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from bench.adapters.child import Order
from bench.process import ROOT, Child
from bench.scenarios import BARE, CELERY, DRAMATIQ, NODE, OFFICIAL, OURS, RQ

TITLES = {
    OURS: "auth-worker",
    NODE: "Node BullMQ",
    OFFICIAL: "official Python",
    BARE: "bare socket",
    CELERY: "Celery",
    DRAMATIQ: "dramatiq",
    RQ: "RQ",
}
NODE_PACKAGE = ROOT / "tests" / "interop" / "package.json"
_NODE_PROGRAM = ROOT / "bench" / "adapters" / "node.mjs"


def node_version() -> str | None:
    """The version of Node BullMQ, or None where it is not installed."""
    manifest = NODE_PACKAGE.parent / "node_modules" / "bullmq" / "package.json"
    if shutil.which("node") is None or not manifest.is_file():
        return None
    return str(json.loads(manifest.read_text())["version"])


def child_of(contender: str, order: Order, log: Path) -> Child:
    """The process of a contender that does what ``order`` says."""
    text = json.dumps(asdict(order))
    if contender == NODE:
        return Child(["node", str(_NODE_PROGRAM), str(NODE_PACKAGE), text], log)
    return Child([sys.executable, "-m", f"bench.adapters.{contender}", text], log)
