"""Finds out how to call this program from the current folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "auth-worker"


def program() -> str:
    """Return what to type for this program: its name, or its path if the folder has it and PATH does not."""
    script = Path(sys.executable).with_name(NAME)
    found = shutil.which(NAME)
    if (found is not None and Path(found).samefile(script)) or not script.exists():
        return NAME
    folder = Path.cwd()
    return str(script.relative_to(folder)) if script.is_relative_to(folder) else NAME
