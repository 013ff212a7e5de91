"""The tests that the page "Testing with Divan" shows are run by pytest, as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "testing.md"

pytestmark = pytest.mark.slow


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    return tmp_path


def test_what_the_page_shows_passes(folder: Path) -> None:
    output = _run(folder)
    assert "7 passed" in output, output
    for test in ("wherever_documents_are_kept[memory]", "wherever_documents_are_kept[sqlite]", "store_that_is_down"):
        assert re.search(rf"PASSED \S*{re.escape(test)}", output), output


def test_a_database_that_holds_documents_is_not_emptied(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\ndivan_urls = sqlite:///theirs.db\n", encoding="utf-8")
    (folder / "test_theirs.py").write_text(
        "import divan\n\n"
        "def test_first():\n"
        "    with divan.open('sqlite:///theirs.db') as store:\n"
        "        store.put('ada', {})\n\n"
        "def test_second(divan_each_store):\n"
        "    divan_each_store.put('blaise', {})\n\n"
        "def test_third():\n"
        "    with divan.open('sqlite:///theirs.db') as store:\n"
        "        assert list(store.ids()) == ['ada']\n",
        encoding="utf-8",
    )
    output = _run(folder, "test_theirs.py")
    assert "2 passed, 1 error" in output, output
    assert "write {name} into the URL" in output, output
