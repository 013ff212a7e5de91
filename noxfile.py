"""Every task of the repository, one session each: ``nox --list`` names them, ``nox -s NAME`` sets all up and runs one.

Each task loops over the folders of ``packages/`` that hold a ``pyproject.toml``; a package joins by being there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typecheck", "build", "tests"]

# A registry that does not answer for a moment fails nothing: its client asks again.
for _name, _value in {
    "PIP_RETRIES": "10",
    "PIP_DEFAULT_TIMEOUT": "60",
    "UV_HTTP_RETRIES": "10",
    "UV_HTTP_TIMEOUT": "120",
    "npm_config_fetch_retries": "5",
}.items():
    os.environ.setdefault(_name, _value)

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PYTHONS = ["3.11", "3.12", "3.13"]
JUNIT = ROOT / "build" / "junit"
# Each worker starts the servers that its tests ask for; a class or module, whose tests share them, stays on one. They
# begin in the order of `tests/support/plugin.py`.
WORKERS = ["-n", str(min(4, (os.cpu_count() or 1) + 1))]  # one more than there are cores, for some tests wait
PARALLEL = [*WORKERS, "--dist=loadscope", "--no-loadscope-reorder"]
# A fifth of the generated values or less, and fewer sequences of random calls than a class of the suite says.
BRIEF = ["--hypothesis-profile=brief", "-p", "divan.testing.plugin", "--divan-sequences=10"]
# Percent of the lines that the tests reach in their own processes, a little below what was measured: in CI, a run that
# reaches fewer fails.
FLOOR = 93


def _load(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


PACKAGES = {folder.parent: _load(folder.parent) for folder in sorted(ROOT.glob("packages/*/pyproject.toml"))}
"""Each package's folder → its `pyproject.toml`."""


def _find_pyenv_pythons() -> None:
    """Put pyenv's interpreters on PATH where they are not: its shims only run the versions that are active."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in PYTHONS:
        program = f"python{python}"
        if (
            shutil.which(program)
            and subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            continue
        found = [folder / "bin" for folder in versions.glob(f"{python}.*") if (folder / "bin" / program).exists()]
        if found:
            newest = max(found, key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.parent.name)])
            os.environ["PATH"] = os.pathsep.join([str(newest), os.environ["PATH"]])


_find_pyenv_pythons()


def _group(name: str) -> list[str]:
    """The requirements of a dependency group: the root's, and those of every package that has one of this name."""
    requirements: list[str] = []
    for project in [_load(ROOT), *PACKAGES.values()]:
        if name in project.get("dependency-groups", {}):
            requirements += nox.project.dependency_groups(project, name)
    return requirements


def _wheels(only: Collection[str] | None = None) -> list[str]:
    """Each package's built wheel as a requirement, with those of its extras that are in `only`, or with all."""
    requirements = []
    for project in PACKAGES.values():
        name = project["project"]["name"]
        wheel = next(DIST.glob(f"{name.replace('-', '_')}-*.whl"))
        extras = [
            extra for extra in project["project"].get("optional-dependencies", {}) if only is None or extra in only
        ]
        requirements.append(
            f"{name}[{','.join(extras)}] @ {wheel.as_uri()}" if extras else f"{name} @ {wheel.as_uri()}"
        )
    return requirements


def _install_wheels(session: nox.Session, *requirements: str, only: Collection[str] | None = None) -> None:
    """Install the built wheels with those extras that are in `only`, or with all, and what else is asked for.

    A reused environment may hold an older build under the same version, which an installer would keep: so the wheels go
    in first, by force and alone, and their dependencies after them.
    """
    session.install("--quiet", "--no-deps", "--force-reinstall", *_wheels(only=()))
    session.install("--quiet", *_wheels(only), *requirements)


def _install_editable(session: nox.Session, *requirements: str) -> None:
    """Install the packages from their folders, with all extras, and what else is asked for."""
    arguments = []
    for folder, project in PACKAGES.items():
        extras = ",".join(project["project"].get("optional-dependencies", {}))
        arguments += ["--editable", f"{folder}[{extras}]" if extras else str(folder)]
    session.install("--quiet", *arguments, *requirements)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every package's wheel and source distribution into dist/."""
    backends = {backend for project in PACKAGES.values() for backend in project["build-system"]["requires"]}
    session.install("--quiet", *_group("build"), *sorted(backends))
    shutil.rmtree(DIST, ignore_errors=True)
    for folder in PACKAGES:
        # The build backends are in this environment already: one environment in place of two a package.
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), str(folder), silent=True)
    session.log("built " + ", ".join(sorted(path.name for path in DIST.iterdir())))


@nox.session(requires=["wheels"])
def tests(session: nox.Session) -> None:
    """Run all tests against the built wheels, on several cores; what follows ``--`` goes to pytest in place of that.

    In CI the run also fails where the tests reach fewer lines than `FLOOR`.
    """
    _install_wheels(session, *_group("tests"))
    if session.posargs:
        session.run("pytest", *session.posargs)
    elif sys.version_info < (3, 12):  # where to measure costs much time
        session.run("pytest", *PARALLEL, *_report("tests"))
    else:
        measured = [*_measured(), "--cov-report=term:skip-covered"]
        if os.environ.get("CI") == "true":
            measured.append(f"--cov-fail-under={FLOOR}")
        session.run("pytest", *PARALLEL, *_report("tests"), *measured, env={"COVERAGE_CORE": "sysmon"})


@nox.session(python=PYTHONS, requires=["wheels"])
@nox.parametrize("package", [project["project"]["name"] for project in PACKAGES.values()])
def selftest(session: nox.Session, package: str) -> None:
    """Test each package alone: its wheel from its unpacked source distribution, without the tests marked slow or heavy.

    What follows ``--`` goes to pytest in place of that choice.
    """
    (project,) = [project for project in PACKAGES.values() if project["project"]["name"] == package]
    needed = nox.project.dependency_groups(project, "tests")
    wheels = [wheel for wheel in _wheels(only=()) if wheel.startswith((f"{package} @", "divan-core @"))]
    session.install("--quiet", "--no-deps", "--force-reinstall", *wheels)
    session.install("--quiet", *wheels, *needed, *_group("selftest"))
    folder = Path(session.create_tmp())
    shutil.rmtree(folder)
    (archive,) = DIST.glob(f"{package.replace('-', '_')}-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    session.chdir(folder / archive.name.removesuffix(".tar.gz"))
    report = _report(f"selftest-{session.python}-{package}")
    # One class may hold most of a package's tests, so that the workers share classes: each has servers of its own.
    chosen = [*WORKERS, "--dist=worksteal", *BRIEF, "-m", "not slow and not heavy"]
    session.run("python", "-m", "pytest", *(session.posargs or [*chosen, *report]))


@nox.session
def quick(session: nox.Session) -> None:
    """Check style, and run the tests that need no live server and are not slow, against the sources as they are."""
    _install_editable(session, *_group("tests"), *_group("lint"))
    _lint(session)
    session.run("pytest", *(session.posargs or [*PARALLEL, *BRIEF, "-m", "not live and not slow"]))


@nox.session(python=PYTHONS[0], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run what `quick` runs on the oldest Python, against the oldest release that each dependency's bound lets in."""
    # Upgraded, which here means: what the environment has from an earlier run is no reason to keep it.
    _install_editable(session, "--resolution", "lowest-direct", "--upgrade", *_group("tests"))
    session.run("pytest", *(session.posargs or [*PARALLEL, *BRIEF, "-m", "not live and not slow"]))


@nox.session(requires=["wheels"])
def coverage(session: nox.Session) -> None:
    """Run all tests on this Python and report which lines and branches they reach."""
    _install_wheels(session, *_group("tests"))
    session.run("pytest", *_measured(), "--cov-branch", "--cov-report=term-missing:skip-covered", *session.posargs)


def _measured() -> list[str]:
    """The options with which pytest measures what the tests reach of the packages."""
    modules = sorted(path.parent.name for folder in PACKAGES for path in folder.glob("src/*/__init__.py"))
    return [f"--cov={module}" for module in modules]


def _report(name: str) -> list[str]:
    """The option with which pytest leaves a report of a run for `.ci/run`."""
    return [f"--junit-xml={JUNIT / name}.xml"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and what imports what; ``-- --fix`` repairs what can be repaired."""
    session.install("--quiet", *_group("lint"))
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    else:
        _lint(session)


def _lint(session: nox.Session) -> None:
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    # It reads the sources and imports none of them.
    sources = os.pathsep.join(str(folder / "src") for folder in PACKAGES)
    session.run("lint-imports", env={"PYTHONPATH": sources})


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of the packages, the tasks, the benchmarks and the typing examples, strictly."""
    # Editable, so that mypy reads the sources and reports their paths.
    _install_editable(session, *_group("typecheck"))
    sources = [str(path.relative_to(ROOT)) for folder in PACKAGES for path in folder.glob("src/*")]
    others = [
        "noxfile.py",
        "benchmarks",
        "demo",
        "tests/support",
        "tests/torture",
        "tests/soak",
        "tests/typing_examples.py",
    ]
    session.run("mypy", *sources, *others, *session.posargs)
    session.run("pyright", "tests/typing_examples.py")


@nox.session(requires=["wheels"])
def build(session: nox.Session) -> None:
    """Build all packages, install the wheels alone into a fresh environment, and let them discover each other."""
    scripts = _install_afresh(session, only=("cli",))
    session.run(str(scripts / "divan"), "backends", "--check", external=True)


def _install_afresh(session: nox.Session, only: Collection[str] | None = None) -> Path:
    """Install the wheels, with all extras or those in `only`, and nothing else into a new environment; its programs."""
    fresh = Path(session.create_tmp()) / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    session.run("python", "-m", "venv", str(fresh), silent=True)
    scripts = fresh / ("Scripts" if os.name == "nt" else "bin")
    if session.venv_backend == "uv":
        installer = ["uv", "pip", "install", "--python", str(scripts / "python")]
    else:
        installer = [str(scripts / "python"), "-m", "pip", "install"]
    session.run(*installer, "--quiet", *_wheels(only), external=True)
    return scripts


@nox.session(requires=["wheels"])
def audit(session: nox.Session) -> None:
    """Ask a public service whether what the wheels bring along, all extras included, has known vulnerabilities."""
    session.install("--quiet", *_group("audit"))
    python = _install_afresh(session) / "python"
    # The service knows nothing of the wheels, and they need no installer. All that is left it must know: or
    # one that knows nothing would pass for one that has found nothing.
    others = [project["project"]["name"] for project in PACKAGES.values()]
    session.run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *others, "pip", external=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = session.run(str(python), "-c", where, external=True, silent=True)
    session.run("pip-audit", "--strict", "--progress-spinner=off", "--path", str(folder).strip(), *session.posargs)


@nox.session(requires=["wheels"])
def conformance(session: nox.Session) -> None:
    """Run the conformance suite against any server: ``nox -s conformance -- --url couchdb://localhost/test``."""
    _install_wheels(session, *_group("selftest"))
    arguments = list(session.posargs)
    if "--url" in arguments[:-1]:
        position = arguments.index("--url")
        url = arguments.pop(position + 1)
        arguments.pop(position)
    else:
        session.error("name a store to test: nox -s conformance -- --url sqlite:///conformance.db")
    session.run("divan", "conformance", url, *arguments)


@nox.session(requires=["wheels"])
def torture(session: nox.Session) -> None:
    """Kill writers, cut networks, and look for what is lost or doubled: ``-- redis --seconds 60 --seed 1``."""
    _install_wheels(session, *_group("tests"))
    session.run("python", "-m", "tests.torture", *session.posargs)


@nox.session(requires=["wheels"])
def soak(session: nox.Session) -> None:
    """Look for what grows with a million calls, and 10,000 Stores: ``-- redis --operations 100000 --cycles 1000``."""
    _install_wheels(session, *_group("tests"))
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session(requires=["wheels"])
def fuzz(session: nox.Session) -> None:
    """Try whatever may come from outside, with new values at each round, for so long: ``-- --seconds 600``."""
    _install_wheels(session, *_group("tests"))
    seconds = float(session.posargs[1]) if session.posargs[:1] == ["--seconds"] else 60.0
    ends = time.monotonic() + seconds
    while True:
        session.run("pytest", *PARALLEL, "-m", "fuzz", "--hypothesis-profile=fuzz", *session.posargs[2:])
        if time.monotonic() > ends:
            return


@nox.session(requires=["wheels"])
def mutants(session: nox.Session) -> None:
    """Seed faults in copies of the embedded drivers, and tell which checks of the suite catch each: ``-- NAME …``."""
    _install_wheels(session, *_group("tests"))
    session.run("python", "packages/divan-core/tests/mutants", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into build/site; a warning is an error, ``-- serve`` shows it while you write."""
    _install_editable(session, *_group("docs"))
    # mkdocs-material would announce its successor at each run.
    environment = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]), env=environment)


@nox.session(requires=["wheels"])
def bench(session: nox.Session) -> None:
    """Measure Divan against the raw clients; ``-- --quick``, ``-- --list`` and row names are taken."""
    _install_wheels(session, *_group("bench"), *_group("test-servers"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(requires=["wheels"])
def demo(session: nox.Session) -> None:
    """Load 1,461 days of weather into a store and ask it a few questions."""
    _install_wheels(session, only=("cli",))
    # Only the data file is wanted, and not the data frames that the package also depends on.
    session.install("--quiet", "--no-deps", "vega_datasets")
    session.run("python", "demo/seattle.py", *session.posargs)
