"""The suite itself: it fails wrong backends, excuses what is lacking, and touches nobody's documents."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import divan
import divan.testing
import pytest
from divan.testing import Conformance, StoreChecks, generate, limits, run
from divan.testing.comparing import ShownURL, as_json

pytestmark = pytest.mark.slow

BROKEN = Path(__file__).with_name("conformance_broken.py")
SUITE = Path(__file__).parent / "mutants" / "suite.py"

sys.path.insert(0, str(SUITE.parent))
from table import MUTANTS  # noqa: E402

sys.path.pop(0)

# Each wrong backend, and the checks that must fail for it.
WRONG = {
    "TestLosesConcurrentFields": ["test_updates_of_different_fields_are_all_kept"],
    "TestLosesIncrements": ["test_increments_add_up"],
    "TestWritesFieldByField": ["test_no_reader_sees_half_an_update[get]", "test_no_reader_sees_half_an_update[find]"],
    "TestForgetsTheRevisionCheck": [
        "test_a_write_with_an_old_revision_is_refused[update]",
        "test_a_write_with_an_old_revision_changes_nothing[update with a removal]",
        "test_a_revision_that_never_was_is_refused[a word]",
    ],
    "TestKeepsTheRevision": ["test_a_write_makes_a_new_revision[an update with no changes]"],
    "TestDeletesWhateverTheRevision": ["test_random_calls_answer_as_the_model_answers"],
    "TestShowsThePassword": [
        "test_a_password_shows_nowhere[plain]",
        "test_a_password_shows_nowhere[an at sign and a colon]",
    ],
    "TestLogsThePassword": ["test_a_password_shows_in_no_log[plain]"],
    "TestLimitsBeforeItSorts": ["test_generated_windows_are_the_references[any]"],
    "TestSortsByUTF16": ["test_texts_are_ordered_by_code_point"],
    "TestMakesEmptyListsObjects": ["test_an_empty_list_stays_a_list"],
    "TestUpdateMergesDeep": ["test_update_replaces_an_object_whole"],
    "TestIncrementsBeforeItLooks": ["test_increment_that_is_refused_changes_nothing[a string]"],
    "TestRaisesItsClientsError": ["test_get_of_a_missing_document_raises"],
    "TestShowsMetadata": ["test_metadata_is_no_field"],
    "TestOverridesWhatItCanNotDo": ["test_find_without_a_filter_finds_all"],
    "TestReadsNoOption": ["test_an_option_that_its_reader_refuses_is_refused_by_keyword"],
    "TestWaitsForEver": ["test_a_server_that_never_answers_is_given_up"],
    "TestHasNoDeadline": ["test_a_server_that_falls_silent_is_given_up"],
    "TestRaisesItsSocketsErrors": [
        "test_no_server_is_a_failed_connection",
        "test_a_server_that_talks_nonsense_is_an_error_of_divan",
    ],
}
PARTIAL = [
    "TestWithoutGet",
    "TestWithoutDelete",
    "TestWithoutReplace",
    "TestWithoutRevisions",
    "TestWithoutFind",
    "TestWithIterationForFind",
    "TestWithoutArgumentsAndPing",
    "TestFiveMethods",
]

Outcomes = dict[str, dict[str, tuple[str, str]]]
"""Class → check → what became of it ("passed", "failed", "skipped"), and its message."""


def pytest_run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    personal = ("PYTEST_", "DIVAN_", "FORCE_COLOR", "PY_COLORS")  # set by whoever runs this; colours would split words
    kept = {name: value for name, value in os.environ.items() if not name.startswith(personal)}
    return subprocess.run(
        command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, timeout=1200, check=False
    )


def outcomes(folder: Path, *nodes: str) -> tuple[Outcomes, str]:
    """Run checks of `conformance_broken.py`; what became of each, and the output."""
    report = folder / "report.xml"
    options = ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-p", "divan.testing.plugin", "-q"]
    ran = pytest_run("-m", "pytest", *options, f"--junitxml={report}", *nodes, cwd=folder)
    assert report.exists(), ran.stdout + ran.stderr
    found: Outcomes = defaultdict(dict)
    for case in ElementTree.parse(report).iter("testcase"):
        outcome, message = "passed", ""
        for part, name in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
            if (element := case.find(part)) is not None:
                outcome, message = name, element.get("message", "")
        found[case.get("classname", "").rpartition(".")[2]][case.get("name", "")] = (outcome, message)
    return found, ran.stdout


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What became of the checks that must fail."""
    nodes = [f"{BROKEN}::{name}::{check}" for name, checks in WRONG.items() for check in checks]
    return outcomes(tmp_path_factory.mktemp("wrong"), *nodes)[0]


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcomes, str]:
    """What became of all checks of the backends that lack something."""
    return outcomes(tmp_path_factory.mktemp("partial"), *(f"{BROKEN}::{name}" for name in PARTIAL))


@pytest.mark.parametrize(("backend", "check"), [(name, check) for name in WRONG for check in WRONG[name]])
def test_a_wrong_backend_fails_the_check_that_is_named_for_it(wrong: Outcomes, backend: str, check: str) -> None:
    assert wrong[backend][check][0] == "failed"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What became of the checks that must fail for a seeded fault, and of the same ones where none is."""
    nodes = [f"{SUITE}::Test{name}::{mutant.check}" for name, mutant in MUTANTS.items()]
    nodes += [f"{SUITE}::TestUnchanged::{check}" for check in {mutant.check for mutant in MUTANTS.values()}]
    return outcomes(tmp_path_factory.mktemp("seeded"), *nodes)[0]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_fault_fails_the_check_that_is_named_for_it(seeded: Outcomes, name: str) -> None:
    outcome, message = seeded[f"Test{name}"][MUTANTS[name].check]
    assert outcome == "failed"
    assert "mend the table" not in message


def test_the_same_checks_pass_where_no_fault_is_seeded(seeded: Outcomes) -> None:
    assert {outcome for outcome, _ in seeded["TestUnchanged"].values()} == {"passed"}


def test_at_least_60_faults_are_seeded() -> None:
    assert len(MUTANTS) >= 60


def test_a_check_that_fails_leaves_the_next_one_a_store_that_works(tmp_path: Path) -> None:
    found, _ = outcomes(tmp_path, f"{BROKEN}::TestBreaksForGood")
    failed = {check for check, (outcome, _) in found["TestBreaksForGood"].items() if outcome == "failed"}
    assert failed == {"test_delete_of_a_missing_document_raises", "test_delete_twice_raises"}


@pytest.mark.parametrize("backend", PARTIAL)
def test_a_backend_that_lacks_something_fails_nothing(partial: tuple[Outcomes, str], backend: str) -> None:
    assert [check for check, (outcome, _) in partial[0][backend].items() if outcome == "failed"] == []


@pytest.mark.parametrize("backend", [name for name in PARTIAL if name != "TestWithIterationForFind"])
def test_whatever_is_left_out_gives_its_reason(partial: tuple[Outcomes, str], backend: str) -> None:
    reasons = [message for outcome, message in partial[0][backend].values() if outcome == "skipped"]
    assert [reason for reason in reasons if not reason.startswith(("unsupported: ", "not applicable: "))] == []
    assert any(reason.startswith("unsupported: backend does not implement") for reason in reasons)


def test_five_methods_pass_the_checks_that_need_no_more(partial: tuple[Outcomes, str]) -> None:
    passed = {check for check, (outcome, _) in partial[0]["TestFiveMethods"].items() if outcome == "passed"}
    assert {
        "test_create_returns_the_fields",
        "test_update_keeps_the_other_fields",
        "test_update_of_a_missing_document_raises",
        "test_document_is_refused_by_create[NaN]",
        "test_a_call_works_or_names_the_method_that_the_backend_lacks[find]",
        "test_a_closed_store_refuses[create]",
        "test_updates_of_different_fields_are_all_kept",
    } - passed <= {"test_updates_of_different_fields_are_all_kept"}
    assert len(passed) > 150


def test_the_summary_lists_what_is_unsupported(partial: tuple[Outcomes, str]) -> None:
    _, _, summary = partial[1].partition("unsupported by the backend")
    assert "checks: backend does not implement get_document_for_id()" in summary
    assert "checks: backend does not implement update(increment=…)" in summary


def test_a_failure_within_a_declared_limit_is_expected(tmp_path: Path) -> None:
    found, output = outcomes(tmp_path, f"{BROKEN}::TestMakesWholeFloatsIntsAndSaysSo")
    checks = found["TestMakesWholeFloatsIntsAndSaysSo"]
    assert checks["test_number_is_kept[one as a float]"][0] == "skipped"
    assert [check for check, (outcome, _) in checks.items() if outcome == "failed"] == []
    assert limits.WHOLE_FLOATS in output.partition("known limits")[2]


def test_the_sign_of_zero_is_a_limit_of_its_own(tmp_path: Path) -> None:
    found, _ = outcomes(tmp_path, f"{BROKEN}::TestLosesTheSignOfZeroAndSaysSo")
    checks = found["TestLosesTheSignOfZeroAndSaysSo"]
    assert checks["test_number_is_kept[minus zero]"][0] == "skipped"
    assert checks["test_number_is_kept[zero as a float]"][0] == "passed"
    assert [check for check, (outcome, _) in checks.items() if outcome == "failed"] == []


def test_no_check_hides_another() -> None:
    homes = defaultdict(list)
    for area in Conformance.__mro__:
        for name in vars(area):
            if not name.startswith("__"):
                homes[name].append(area.__name__)
    assert {name: areas for name, areas in homes.items() if len(areas) > 1} == {}


def test_there_are_at_least_120_checks() -> None:
    assert sum(name.startswith("test_") for name in dir(Conformance)) >= 120


# Running it


def test_run_takes_a_url(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran = pytest_run("-m", "divan.testing", f"sqlite:///{tmp_path}/empty.db", "-k", "Life or ping", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


def test_run_returns_the_exit_code(tmp_path: Path) -> None:
    script = "from divan.testing import run; print('code', run('memory://{name}', '-k', 'no_such_check'))"
    ran = pytest_run("-c", script, cwd=tmp_path)
    assert "code 5" in ran.stdout, ran.stdout + ran.stderr


def test_run_ignores_the_settings_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise RuntimeError", encoding="utf-8")
    ran = pytest_run("-m", "divan.testing", "memory://{name}", "-k", "test_ping_answers", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_run_explains_assertions_though_it_was_imported_first(tmp_path: Path) -> None:
    script = (
        "from divan.testing import run; import divan.backends.memory as m; "
        "m.MemoryBackend.count = lambda self, where: 99; run('memory://{name}', '-k', 'test_count_counts_all')"
    )
    ran = pytest_run("-c", script, cwd=tmp_path)
    assert "assert 99 == 5" in ran.stdout, ran.stdout + ran.stderr


def test_a_class_can_begin_with_another_database_after_some_checks(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "from divan.testing import Text\n"
        "class TestSome(Text):\n"
        f"    url = 'sqlite:///{tmp_path.as_posix()}/{{name}}.db'\n"
        "    checks_per_database = 10\n",
        encoding="utf-8",
    )
    ran = pytest_run("-m", "pytest", "-c", os.devnull, "-p", "divan.testing.plugin", "test_some.py", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"(\d+) passed", ran.stdout)
    assert found, ran.stdout
    assert len(list(tmp_path.glob("*.db"))) == -(-int(found[1]) // 10)


def test_the_module_needs_exactly_one_url(tmp_path: Path) -> None:
    ran = pytest_run("-m", "divan.testing", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "usage:" in ran.stderr


def test_the_suite_needs_the_option(tmp_path: Path) -> None:
    arguments = [
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "--pyargs",
        "divan.testing.suite",
        "-k",
        "test_ping_answers",
    ]
    ran = pytest_run("-m", "pytest", *arguments, cwd=tmp_path)
    assert "--divan-url URL" in ran.stdout


def test_a_database_that_can_not_be_opened_is_one_line(tmp_path: Path) -> None:
    ran = pytest_run("-m", "divan.testing", "nosuchstore://x", cwd=tmp_path)
    assert ran.returncode == 4
    assert "nosuchstore" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


# Guarding documents


@pytest.fixture
def used(tmp_path: Path) -> str:
    """The URL of a database that holds a document."""
    url = f"sqlite:///{tmp_path}/used.db"
    with divan.open(url) as store:
        store.create({"precious": True})
    return url


def holds(url: str) -> list[dict[str, object]]:
    with divan.open(url) as store:
        return [dict(document) for document in store]


def test_a_database_that_holds_documents_is_not_touched(tmp_path: Path, used: str) -> None:
    ran = pytest_run("-m", "divan.testing", used, cwd=tmp_path)
    assert ran.returncode == 4
    assert "holds documents" in ran.stderr
    assert "--divan-allow-data" in ran.stderr
    assert holds(used) == [{"precious": True}]


def test_a_database_that_holds_documents_is_emptied_if_that_is_allowed(tmp_path: Path, used: str) -> None:
    ran = pytest_run("-m", "divan.testing", used, "--divan-allow-data", "-k", "test_ping_answers", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert holds(used) == []


def test_a_class_touches_no_database_that_holds_documents(tmp_path: Path, used: str) -> None:
    (tmp_path / "test_mine.py").write_text(
        f"from divan.testing import Life\nclass TestMine(Life):\n    url = {used!r}\n", encoding="utf-8"
    )
    ran = pytest_run("-m", "pytest", "-c", os.devnull, "-q", "test_mine.py", cwd=tmp_path)
    assert "passed" not in ran.stdout
    assert "holds documents" in ran.stdout
    assert holds(used) == [{"precious": True}]


def test_a_class_leaves_its_database_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mine.db"
    (tmp_path / "test_mine.py").write_text(
        f"from divan.testing import Bulk\nclass TestMine(Bulk):\n    url = {url!r}\n", encoding="utf-8"
    )
    ran = pytest_run("-m", "pytest", "-c", os.devnull, "-q", "test_mine.py", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert holds(url) == []


def test_a_class_without_a_url_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from divan.testing import Life\nclass TestMine(Life):\n    pass\n", encoding="utf-8"
    )
    ran = pytest_run("-m", "pytest", "-c", os.devnull, "-q", "test_mine.py", cwd=tmp_path)
    assert "TestMine needs a url" in ran.stdout


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_without_its_requirements_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    ran = pytest_run("-c", f"import sys; sys.modules[{missing!r}] = None; import divan.testing", cwd=tmp_path)
    assert ran.stderr.splitlines()[-1].startswith("ImportError: ")
    assert "pip install 'divan-core[testing]'" in ran.stderr


# Its parts


def test_every_public_name_can_be_had() -> None:
    import divan.testing

    assert [name for name in divan.testing.__all__ if not hasattr(divan.testing, name)] == []


@pytest.mark.parametrize("make", [generate.documents, generate.filters], ids=["documents", "filters"])
def test_generated_data_is_the_same_at_every_run(make: Callable[[], list[object]]) -> None:
    assert as_json(make()) == as_json(make())


def test_generated_filters_are_of_every_kind() -> None:
    counts = {kind: len(generate.filters_of_kind(kind)) for kind in generate.KINDS}
    assert (sum(counts.values()), min(counts.values())) == (500, 27)


def test_generated_filters_tell_documents_apart() -> None:
    from divan.query import parse

    documents = generate.documents()
    found = Counter(sum(map(parse(where).matches, documents)) for where in generate.filters())
    assert sum(number for size, number in found.items() if 0 < size < len(documents)) > 250


def test_big_ints_can_be_left_out() -> None:
    assert "9007199254740993" in as_json(generate.documents()) + as_json(generate.filters())
    assert "9007199254740993" not in as_json(generate.documents(big_ints=False) + generate.filters(big_ints=False))


def test_a_url_in_a_failing_tests_output_hides_its_password() -> None:
    assert "secret" not in repr(ShownURL("couchdb://ada:secret@localhost/guests"))


def test_checks_are_wrapped_in_subclasses_too() -> None:
    class Mine(StoreChecks):
        def test_mine(self) -> None:
            raise divan.UnsupportedOperation("BaseDivanBackend does not implement find()")

    with pytest.raises(pytest.skip.Exception, match="unsupported: BaseDivanBackend does not implement find"):
        Mine().test_mine()


def test_an_unsupported_operation_that_names_an_overridden_method_is_a_failure() -> None:
    class Mine(StoreChecks):
        backend_class = divan.get_backend("memory")

        def test_mine(self) -> None:
            raise divan.UnsupportedOperation("MemoryBackend does not implement find()")

    with pytest.raises(divan.UnsupportedOperation):
        Mine().test_mine()


def test_run_is_public() -> None:
    assert run.__module__ == "divan.testing"


def test_pytest_explains_the_assertions_of_every_module_that_makes_any() -> None:
    folder = Path(divan.testing.__file__).parent
    asserting = {
        ".".join(("divan", "testing", *path.relative_to(folder).with_suffix("").parts))
        for path in folder.rglob("*.py")
        if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert asserting - set(divan.testing.REWRITTEN) == set()
