"""Whatever another program may have stored in a live MongoDB."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import bson
import divan
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fuzzing import listed, use_beside

from .live import Raw

pytestmark = [pytest.mark.live, pytest.mark.fuzz]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=True)
    | st.text(st.characters(codec="utf-8"), max_size=5)
    | st.binary(max_size=5)
    | st.builds(bson.ObjectId, st.binary(min_size=12, max_size=12))
    | st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
    | st.builds(bson.Decimal128, st.sampled_from(["1.50", "NaN", "Infinity", "-0", "1E+6000"]))
    | st.builds(bson.Binary.from_uuid, st.builds(uuid.uuid4))
    | st.sampled_from(
        [bson.Regex("a.*"), bson.Timestamp(1, 2), bson.MinKey(), bson.MaxKey(), bson.Code("x"), bson.Int64(5)]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x y", "__proto__"]), inner, max_size=2)
    ),
    max_leaves=5,
)
revisions = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text("0a ", max_size=3) | st.just([1])


@given(fields=st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3), rev=revisions)
@example(fields={"a": bson.Decimal128("NaN")}, rev=2**63 - 1)
@example(fields={"a": float("nan")}, rev=float("inf"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_document_is_read_or_named_and_stays_as_it_is(
    store: divan.Store, raw: Raw, fields: dict[str, Any], rev: Any
) -> None:
    store.put("good", {"a": 1})
    raw.delete_one({"_id": "odd"})
    raw.insert_one({"_id": "odd", "_rev": rev, **fields})

    def stored() -> Any:
        found = raw.with_options(bson.CodecOptions(bson.raw_bson.RawBSONDocument)).find_one({"_id": "odd"})  # type: ignore[type-var]
        return found and found.raw

    assert listed(store) == {"good", "odd"}
    use_beside(store, "odd", stored)
