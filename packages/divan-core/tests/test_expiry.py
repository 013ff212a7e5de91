"""Documents that expire: schemas, options, plugins, coroutines, the command, and drivers that lack something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import divan
import divan.aio
import pydantic
import pytest
from divan import DocumentNotFound, InvalidDocument, InvalidSchema, Store, UnsupportedOperation, hookimpl
from divan.backends.base import BaseDivanBackend
from divan.backends.memory import MemoryBackend
from divan.cli import exits

from tests.support.commands import runner

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Session:
    """A class whose instances expire."""

    user: str
    until: datetime | None = None


class Model(pydantic.BaseModel):
    """One of pydantic's."""

    user: str
    until: datetime | None = None


class Typed(TypedDict):
    """One whose documents stay mappings."""

    until: datetime | None


class Timeless(TypedDict):
    """A class without the field."""

    user: str


@dataclass
class Worded:
    """A class whose field is no date-time."""

    until: str


def open_at(moment: list[datetime], schema: Any = None, **options: Any) -> Any:
    return divan.open("memory://", schema, expires="until", clock=lambda: moment[0], **options)


@pytest.mark.parametrize("cls", [Session, Model])
def test_instances_of_a_class_expire(cls: Any) -> None:
    moment = [NOW]
    with open_at(moment, cls) as store:
        store.put("a", cls(user="ada", until=NOW + HOUR))
        store.update("a", {"user": "grace"})
        assert store.get("a") == cls(user="grace", until=NOW + HOUR)
        with pytest.raises(InvalidDocument, match="needs a time zone"):
            store.put("b", cls(user="bob", until=datetime(2030, 1, 1)))
        moment[0] += HOUR
        assert (store.get("a", None), list(store.find())) == (None, [])
        with pytest.raises(DocumentNotFound):
            store.update("a", {"user": "bob"})
        store.create(cls(user="eve"), id="a")


@pytest.mark.parametrize("schema", [None, {}, {"until": "DateTimeField"}, {"until": "SplitDateTimeField"}, Typed])
def test_the_field_is_a_date_time_whether_or_not_the_schema_says_so(schema: Any) -> None:
    with open_at([NOW], schema) as store:
        assert store.create({"until": NOW + HOUR})["until"] == NOW + HOUR


@pytest.mark.parametrize(
    "schema",
    [{"until": "CharField"}, {"until": "DateField"}, {"until": {"serialize": str, "deserialize": str}},
     {"until.at": "DateField"}, Timeless, Worded],
)  # fmt: skip
def test_a_schema_that_says_otherwise_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidSchema, match="until"):
        open_at([NOW], schema)


@pytest.mark.parametrize("name", ["", "_id", "$until", "meta.until", "*", 7])
def test_what_can_be_no_field_is_refused(name: Any) -> None:
    with pytest.raises(InvalidSchema):
        divan.open("memory://", expires=name)


def test_the_url_names_the_field_and_an_argument_beats_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path.as_posix()}/sessions.db?expires=until"
    with divan.open(url) as store, divan.open(url, expires="end") as other:
        store.put("a", {"until": "2020-01-01T00:00:00Z"})
        assert (store.expires, other.expires) == ("until", "end")
        assert ("a" in store, "a" in other) == (False, True)


def test_a_clock_without_a_time_zone_is_refused() -> None:
    store = divan.open("memory://", expires="until", clock=lambda: datetime(2026, 1, 1))
    with store, pytest.raises(TypeError, match="aware"):
        store.count()


def test_a_store_whose_documents_do_not_expire_purges_nothing() -> None:
    with divan.open("memory://") as store, pytest.raises(UnsupportedOperation, match="expires="):
        store.purge()


def test_a_date_time_that_another_tool_stored_without_a_zone_counts_as_utc() -> None:
    moment = [NOW]
    with open_at(moment) as store:
        store.backend.create({"until": "2026-12-01T12:00:00.000001"}, document_id="a")
        assert "a" in store
        moment[0] += timedelta(microseconds=1)
        assert "a" not in store


def test_plugins_hear_of_what_is_created_anew_and_nothing_of_a_purge() -> None:
    class Recorder:
        @hookimpl
        def divan_after_write(self, store: Store, operation: str, document_id: str, document: Any) -> None:
            told.append((operation, document_id))

        @hookimpl
        def divan_call_started(self, call: Any) -> None:
            started.append(call.operation)

    told: list[tuple[str, str]] = []
    started: list[str] = []
    moment = [NOW]
    with open_at(moment, plugins=[Recorder()]) as store:
        store.create_many([("a", {"until": NOW + HOUR}), ("b", {"until": NOW + HOUR})])
        moment[0] += HOUR
        store.create({"n": 1}, id="a")
        assert store.purge() == 1
    assert told == [("create", "a"), ("create", "b"), ("create", "a")]
    assert "purge" in started


class Lean(MemoryBackend):
    """A driver that overwrites no document."""

    replace = BaseDivanBackend.replace  # type: ignore[assignment]


def test_a_driver_that_can_not_replace_has_the_id_deleted_first() -> None:
    moment = [NOW]
    with divan.open(Lean, expires="until", clock=lambda: moment[0]) as store:
        store.create({"until": NOW + HOUR}, id="a")
        moment[0] += HOUR
        assert store.create({"n": 1}, id="a") == store.get("a") == {"n": 1}


def test_a_driver_that_takes_no_revision_is_refused() -> None:
    class Blind(MemoryBackend):
        def update(self, document_id: str, data: dict[str, Any]) -> Any:  # type: ignore[override]
            return super().update(document_id, data)

    with pytest.raises(UnsupportedOperation, match=r"Blind does not implement update\(rev=…\)"):
        divan.open(Blind, expires="until")


@pytest.mark.anyio
async def test_coroutines_see_no_more() -> None:
    moment = [NOW]
    async with divan.aio.open("memory://", expires="until", clock=lambda: moment[0]) as store:
        await store.create({"until": NOW + HOUR}, id="a")
        moment[0] += HOUR
        assert await store.get("a", None) is None
        assert [await store.purge(), await store.purge()] == [1, 0]


def test_the_command_line_hides_and_purges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(capsys, monkeypatch)
    url = f"sqlite:///{tmp_path.as_posix()}/test.db"
    rows = [{"_id": "a", "until": "2020-01-01T00:00:00.000000Z"}, {"_id": "b"}]
    run("create", url, "--quiet", stdin="".join(f"{json.dumps(row)}\n" for row in rows))
    assert (run("count", url).out, run("count", url, "--expires", "until").out) == ("2\n", "1\n")
    assert run("get", f"{url}?expires=until", "a").code == exits.NOT_FOUND
    taken = run(
        "create", url, "--expires", "until", "--all-or-nothing", "--quiet", stdin='[{"_id": "a"}, {"_id": "c"}]'
    )
    assert taken.code == exits.OK
    run("update", url, "c", '{"until": "2020-01-01T00:00:00.000000Z"}')
    assert [run("purge", url, "--expires", "until").out for _ in range(2)] == ["1\n", "0\n"]
    assert run("purge", url).code == exits.USAGE
