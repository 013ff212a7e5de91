"""Internal: the checks of numbers: ints of 64 bits and finite floats, each of the type that it was, and exact."""

from __future__ import annotations

from typing import Any, Final

import pytest

from divan import Store
from divan.testing.base import StoreChecks
from divan.testing.comparing import as_json
from divan.testing.limits import BIG_INTS, NEGATIVE_ZERO, WHOLE_FLOATS

NUMBERS: Final[dict[str, tuple[Any, ...]]] = {
    "zero": (0,),
    "one": (1,),
    "minus one": (-1,),
    "past 31 bits": (2**31,),
    "past 32 bits": (2**32 + 1,),
    "the last exact in a float": (2**53,),
    "the first not exact in a float": (2**53 + 1, BIG_INTS),
    "its negative": (-(2**53) - 1, BIG_INTS),
    "nineteen digits": (1234567890123456789, BIG_INTS),
    "the largest int": (2**63 - 1, BIG_INTS),
    "the smallest int": (-(2**63), BIG_INTS),
    "true": (True,),
    "false": (False,),
    "a half": (0.5,),
    "a tenth": (0.1,),
    "a sum of tenths": (0.1 + 0.2,),
    "a third": (1 / 3,),
    "a price": (1234567.89,),
    "seventeen digits": (0.12345678901234568,),
    "one as a float": (1.0, WHOLE_FLOATS),
    "zero as a float": (0.0, WHOLE_FLOATS),
    "minus zero": (-0.0, WHOLE_FLOATS, NEGATIVE_ZERO),
    "a million as a float": (1e6, WHOLE_FLOATS),
    "2**53 as a float": (9007199254740992.0, WHOLE_FLOATS),
    "past 64 bits as a float": (1e20, WHOLE_FLOATS),
    "1e22": (1e22, WHOLE_FLOATS),
    "1e308": (1e308, WHOLE_FLOATS),
    "the largest float": (1.7976931348623157e308, WHOLE_FLOATS),
    "its negative as a float": (-1.7976931348623157e308, WHOLE_FLOATS),
    "the smallest normal float": (2.2250738585072014e-308,),
    "the smallest float": (5e-324,),
    "a small negative float": (-1e-300,),
}
"""A name for each number → the number, and the limits by which a server may lose it."""

each_number = pytest.mark.parametrize(
    ("number", "limits"), [(number, limits) for number, *limits in NUMBERS.values()], ids=NUMBERS
)


class Numbers(StoreChecks):
    """Ints, floats and booleans."""

    @each_number
    def test_number_is_kept(self, store: Store, number: int | float, limits: list[str]) -> None:
        with self.within(*limits):
            document = store.create({"n": number})
            assert as_json(store.get(document.id)) == as_json({"n": number})

    @each_number
    def test_number_is_kept_inside(self, store: Store, number: int | float, limits: list[str]) -> None:
        data = {"list": [number, [number]], "object": {"n": number}}
        with self.within(*limits):
            document = store.create(data)
            assert as_json(store.get(document.id)) == as_json(data)

    @each_number
    def test_number_is_kept_by_an_update(self, store: Store, number: int | float, limits: list[str]) -> None:
        with self.within(*limits):
            document = store.create({"a": number})
            assert as_json(store.update(document.id, {"b": number})) == as_json({"a": number, "b": number})

    @each_number
    def test_number_is_found(self, store: Store, number: int | float, limits: list[str]) -> None:
        with self.within(*limits):
            document = store.create({"n": number})
            store.create_many([{"n": str(number)}, {"n": [number]}, {"n": None}, {}])
            assert [found.id for found in store.find({"n": number})] == [document.id]

    def test_one_is_found_by_either_form(self, store: Store) -> None:
        store.create_many([{"n": 1}, {"n": 1.0}, {"n": True}])
        assert (store.count({"n": 1}), store.count({"n": 1.0}), store.count({"n": True})) == (2, 2, 1)

    def test_update_tells_one_from_one_as_a_float(self, store: Store) -> None:
        document = store.create({"n": 1})
        with self.within(WHOLE_FLOATS):
            assert as_json(store.update(document.id, {"n": 1.0})) == as_json({"n": 1.0})

    def test_neighbours_past_2_53_are_told_apart(self, store: Store) -> None:
        with self.within(BIG_INTS):
            store.create_many({"n": 2**53 + offset} for offset in range(4))
            for offset in range(4):
                assert [found["n"] for found in store.find({"n": 2**53 + offset})] == [2**53 + offset]

    def test_a_long_int_equals_no_float_that_is_merely_near(self, store: Store) -> None:
        with self.within(BIG_INTS):
            store.create_many([{"n": 2**53}, {"n": 2**53 + 1}])
            assert [found["n"] for found in store.find({"n": 9007199254740992.0})] == [2**53]

    def test_ranges_compare_long_ints_with_floats_exactly(self, store: Store) -> None:
        with self.within(BIG_INTS):
            store.create_many([{"n": 2**53}, {"n": 2**53 + 1}, {"n": 2**63 - 1}, {"n": 9223372036854775808.0}])
            assert [found["n"] for found in store.find({"n": {"$gt": 9007199254740992.0}}, sort="n")] == [
                2**53 + 1,
                2**63 - 1,
                9223372036854775808.0,
            ]
            assert [found["n"] for found in store.find({"n": {"$lt": 9223372036854775808.0}}, sort="-n", limit=1)] == [
                2**63 - 1
            ]

    def test_ints_and_floats_sort_together(self, store: Store) -> None:
        numbers: list[Any] = [10, 9.5, 9, -1, -1.5, 0, 0.5, 100, 99.5, 5e-324, -5e-324, 1e300]
        store.create_many({"n": number} for number in numbers)
        assert [found["n"] for found in store.find(sort="n")] == sorted(numbers)

    def test_neighbours_past_2_53_sort_exactly(self, store: Store) -> None:
        numbers: list[int | float] = [
            2**53 + 1,
            2**53,
            2**53 + 3,
            2**53 + 2,
            2**63 - 1,
            2**63 - 2,
            -(2**63),
            -(2**63) + 1,
        ]
        with self.within(BIG_INTS):
            store.create_many({"n": number} for number in numbers)
            assert [found["n"] for found in store.find(sort="n")] == sorted(numbers)

    def test_a_boolean_is_in_no_range_of_numbers(self, store: Store) -> None:
        store.create_many([{"n": True}, {"n": False}, {"n": 0.5}])
        assert [found["n"] for found in store.find({"n": {"$gte": 0, "$lte": 1}})] == [0.5]
