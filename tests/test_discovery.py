"""What is installed: found without importing it, by name, alias and distribution, and whatever state its metadata are in."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import divan
import importlib_metadata
import pytest
from divan import AmbiguousBackend, BackendLoadError, BackendNotFound, PluginWarning, discovery, installed
from divan.backends.base import BaseDivanBackend
from divan.installed import normalize, scan

from tests.support.distributions import DICT_BACKEND, Distribution, backend


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of `sys.path`, into which distributions can be installed; what is imported from it is forgotten."""
    monkeypatch.delenv("DIVAN_PLUGINS", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    # Python's own listing of the folder is kept by its time stamp: what comes into it gives it another one for certain.
    long_ago = os.stat(folder).st_mtime_ns - 10**10
    os.utime(folder, ns=(long_ago, long_ago))
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    importlib.invalidate_caches()


def names() -> list[str]:
    return [info.name for info in divan.list_backends()]


def info(name: str) -> divan.BackendInfo:
    (found,) = [each for each in divan.list_backends() if each.name == name]
    return found


# Listing


def test_an_installed_backend_is_listed_with_what_its_metadata_say(site: Path) -> None:
    Distribution(
        "divan-floppy",
        {"divan_floppy.py": ""},
        {"divan.backends": {"floppy": "divan_floppy:FloppyBackend"}},
        version="2.5",
        summary="Documents on floppy disks",
    ).unpack(site)

    found = info("floppy")

    assert (found.name, found.aliases, found.value) == ("floppy", (), "divan_floppy:FloppyBackend")
    assert (found.distribution, found.version, found.summary) == ("divan-floppy", "2.5", "Documents on floppy disks")
    assert found.qualified_name == "divan-floppy:floppy"


def test_the_cores_own_backends_are_listed_through_the_same_door() -> None:
    for name in ("memory", "sqlite"):
        assert info(name).distribution == "divan-core"
        assert info(name).version
        assert issubclass(divan.get_backend(name), BaseDivanBackend)


def test_the_list_is_sorted_by_name(site: Path) -> None:
    for name in ("zip", "abacus", "nail"):
        backend(f"divan-{name}", name).unpack(site)

    assert names() == sorted(names())
    assert {"zip", "abacus", "nail", "memory", "sqlite"} <= set(names())


def test_listing_imports_no_driver(site: Path) -> None:
    backend("divan-floppy", "floppy", source="raise RuntimeError('imported')").unpack(site)

    assert info("floppy").summary
    assert "divan_floppy" not in sys.modules


def test_a_listing_can_be_changed_without_changing_the_next(site: Path) -> None:
    divan.list_backends().clear()

    assert "memory" in names()


def test_further_names_of_one_driver_are_aliases(site: Path) -> None:
    backend("divan-floppy", "floppydisk", "floppy", "disk35").unpack(site)

    assert info("disk35").aliases == ("floppy", "floppydisk")  # the shortest is the name, of equals the first
    assert not {"floppy", "floppydisk"} & set(names())
    for name in ("floppy", "floppydisk", "disk35", "divan-floppy:floppydisk"):
        assert divan.get_backend(name).__name__ == "DictBackend"


def test_two_drivers_of_one_distribution_are_two_backends(site: Path) -> None:
    entries = {"divan.backends": {"one": "divan_two:One", "two": "divan_two:Two"}}
    Distribution("divan-two", {"divan_two.py": ""}, entries).unpack(site)

    assert (info("one").value, info("two").value) == ("divan_two:One", "divan_two:Two")


# Installing and removing while the process runs


def test_a_distribution_installed_while_the_process_runs_is_found(site: Path) -> None:
    assert "floppy" not in names()

    backend("divan-floppy", "floppy").unpack(site)

    assert "floppy" in names()
    with divan.open("floppy://") as store:
        assert store.create({"a": 1}) == {"number": 1, "a": 1}


def test_a_distribution_removed_while_the_process_runs_is_gone(site: Path) -> None:
    floppy = backend("divan-floppy", "floppy")
    floppy.unpack(site)
    assert "floppy" in names()

    floppy.remove(site)

    assert "floppy" not in names()


def test_an_upgrade_while_the_process_runs_is_seen(site: Path) -> None:
    backend("divan-floppy", "floppy").unpack(site)
    assert info("floppy").version == "1.0"

    backend("divan-floppy", "floppy").remove(site)
    Distribution("divan-floppy", {}, {"divan.backends": {"floppy": "x:Y"}}, version="2.0").unpack(site)

    assert info("floppy").version == "2.0"


def test_a_change_within_the_grain_of_the_folders_time_stamp_is_seen(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = os.stat(site).st_mtime_ns
    # However long the looks below take, no more time passes than a coarse stamp leaves out.
    clock = SimpleNamespace(time_ns=lambda: stamp + 10_000_000, monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr(installed, "time", clock)
    for number in range(5):
        backend(f"divan-b{number}", f"b{number}").unpack(site)
        os.utime(site, ns=(stamp, stamp))  # what a file system with coarse stamps would say

        assert f"b{number}" in names()
        assert issubclass(divan.get_backend(f"b{number}"), BaseDivanBackend)


def test_a_folder_that_joins_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend("divan-floppy", "floppy").unpack(tmp_path)
    assert "floppy" not in names()

    monkeypatch.syspath_prepend(str(tmp_path))

    assert "floppy" in names()


def test_nothing_is_read_again_while_nothing_changes(site: Path) -> None:
    long_ago = os.stat(site).st_mtime_ns - 10**10
    os.utime(site, ns=(long_ago, long_ago))
    deadline = time.monotonic() + 60

    while scan() is not scan():  # another folder of the path changed a moment ago
        assert time.monotonic() < deadline


def settle(site: Path) -> None:
    """Let all that is on the path be as it is for long, so that what was read is kept."""
    for path in (site, *site.iterdir(), *site.glob("*/entry_points.txt")):
        stamp = os.stat(path).st_mtime_ns - 10**10
        os.utime(path, ns=(stamp, stamp))
    deadline = time.monotonic() + 60
    while scan() is not scan():  # another folder of the path changed a moment ago
        assert time.monotonic() < deadline


@pytest.mark.parametrize("way", ["written over", "replaced"])
def test_entry_points_that_are_rewritten_in_place_are_seen(site: Path, way: str) -> None:
    backend("divan-floppy", "floppy").unpack(site)
    settle(site)
    assert "floppy" in names()
    file = next(site.glob("*/entry_points.txt"))

    for name in ("floppy-two", "floppy-six"):  # of one size
        written = file if way == "written over" else file.with_name("new")
        written.write_text(f"[divan.backends]\n{name} = divan_floppy:DictBackend\n")
        if written != file:
            written.replace(file)

        assert {each for each in names() if each.startswith("floppy")} == {name}
        assert divan.get_backend(name).__name__ == "DictBackend"


@pytest.mark.parametrize("before", [None, "[console_scripts]\nfloppy = divan_floppy:main\n"], ids=["no file", "others"])
def test_entry_points_for_divan_that_are_added_in_place_are_found_by_who_asks_for_them(
    site: Path, before: str | None
) -> None:
    floppy = backend("divan-floppy", "floppy")
    floppy.unpack(site)
    file = next(site.glob("*/entry_points.txt"))
    entries = file.read_text()
    if before is None:
        file.unlink()
    else:
        file.write_text(before)
    settle(site)
    assert "floppy" not in names()

    file.write_text(entries)

    assert divan.get_backend("floppy").__name__ == "DictBackend"
    assert "floppy" in names()


def test_entry_points_for_divan_that_are_added_in_place_are_listed_a_moment_later(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floppy = backend("divan-floppy", "floppy")
    floppy.unpack(site)
    file = next(site.glob("*/entry_points.txt"))
    entries = file.read_text()
    file.unlink()
    settle(site)
    assert "floppy" not in names()
    file.write_text(entries)

    later = time.monotonic_ns() + 200_000_000
    monkeypatch.setattr(installed, "time", SimpleNamespace(time_ns=time.time_ns, monotonic_ns=lambda: later))

    assert "floppy" in names()


class Finder:
    """A finder with distributions of its own, which are on no path."""

    def __init__(self, *distributions: importlib_metadata.Distribution) -> None:
        self.distributions = distributions

    def find_spec(self, *_: object) -> None:
        return None

    def find_distributions(self, _context: object) -> tuple[importlib_metadata.Distribution, ...]:
        return self.distributions


class Held(importlib_metadata.Distribution):
    """A distribution that is in no folder."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename.partition(".")[0])

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


def test_a_finder_that_comes_later_is_asked_and_one_that_goes_is_not(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(site)
    assert "held" not in names()
    held = Held(METADATA="Name: divan-held\nVersion: 4\n", entry_points="[divan.backends]\nheld = held:Backend\n")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(held)])
    assert (info("held").distribution, info("held").version) == ("divan-held", "4")

    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:-1])
    assert "held" not in names()


def test_a_finder_that_can_not_list_hides_no_other(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend("divan-floppy", "floppy").unpack(site)

    class Broken(Finder):
        def find_distributions(self, _context: object) -> Any:
            raise RuntimeError("no list")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])

    assert {"floppy", "memory", "sqlite"} <= set(names())
    assert "RuntimeError: no list" in scan().unreadable[0].reason


def test_threads_that_list_while_distributions_come_and_go_see_whole_lists(site: Path) -> None:
    floppy = backend("divan-floppy", "floppy")
    stop = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not stop.is_set():
            try:
                found = set(names())
            except Exception as error:
                wrong.append(error)
                return
            if not {"memory", "sqlite"} <= found:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        floppy.unpack(site)
        floppy.remove(site)
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []


# Asking for one


def test_an_unknown_name_lists_what_is_installed(site: Path) -> None:
    backend("divan-floppy", "floppy").unpack(site)

    with pytest.raises(
        BackendNotFound, match=r"^no installed backend is called 'punchcard'; installed are: .*floppy.*memory"
    ):
        divan.get_backend("punchcard")


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("couchdb", "divan-couchdb"),
        ("couchdbs", "divan-couchdb"),
        ("mongo", "divan-mongo"),
        ("mongodb", "divan-mongo"),
        ("mongodb+srv", "divan-mongo"),
        ("postgres", "divan-postgres"),
        ("postgresql", "divan-postgres"),
        ("redis", "divan-redis"),
        ("rediss", "divan-redis"),
    ],
)
def test_a_known_name_that_is_not_installed_says_what_to_install(
    name: str, distribution: str, monkeypatch: pytest.MonkeyPatch, site: Path
) -> None:
    # Where the drivers are installed, they are not seen here.
    monkeypatch.setattr(sys, "path", [str(site)])

    with pytest.raises(BackendNotFound, match=rf"; it comes with: pip install {distribution}$"):
        divan.get_backend(name)


def test_something_that_is_no_backend_is_refused(site: Path) -> None:
    backend("divan-floppy", "floppy", source="DictBackend = dict").unpack(site)

    with pytest.raises(
        BackendLoadError,
        match=r"is no subclass of divan\.backends\.base\.BaseDivanBackend; reinstall or remove divan-floppy$",
    ):
        divan.get_backend("floppy")


BROKEN = {
    "raises": ("raise ZeroDivisionError('division by zero')", ZeroDivisionError, "ZeroDivisionError: division by zero"),
    "raises without a message": ("raise ValueError", ValueError, "ValueError"),
    "imports what is not there": ("import no_such_client", ModuleNotFoundError, "No module named 'no_such_client'"),
    "does not parse": ("def f(:", SyntaxError, "SyntaxError"),
    "exits": ("raise SystemExit(3)", SystemExit, "SystemExit: 3"),
    "lacks the class": ("", AttributeError, "DictBackend"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_driver_whose_import_fails_breaks_only_itself(site: Path, how: str) -> None:
    source, cause, reason = BROKEN[how]
    backend("divan-broken", "broken", source=source).unpack(site)
    backend("divan-floppy", "floppy").unpack(site)

    assert {"broken", "floppy", "memory"} <= set(names())
    assert divan.get_backend("floppy").__name__ == "DictBackend"
    with pytest.raises(BackendLoadError) as caught:
        divan.get_backend("broken")
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value).startswith(
        "the backend 'broken' of divan-broken (divan_broken:DictBackend) can't be loaded: "
    )
    assert reason in str(caught.value)
    assert str(caught.value).endswith("; reinstall or remove divan-broken")


def test_a_broken_driver_can_be_asked_for_again(site: Path) -> None:
    backend("divan-broken", "broken", source="raise ValueError('broken')").unpack(site)

    for _ in range(2):
        with pytest.raises(BackendLoadError, match="ValueError: broken"):
            divan.get_backend("broken")


# Two distributions, one name


@pytest.fixture
def rivals(site: Path) -> Path:
    """Two distributions that claim the backend ``floppy``."""
    backend("divan-floppy", "floppy", module="floppy_one").unpack(site)
    backend("Rival.Floppy", "floppy", "disk", module="floppy_two").unpack(site)
    return site


def test_two_distributions_that_claim_one_name_are_both_listed(rivals: Path) -> None:
    claims = [
        (each.name, each.distribution) for each in divan.list_backends() if "floppy" in (each.name, *each.aliases)
    ]

    assert sorted(claims) == [("disk", "Rival.Floppy"), ("floppy", "divan-floppy")]


def test_a_name_that_two_claim_is_ambiguous_and_names_both(rivals: Path) -> None:
    with pytest.raises(AmbiguousBackend) as caught:
        divan.get_backend("floppy")

    assert str(caught.value) == (
        "Rival.Floppy and divan-floppy both claim the backend 'floppy'; "
        "choose one with 'Rival.Floppy:floppy' or 'divan-floppy:floppy', or uninstall one"
    )


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("divan-floppy:floppy", "floppy_one"),
        ("Rival.Floppy:floppy", "floppy_two"),
        ("rival-floppy:floppy", "floppy_two"),
        ("RIVAL_FLOPPY:disk", "floppy_two"),
        ("disk", "floppy_two"),
    ],
)
def test_a_qualified_name_always_resolves(rivals: Path, name: str, module: str) -> None:
    assert divan.get_backend(name).__module__ == module


def test_a_qualified_name_resolves_in_a_url(rivals: Path) -> None:
    with divan.open("divan-floppy:floppy://x") as store:
        assert type(store.backend).__module__ == "floppy_one"
    with pytest.raises(AmbiguousBackend):
        divan.open("floppy://x")


def test_a_qualified_name_with_the_wrong_distribution_is_not_found(rivals: Path) -> None:
    with pytest.raises(BackendNotFound, match="no installed backend is called 'divan-core:floppy'"):
        divan.get_backend("divan-core:floppy")


def test_two_claims_with_one_value_are_still_two_backends(site: Path) -> None:
    for name in ("divan-one", "divan-two"):
        Distribution(name, {}, {"divan.backends": {"same": "same:Same"}}).unpack(site)

    one, two = [each for each in divan.list_backends() if each.name == "same"]

    assert one != two
    assert len({one, two}) == 2
    assert one in divan.list_backends()


LEFTOVERS = ["~ivan_floppy-1.0.dist-info", "~~van_floppy-1.0.dist-info", "~ivan_floppy-0.9.dist-info"]


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_what_pip_left_of_an_earlier_installation_is_passed_over(site: Path, leftover: str) -> None:
    floppy = backend("divan-floppy", "floppy", "disk")
    floppy.unpack(site)
    shutil.copytree(site / floppy.info, site / leftover)
    (site / leftover / "entry_points.txt").write_text("[divan.backends]\nfloppy = gone:Backend\nolder = gone:Old\n")

    assert names().count("disk") == 1
    assert "older" not in names()
    for name in ("floppy", "divan-floppy:floppy"):
        assert divan.get_backend(name).__name__ == "DictBackend"


def test_what_one_distribution_says_twice_is_one_backend(site: Path) -> None:
    floppy = backend("divan-floppy", "floppy", "disk")
    floppy.unpack(site)
    shutil.copytree(site / floppy.info, site / "copy_of_floppy-1.0.dist-info")

    assert names().count("disk") == 1
    for name in ("floppy", "divan-floppy:floppy"):
        assert divan.get_backend(name).__name__ == "DictBackend"


TWICE = "[divan.backends]\nfloppy = one:One\n{}[divan.backends]\nfloppy = two:Two\n"


def test_a_distribution_that_gives_one_name_two_values_is_told_to_be_at_fault(site: Path) -> None:
    Distribution("divan-floppy", {}, TWICE.format("")).unpack(site)

    for name in ("floppy", "divan-floppy:floppy"):
        with pytest.raises(AmbiguousBackend) as caught:
            divan.get_backend(name)

        assert str(caught.value) == (
            f"the backend {name!r} is not clear: divan-floppy gives it 2 values, one:One and two:Two, which is its "
            "fault; reinstall or remove divan-floppy"
        )


def test_of_a_name_with_two_values_only_what_resolves_is_advised(site: Path) -> None:
    Distribution("divan-floppy", {"one.py": DICT_BACKEND}, TWICE.format("disk = one:One\n")).unpack(site)
    backend("rival-floppy", "floppy").unpack(site)

    with pytest.raises(AmbiguousBackend) as caught:
        divan.get_backend("floppy")

    assert str(caught.value) == (
        "divan-floppy and rival-floppy both claim the backend 'floppy'; divan-floppy gives it 2 values, one:One and "
        "two:Two, which is its fault; choose one with 'divan-floppy:disk' or 'rival-floppy:floppy', or uninstall one"
    )
    assert discovery.find_backend("divan-floppy:disk").value == "one:One"
    assert discovery.find_backend("rival-floppy:floppy").distribution == "rival-floppy"


def test_nobody_is_told_to_uninstall_the_core(site: Path) -> None:
    backend("rival-lite", "sqlite").unpack(site)

    with pytest.raises(
        AmbiguousBackend, match=r"with 'divan-core:sqlite' or 'rival-lite:sqlite', or uninstall rival-lite$"
    ):
        divan.open("sqlite:///guests.db")
    assert divan.get_backend("divan-core:sqlite").__name__ == "SQLiteBackend"


# Names that URLs and people write in another way


def test_a_name_with_a_colon_is_found_as_it_stands(site: Path) -> None:
    backend("divan-acme", "acme:v2").unpack(site)

    for name in ("acme:v2", "divan-acme:acme:v2"):
        assert divan.get_backend(name).__name__ == "DictBackend"
    for store in (divan.open("acme:v2://x"), divan.open("acme:v2", database="x")):
        with store:
            assert store.name == "acme:v2"


def test_the_exact_name_comes_before_one_that_is_qualified(site: Path) -> None:
    backend("acme", "v2", module="acme_one").unpack(site)
    backend("other", "acme:v2", module="acme_two").unpack(site)

    assert divan.get_backend("acme:v2").__module__ == "acme_two"
    assert divan.get_backend("v2").__module__ == "acme_one"
    assert divan.get_backend("other:acme:v2").__module__ == "acme_two"


@pytest.mark.parametrize("name", ["acmé", "a/b", "ac me", "2x"])
def test_a_name_that_no_url_can_hold_does_not_beat_an_alias_that_one_can(site: Path, name: str) -> None:
    backend("divan-acme", name, "acmestore").unpack(site)

    assert info("acmestore").aliases == (name,)
    with divan.open("acmestore://x") as store:
        assert store.name == "acmestore"


# DIVAN_PLUGINS


@pytest.fixture
def three(site: Path) -> Path:
    for name in ("divan-one", "Divan_Two", "divan.three"):
        backend(name, name.lower()[6:], module=f"module_{name.lower()[6:]}").unpack(site)
    return site


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"one", "two", "three"}),
        ("", set()),
        (" , ", set()),
        ("divan-one", {"one"}),
        ("divan-one,divan-two", {"one", "two"}),
        (" DIVAN.ONE , divan_three ,", {"one", "three"}),
        ("nothing-installed", set()),
        ("one", set()),
    ],
)
def test_the_allowlist_names_the_distributions_that_are_seen(
    three: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, expected: set[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("DIVAN_PLUGINS", value)

    assert set(names()) & {"one", "two", "three"} == expected
    assert {"memory", "sqlite"} <= set(names())


def test_the_allowlist_is_read_at_each_call(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, seen in (("divan-one", True), ("divan-two", False), ("divan-one", True), ("", False)):
        monkeypatch.setenv("DIVAN_PLUGINS", value)
        assert ("one" in names()) is seen


def test_a_backend_that_is_not_allowed_says_so(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_PLUGINS", "divan-two")

    with pytest.raises(
        BackendNotFound,
        match=r"^the backend 'one' is installed, but DIVAN_PLUGINS does not name its distribution, divan-one$",
    ):
        divan.open("one://")


def test_the_allowlist_settles_who_is_meant(rivals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_PLUGINS", "rival-floppy")

    assert divan.get_backend("floppy").__module__ == "floppy_two"


@pytest.mark.parametrize(("name", "normalized"), [("A.B_c--d", "a-b-c-d"), ("divan-core", "divan-core"), ("X", "x")])
def test_distributions_are_compared_as_pep_503_compares_them(name: str, normalized: str) -> None:
    assert normalize(name) == normalized


# Metadata in a bad state


ENTRY = {"divan.backends": {"odd": "odd:DictBackend"}}
ODD: dict[str, tuple[Distribution, tuple[str, str] | None]] = {
    "no version": (Distribution("odd", {}, ENTRY, metadata=b"Metadata-Version: 2.1\nName: odd\n"), ("odd", "")),
    "no name": (Distribution("odd", {}, ENTRY, metadata=b"Metadata-Version: 2.1\nVersion: 3\n"), ("an unnamed distribution", "3")),
    "no metadata": (Distribution("odd", {}, ENTRY, metadata=b""), ("an unnamed distribution", "")),
    "metadata that are no text": (Distribution("odd", {}, ENTRY, metadata=b"\xff\xfe\x00"), ("an unnamed distribution", "")),
    "a value that is no object": (Distribution("odd", {}, "[divan.backends]\nodd = no module!\n"), ("odd", "1.0")),
    "no value": (Distribution("odd", {}, "[divan.backends]\nodd =\n"), ("odd", "1.0")),
    "no equals sign": (Distribution("odd", {}, "[divan.backends]\nodd\n"), None),
    "no section": (Distribution("odd", {}, "odd = odd:DictBackend\n"), None),
    "a broken section": (Distribution("odd", {}, "[divan.backends\nodd = odd:DictBackend\n"), None),
    "no name of the entry point": (Distribution("odd", {}, "[divan.backends]\n = odd:DictBackend\n"), None),
}  # fmt: skip


@pytest.mark.parametrize("how", ODD)
def test_metadata_in_a_bad_state_hide_no_other_distribution(site: Path, how: str) -> None:
    distribution, listed = ODD[how]
    distribution.unpack(site)
    backend("divan-floppy", "floppy").unpack(site)

    found = {each.name: (each.distribution, each.version) for each in divan.list_backends()}

    assert found.get("odd") == listed
    assert {"floppy", "memory", "sqlite"} <= set(found)
    assert "" not in found
    assert divan.get_backend("floppy").__name__ == "DictBackend"


def test_entry_points_that_are_no_text_hide_no_other_distribution(site: Path) -> None:
    odd = Distribution("odd", {}, ENTRY)
    odd.unpack(site)
    (site / odd.info / "entry_points.txt").write_bytes(b"\xff\xfe")
    for name in ("nameless", "anonymous"):  # neither hides the other
        Distribution(name, {}, {"divan.backends": {name: "a:B"}}, metadata=b"").unpack(site)
    backend("divan-floppy", "floppy").unpack(site)

    assert {"nameless", "anonymous", "floppy", "memory", "sqlite"} <= set(names())
    assert "odd" not in names()


@pytest.mark.parametrize("missing", ["METADATA", "entry_points.txt", "RECORD", "WHEEL"])
def test_a_missing_file_of_metadata_hides_no_other_distribution(site: Path, missing: str) -> None:
    odd = Distribution("odd", {}, ENTRY)
    odd.unpack(site)
    (site / odd.info / missing).unlink()
    backend("divan-floppy", "floppy").unpack(site)

    assert {"floppy", "memory", "sqlite"} <= set(names())
    assert ("odd" in names()) is (missing != "entry_points.txt")


def test_a_folder_of_the_path_that_can_not_be_read_is_passed_over(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "file").write_text("")
    for entry in (site / "missing", site / "file"):
        monkeypatch.syspath_prepend(str(entry))

    assert {"memory", "sqlite"} <= set(names())


# Plugins


def plugin(name: str, source: str) -> Distribution:
    module = name.replace("-", "_")
    return Distribution(name, {f"{module}.py": source}, {"divan.plugins": {"main": module}})


GEO = """
import divan

@divan.hookimpl
def divan_serializers(backend):
    return {"GeoField": {"serialize": lambda point: f"{point[0]} {point[1]}", "deserialize": lambda text: tuple(map(float, text.split()))}}
"""


def test_a_plugin_teaches_every_backend_a_field_type(site: Path) -> None:
    plugin("divan-geo", GEO).unpack(site)

    with divan.open("memory://", schema={"at": "GeoField"}) as store:
        document = store.create({"at": (1.5, 2.0)})

        assert document["at"] == (1.5, 2.0)
        assert store.backend[document.id] == {"at": "1.5 2.0"}


def test_importing_and_listing_load_no_plugin(site: Path) -> None:
    plugin("divan-geo", GEO).unpack(site)

    divan.list_backends()

    assert "divan_geo" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ZeroDivisionError('division by zero')", "ZeroDivisionError: division by zero"),
        ("import no_such_client", "ModuleNotFoundError: No module named 'no_such_client'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            "import divan\n@divan.hookimpl\ndef divan_no_such_hook(): pass",
            "PluginValidationError: unknown hook 'divan_no_such_hook'",
        ),
        (
            "import divan\n@divan.hookimpl\ndef divan_before_write(nothing): pass",
            "PluginValidationError: divan_before_write has no argument 'nothing'; it has store, operation, document_id, data",
        ),
        (
            "import divan\n@divan.hookimpl(wrapper=True)\ndef divan_serializers(): return (yield)",
            "PluginValidationError: divan_serializers can't be wrapped, since each plugin's is called alone",
        ),
        ("raise ValueError('one\\ntwo')", "ValueError: one two; reinstall"),
    ],
    ids=["raises", "imports", "exits", "unknown hook", "wrong arguments", "a wrapper", "two lines"],
)
def test_a_broken_plugin_is_reported_and_skipped(site: Path, source: str, reason: str) -> None:
    plugin("divan-broken", source).unpack(site)
    plugin("divan-geo", GEO).unpack(site)

    with (
        pytest.warns(PluginWarning, match=rf"^the plugin 'main' of divan-broken was skipped: {reason}"),
        divan.open("memory://", schema={"at": "GeoField"}) as store,
    ):
        assert store.create({"at": (1.0, 2.0)})["at"] == (1.0, 2.0)


def test_an_installed_plugin_that_is_given_to_open_as_well_is_registered_once(site: Path) -> None:
    source = "import divan\nopened = []\n@divan.hookimpl\ndef divan_store_opened(store): opened.append(store.name)"
    plugin("divan-note", source).unpack(site)
    divan.open("memory://").close()
    module = sys.modules["divan_note"]
    module.opened.clear()

    divan.open("memory://", plugins=[module]).close()

    assert module.opened == ["memory"]


def test_a_broken_plugin_is_reported_once(site: Path) -> None:
    plugin("divan-broken", "raise ValueError('broken')").unpack(site)
    with pytest.warns(PluginWarning):
        divan.open("memory://").close()

    divan.open("memory://").close()  # a warning would be an error


def test_a_plugin_that_is_not_allowed_is_not_imported(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin("divan-broken", "raise ValueError('broken')").unpack(site)
    monkeypatch.setenv("DIVAN_PLUGINS", "")

    divan.open("memory://").close()

    assert "divan_broken" not in sys.modules


def test_a_plugin_installed_while_the_process_runs_is_used_by_the_next_store(site: Path) -> None:
    with divan.open("memory://"), pytest.raises(divan.InvalidSchema):
        divan.open("memory://", schema={"at": "GeoField"})

    plugin("divan-geo", GEO).unpack(site)

    with divan.open("memory://", schema={"at": "GeoField"}) as store:
        assert store.create({"at": (1.0, 2.0)})["at"] == (1.0, 2.0)


def test_a_plugin_whose_metadata_are_there_twice_is_registered_once(site: Path) -> None:
    geo = plugin("divan-geo", GEO)
    geo.unpack(site)
    for copy in ("~ivan_geo-1.0.dist-info", "geo_copy-1.0.dist-info"):
        shutil.copytree(site / geo.info, site / copy)

    with divan.open("memory://", schema={"at": "GeoField"}) as store:  # a warning would be an error
        assert store.create({"at": (1.0, 2.0)})["at"] == (1.0, 2.0)


def test_two_installed_plugins_for_one_field_type_conflict_and_are_both_named(site: Path) -> None:
    for name in ("divan-geo", "other-geo"):
        plugin(name, GEO).unpack(site)

    with pytest.raises(divan.PluginConflict, match=r"^GeoField is given by two plugins, divan-geo and other-geo: "):
        divan.open("memory://", schema={"at": "GeoField"})
