"""What the commands of ``divan`` make of other tools' documents, and what they show of a long run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import divan
import pytest
from divan.backends.support import attempt
from divan.cli.foreign import Foreign
from divan.cli.reading import Row, read_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.commands import Run, runner

OID = "507f1f77bcf86cd799439011"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("DIVAN_URL", raising=False)
    return f"sqlite:///{tmp_path.as_posix()}/test.db"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(capsys, monkeypatch)


# MongoDB's extended JSON


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ({"$oid": OID}, OID),
        ({"$oid": OID.upper()}, OID),
        ({"$date": "2020-01-02T03:04:05Z"}, "2020-01-02T03:04:05.000000Z"),
        ({"$date": "2020-01-02T03:04:05.123+0200"}, "2020-01-02T01:04:05.123000Z"),
        ({"$date": {"$numberLong": "1577934245123"}}, "2020-01-02T03:04:05.123000Z"),
        ({"$date": 1577934245123}, "2020-01-02T03:04:05.123000Z"),
        ({"$date": {"$numberLong": "-1"}}, "1969-12-31T23:59:59.999000Z"),
        ({"$numberInt": "-5"}, -5),
        ({"$numberLong": "9223372036854775807"}, 2**63 - 1),
        ({"$numberDouble": "1.0"}, 1.0),
        ({"$numberDouble": "-0.0"}, -0.0),
        ({"$numberDecimal": "9.50"}, "9.50"),
        ({"$numberDecimal": "1E+3"}, "1E+3"),
        ({"$binary": {"base64": "YWI=", "subType": "00"}}, "YWI="),
        ({"$binary": "YWI=", "$type": "00"}, "YWI="),
        ({"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABQ==", "subType": "04"}}, "00000000-0000-0000-0000-000000000005"),
        ({"$uuid": "00000000000000000000000000000005"}, "00000000-0000-0000-0000-000000000005"),
        ({"$symbol": "a"}, "a"),
    ],
    ids=json.dumps,
)
def test_extended_json_is_what_it_says(run: Run, url: str, told: Any, stored: Any) -> None:
    row = run("create", url, json.dumps({"v": told, "in": [told, {"deep": told}]})).row
    assert repr([row["v"], row["in"]]) == repr([stored, [stored, {"deep": stored}]])


def test_what_is_stored_is_read_by_the_field_types(run: Run, url: str) -> None:
    told = {"_id": {"$oid": OID}, "at": {"$date": "2020-01-02T03:04:05Z"}, "price": {"$numberDecimal": "9.50"}}
    run("create", url, json.dumps(told))
    with divan.open(url, schema={"at": "DateTimeField", "price": "DecimalField"}) as store:
        document = store[OID]
        assert (document["at"].isoformat(), str(document["price"])) == ("2020-01-02T03:04:05+00:00", "9.50")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"$oid": "5"}, "is no $oid of MongoDB's extended JSON"),
        ({"$date": "yesterday"}, "is no $date of MongoDB's extended JSON"),
        ({"$date": {"$numberLong": "99999999999999999"}}, "is not within the years 1 to 9999"),
        ({"$numberDouble": "NaN"}, "NaN is no number that can be stored"),
        ({"$numberDecimal": "Infinity"}, "Infinity is no number that can be stored"),
        ({"$numberDecimal": "five"}, "is no $numberDecimal of MongoDB's extended JSON"),
        ({"$numberLong": "5.5"}, "is no $numberLong of MongoDB's extended JSON"),
        ({"$binary": {"base64": "YWI=", "subType": "03"}}, "a UUID of the subtype 03"),
        ({"$binary": {"base64": "a", "subType": "00"}}, "is no $binary of MongoDB's extended JSON"),
        ({"$numberLong": "1_0"}, "is no $numberLong of MongoDB's extended JSON"),
        ({"$numberDecimal": "1_000"}, "is no $numberDecimal of MongoDB's extended JSON"),
        ({"$timestamp": {"t": 1, "i": 1}}, "$timestamp is a type of MongoDB's that has no form elsewhere"),
        ({"$oid": OID, "more": 1}, "is no $oid of MongoDB's extended JSON"),
    ],
    ids=json.dumps,
)
def test_what_extended_json_can_not_mean_is_refused_and_the_rest_is_stored(
    run: Run, url: str, told: Any, reason: str
) -> None:
    lines = [{"_id": "a"}, {"_id": "b", "in": [{"v": told}]}]
    ended = run("create", url, stdin="\n".join(map(json.dumps, lines)))
    assert ended.code == 5
    assert reason in ended.err
    assert "standard input, line 2" in ended.err
    assert [row["_id"] for row in ended.rows] == ["a"]


# Ids


def test_an_id_that_is_a_number_is_its_text(run: Run, url: str) -> None:
    assert run("create", url, '{"_id": 17}').row["_id"] == "17"
    assert run("put", url, '{"_id": {"$numberLong": "18"}, "n": 1}').row["_id"] == "18"
    run("create", url, json.dumps({"_id": {"$oid": OID}}))
    assert run("delete", url, "-", stdin='{"_id": 17}\n' + json.dumps({"_id": {"$oid": OID}})).code == 0
    assert run("ids", url).out == "18\n"


@pytest.mark.parametrize("id", [True, 1.5, None, [], {}])
def test_an_id_that_is_no_text_and_no_number_is_refused(run: Run, url: str, id: Any) -> None:
    ended = run("put", url, json.dumps({"_id": id}))
    assert ended.code != 0
    assert ended.out == ""


def test_another_field_can_hold_the_id(run: Run, url: str) -> None:
    stdin = '{"number": 5, "n": 1}\n{"number": "six"}\n'
    rows = run("create", url, "--id-field", "number", stdin=stdin).rows
    assert [(row["_id"], "number" in row) for row in rows] == [("5", False), ("six", False)]
    assert run("put", url, "--id-field", "number", '{"number": 5, "n": 2}').row["n"] == 2


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"n": 1}, "has no field 'number'"),
        ({"number": 1, "_id": "a"}, "has an \"_id\", and 'number' is to hold its id"),
    ],
)
def test_a_document_without_its_id_there_is_refused(run: Run, url: str, document: Any, reason: str) -> None:
    ended = run("create", url, "--id-field", "number", json.dumps(document))
    assert ended.code == 5
    assert reason in ended.err


# Names that no store takes

ODD = {"$schema": 1, "a.b": {"_x": 2, "": 3, "c.d": [{"$ref": 4}]}, "__v": 0, "n": 5}


def test_names_that_no_store_takes_are_refused(run: Run, url: str) -> None:
    ended = run("create", url, json.dumps(ODD))
    assert (ended.code, ended.out) == (5, "")
    assert "begins with '$'" in ended.err


def test_names_that_no_store_takes_are_dropped_and_told(run: Run, url: str) -> None:
    ended = run("create", url, "--names", "drop", "--quiet", stdin=f'{json.dumps(ODD)}\n{{"n": 1}}\n{{"$a": 1}}\n')
    assert ended.err == "Warning: 4 fields in 2 documents were dropped: '$schema', 'a.b', '__v', '$a'\n"
    assert [row for row in run("find", url, "--fields", "n").rows if "n" in row and row["n"] == 5]


def test_names_that_no_store_takes_are_renamed_and_told(run: Run, url: str) -> None:
    ended = run("create", url, "--names", "escape", json.dumps(ODD))
    row = ended.row
    assert row["%24schema"] == 1
    assert row["a%2Eb"] == {"_x": 2, "%": 3, "c%2Ed": [{"%24ref": 4}]}
    assert row["%5F_v"] == 0
    assert "6 fields in 1 document were renamed: " in ended.err


def test_a_name_that_would_become_another_ones_is_refused(run: Run, url: str) -> None:
    ended = run("create", url, "--names", "escape", '{"a.b": 1, "a%2Eb": 2}')
    assert ended.code == 5
    assert "it would become 'a%2Eb', which the document holds as well" in ended.err


NAMES = st.text(st.sampled_from("$._\0ab%é") | st.characters(codec="utf-8"), max_size=4)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.sampled_from(["escape", "drop"]))
def test_no_document_is_refused_for_its_names(fields: dict[str, Any], names: str) -> None:
    row = attempt(Foreign(names=names).read_one, Row("", "a", None, fields))
    if isinstance(row, divan.DivanError):
        assert "which the document holds as well" in str(row) or "MongoDB's" in str(row)
        return
    with divan.open("memory://") as store:
        assert store.create(row.fields, id="a") == row.fields


@pytest.mark.parametrize("names", ["drop", "escape"])
def test_what_mongodb_means_otherwise_is_no_name(run: Run, url: str, names: str) -> None:
    ended = run("create", url, "--names", names, '{"v": {"$timestamp": {"t": 1, "i": 1}}}')
    assert (ended.code, ended.out) == (5, "")
    assert "$timestamp is a type of MongoDB's" in ended.err


# What CouchDB dumps


@pytest.mark.parametrize(
    "dump",
    [
        {
            "total_rows": 3,
            "offset": 0,
            "rows": [
                {"id": "_design/x", "key": "_design/x", "doc": {"_id": "_design/x", "views": {}}},
                {"id": "a", "key": "a", "doc": {"_id": "a", "_rev": "1-x", "n": 1}},
                {"id": "b", "key": "b", "doc": {"_id": "b", "_deleted": True}},
            ],
        },
        {"docs": [{"_id": "_design/x"}, {"_id": "a", "n": 1}, {"_id": "b", "_deleted": True}]},
        {"new_edits": False, "docs": [{"_id": "b", "_deleted": True}, {"_id": "_design/x"}, {"_id": "a", "n": 1}]},
    ],
    ids=["_all_docs", "_bulk_docs", "without new edits"],
)
def test_design_documents_and_deleted_ones_are_skipped_and_told(run: Run, url: str, dump: Any) -> None:
    ended = run("create", url, stdin=json.dumps(dump))
    assert (ended.code, ended.row["_id"], ended.row["n"]) == (0, "a", 1)
    assert ended.err == "Warning: 2 deleted or design documents of CouchDB's were skipped\n"


def test_a_document_with_a_list_called_docs_is_one(run: Run, url: str) -> None:
    assert run("create", url, stdin='{"docs": [{"title": "x"}]}').row["docs"] == [{"title": "x"}]


# Forms


def _zstd(data: bytes) -> bytes:
    try:
        from compression import zstd
    except ImportError:
        zstd = pytest.importorskip("backports.zstd", reason="Zstandard is an extra of its own")
    compressed: bytes = zstd.compress(data)
    return compressed


FORMS: dict[str, Callable[[list[Any]], bytes]] = {
    "lines": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "indented": lambda rows: "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in rows).encode(),
    "a list": lambda rows: json.dumps(rows).encode(),
    "a sequence": lambda rows: "".join(f"\x1e{json.dumps(row)}\n" for row in rows).encode(),
    "_all_docs": lambda rows: json.dumps(
        {"total_rows": len(rows), "offset": 0, "rows": [{"id": r["_id"], "key": r["_id"], "doc": r} for r in rows]}
    ).encode(),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "é", "b c"]), st.integers() | NAMES, max_size=3), min_size=2, max_size=4
    ),
    st.sampled_from(list(FORMS)),
    st.sampled_from([bytes, gzip.compress, _zstd]),
)
def test_documents_are_the_same_in_every_form(
    tmp_path: Path, rows: list[Any], form: str, compress: Callable[[bytes], bytes]
) -> None:
    rows = [{"_id": str(number), **row} for number, row in enumerate(rows)]
    path = tmp_path / "rows"
    path.write_bytes(compress(FORMS[form](rows)))
    assert [{"_id": row.id, **row.fields} for row in read_rows(f"@{path}")] == rows


# How far a long run has got


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("count", "shown"), [(3000, True), (1, False)])
def test_a_long_run_tells_a_terminal_how_far_it_has_got(tmp_path: Path, count: int, shown: bool) -> None:
    url = f"sqlite:///{tmp_path.as_posix()}/x.db"
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f'{{"_id": "{number}"}}\n' for number in range(count)), encoding="utf-8")

    for words, done, lines in (
        (["create", url, f"@{source}"], "stored", count),
        (["find", url], "read", count),
        (["delete", url, *map(str, range(count))], "deleted", 0),
    ):
        out, told = on_a_terminal(words)
        assert out.count(b"\n") == lines
        assert b"documents" not in out
        assert (f"3,000 documents {done}".encode() in told) == shown


def on_a_terminal(words: list[str]) -> tuple[bytes, bytes]:
    """What a command prints, and what it tells the terminal that its errors go to."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "DIVAN_PLUGINS": ""}
    told: list[bytes] = []

    def listen() -> None:
        with suppress(OSError):  # by which a pseudo-terminal ends
            while part := os.read(ours, 1 << 16):
                told.append(part)

    listener = threading.Thread(target=listen)
    listener.start()
    done = subprocess.run(
        [sys.executable, "-m", "divan.cli", *words], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True
    )
    os.close(theirs)
    listener.join()
    os.close(ours)
    return done.stdout, b"".join(told)


def test_nothing_is_told_in_a_pipe(run: Run, url: str) -> None:
    ended = run("create", url, "--quiet", stdin="".join(f'{{"n": {number}}}\n' for number in range(2500)))
    assert (ended.code, ended.out, ended.err) == (0, "", "")
