"""What `import divan` brings with it: no driver, no plugin, no optional dependency."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

OPTIONAL = [
    "anyio",
    "click",
    "couchdb",
    "django",
    "hypothesis",
    "jinja2",
    "opentelemetry",
    "pymongo",
    "pytest",
    "redis",
    "rich",
    "sqlite3",
]


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


CONTRACT = {f"divan.backends.{name}" for name in ("base", "driver", "locks", "support")}


def drivers(modules: set[str]) -> set[str]:
    """The driver modules among them."""
    named = {name for name in modules if name.startswith(("divan.backends.", "divan_"))}
    return (named - CONTRACT) | (modules & set(OPTIONAL))


@pytest.mark.parametrize(
    "code",
    [
        "import divan",
        "import divan; divan.list_backends()",
        "import divan; [(info.distribution, info.version, info.summary) for info in divan.list_backends()]",
        "import divan\ntry: divan.get_backend('nowhere')\nexcept divan.BackendNotFound: pass",
    ],
    ids=["import", "list_backends()", "metadata", "an unknown backend"],
)
def test_no_driver_and_no_optional_dependency_is_loaded(code: str) -> None:
    assert drivers(modules_after(code)) == set()


def test_asking_for_one_backend_loads_that_one_alone() -> None:
    assert drivers(modules_after("import divan; divan.get_backend('memory')")) == {"divan.backends.memory"}


def test_opening_one_backend_loads_that_one_alone() -> None:
    assert drivers(
        modules_after("import divan, os; os.environ['DIVAN_PLUGINS'] = ''; divan.open('memory://x').create({'a': 1})")
    ) == {"divan.backends.memory"}


def test_the_contract_alone_loads_no_driver() -> None:
    assert drivers(modules_after("from divan.backends.base import BaseDivanBackend")) == set()
