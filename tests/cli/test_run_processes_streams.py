"""A response that streams passes through the parent of several processes as it passes through one."""

from __future__ import annotations

from pathlib import Path

from support.event_streams import CHECKS, Streams
from support.multiprocess_services import APP, MultiProcessService, StartWorker

STREAMING_APP = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from auth_worker.http.api import app as api
from support.event_streams import with_streams
api.application = with_streams(Path({folder!r}))
"""


def test_streams_pass_through_the_parent(folder: Path, worker: StartWorker, redis_url: str) -> None:
    notes = folder / "notes"
    app = STREAMING_APP.format(tests=str(Path(__file__).parents[1]), folder=str(notes)) + APP
    service = MultiProcessService(folder, worker, "--redis", redis_url, app=app)
    notes.mkdir()
    for check in CHECKS:
        check(Streams(service.port, notes))
        for note in notes.iterdir():
            note.unlink()
    assert service.parent.end() == 0
