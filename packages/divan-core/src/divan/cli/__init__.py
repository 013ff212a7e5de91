"""Internal: the command line, ``divan``; needs ``divan-core[cli]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after ``divan``; `None` for those of this process.

    Returns:
        The exit code; see `divan.cli.exits`.
    """
    if find_spec("click") is None or find_spec("rich") is None:
        sys.stderr.write("Error: the command line is not installed: pip install 'divan-core[cli]'\n")
        return 1
    from divan.cli.app import run

    return run(arguments)
