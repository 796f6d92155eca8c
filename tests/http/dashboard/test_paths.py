"""The paths of the dashboard's pages, wherever it is mounted."""

from __future__ import annotations

import pytest

from auth_worker.http.dashboard.paths import whole_path


@pytest.mark.parametrize(
    ("path", "root_path", "whole"),
    [
        ("/queue", "", "/queue"),
        ("/tools/jobs/queue", "/tools/jobs", "/tools/jobs/queue"),
        ("/jobs/queue", "/tools/jobs", "/tools/jobs/queue"),
        ("/jobs", "/tools/jobs", "/tools/jobs"),
        ("/jobs/jobs/queue", "/jobs/jobs", "/jobs/jobs/queue"),
        ("/jobsite/queue", "/tools/jobs", "/jobsite/queue"),
        ("/elsewhere", "/tools/jobs", "/elsewhere"),
    ],
)
def test_the_path_has_the_root_once(path: str, root_path: str, whole: str) -> None:
    assert whole_path(path, root_path) == whole
