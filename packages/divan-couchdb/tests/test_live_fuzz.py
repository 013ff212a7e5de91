"""Whatever another program may have stored in a live CouchDB, and whatever may answer in its place."""

from __future__ import annotations

from typing import Any

import couchdb  # type: ignore[import-untyped]
import divan
import pytest
from divan import Store
from divan.testing.checks.network import server
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fuzzing import READS, WRITES, answered, listed, use_beside

names = st.sampled_from(["a", "b", "a.b", "$gt", "__x__", "constructor", "", "é", "\\", "0"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.live
@pytest.mark.fuzz
@given(fields=st.dictionaries(names.filter(lambda name: name[:1] != "_"), values, max_size=3))
@example(fields={"$gt": 1, "": {"": []}})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_any_document_is_read_or_named_and_stays_as_it_is(
    store: Store, raw: couchdb.Database, fields: dict[str, Any]
) -> None:
    store.put("good", {"a": 1})
    if "odd" in raw:
        del raw["odd"]
    raw.save({"_id": "odd", **fields})
    assert listed(store) == {"good", "odd"}
    use_beside(store, "odd", lambda: dict(raw["odd"]) if "odd" in raw else None)


bodies = st.binary(max_size=40) | st.sampled_from(
    [
        b'{"_id":"a","_rev":"1-a"}', b'{"_id":"a"}', b'{"rows":[{}]}', b'{"rows":[{"id":1}]}', b'{"docs":[null]}', b"[]",
        b'{"docs":[{"_id":"a"}],"bookmark":5}', b'{"ok":true,"id":"a","rev":null}', b'[{"ok":true}]', b"null", b'{"rows":0}',
        b'{"doc_count":"x"}', b'{"error":1,"reason":[]}', b'{"indexes":[null]}', b"{" * 3000, b'{"rows":[{"value":{"rev":7}}]}',
    ]
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.fuzz
@given(
    status=st.sampled_from([200, 201, 202, 301, 400, 401, 403, 404, 409, 412, 413, 500, 503]),
    body=bodies,
    call=st.sampled_from([*READS, *WRITES]),
)
@example(200, b'{"docs":[null]}', "find")
@settings(max_examples=60)
def test_any_answer_is_an_error_of_divan(status: int, body: bytes, call: str) -> None:
    def answer(connection: Any) -> None:
        first = True
        while request := connection.recv(65536):
            opening = b'{"db_name":"x","doc_count":0}'
            text, code = (opening, 200) if first and request.startswith(b"GET /x HTTP") else (body, status)
            first = False
            head = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            connection.sendall(head.encode() + text)

    with server(answer) as port:
        store = divan.open("couchdb", database="x", host="127.0.0.1", port=port, timeout=20)
        try:
            answered({**READS, **WRITES}[call], store, "a")
        finally:
            store.close()
