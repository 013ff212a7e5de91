"""Seed the faults of the table, one after the other, and tell which checks of the suite catch each.

``python MUTANTS_FOLDER [NAME …]``; each is caught if the check that is named for it fails. The rest of the suite, the
simplest checks first, runs until five have failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from table import MUTANTS, Mutant

_FOLDER = Path(__file__).parent


def _failed(*options: str) -> list[str]:
    """The checks that fail for a fault."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        plain = ["-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider", "-p", "divan.testing.plugin", "-q"]
        command = [sys.executable, "-m", "pytest", *plain, f"--junitxml={report}", *options]
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        cases = ElementTree.parse(report).iter("testcase")
        return [
            case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None
        ]


def _tell(name: str, mutant: Mutant) -> bool:
    suite = f"{_FOLDER / 'suite.py'}::Test{name}"
    is_caught = mutant.check in _failed(f"{suite}::{mutant.check}")
    others = [check for check in _failed("--maxfail=5", suite) if check != mutant.check]
    more = f"; and by {', '.join(others[:3])}{', …' if len(others) > 3 else ''}" if others else ""
    print(f"{name}: {'caught' if is_caught else 'NOT CAUGHT'} by {mutant.check}{more}", flush=True)
    return is_caught


def main() -> int:
    """Seed the faults that are named, or all."""
    unknown = [name for name in sys.argv[1:] if name not in MUTANTS]
    if unknown:
        sys.exit(f"there is no fault called {', '.join(unknown)}; the table has {', '.join(MUTANTS)}")
    caught = [_tell(name, MUTANTS[name]) for name in sys.argv[1:] or MUTANTS]
    print(f"{sum(caught)} of {len(caught)} seeded faults caught")
    return 0 if all(caught) else 1


sys.exit(main())
