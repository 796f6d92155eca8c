"""Corrects the script that typer installs for zsh."""

from __future__ import annotations

import contextlib

_REGISTER = "\ncompdef %(complete_func)s %(prog_name)s\n"
_COMPLETE_OR_REGISTER = """
if [ "$funcstack[1]" = "_%(prog_name)s" ]; then
  %(complete_func)s "$@"
else
  compdef %(complete_func)s %(prog_name)s
fi
"""


def complete_at_first_tab() -> None:
    """Make the script that typer installs for zsh complete at the first Tab of a session.

    zsh loads the script at the first Tab. Typer's script then only registers itself.
    """
    with contextlib.suppress(ImportError, AttributeError, KeyError):  # another release of typer
        from typer import _completion_shared

        scripts = _completion_shared._completion_scripts
        scripts["zsh"] = scripts["zsh"].replace(_REGISTER, _COMPLETE_OR_REGISTER)
