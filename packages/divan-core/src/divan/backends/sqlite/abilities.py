"""Internal: finds out what the SQLite that this process runs answers exactly: builds and versions differ."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from enum import Enum
from functools import cache
from typing import Final, NamedTuple


class Numbers(Enum):
    """Which floats SQLite reads from JSON as Python does; builds and versions differ, and integers are always exact."""

    ALL = "all"
    ORDINARY = "ordinary"
    """All but very large and very small ones; those stay very large and very small."""
    NEAR = "near"
    """Some are off by a bit in the last place."""


class Abilities(NamedTuple):
    """What the SQLite that this process runs answers exactly.

    Attributes:
        numbers: Which floats it reads exactly.
        nul: Whether it extracts strings that hold NUL characters whole.
    """

    numbers: Numbers
    nul: bool


# Each of these is misread by one of SQLite's algorithms, or looks as if it might be.
_ORDINARY_FLOATS: Final = (
    -70560.586636, 0.755416097245939, -982.898162064009, 260048.8735686, -338643.637831, 131553.679032, 7619.072001,
    0.4089716884949747, 0.3670307892998457, -443996.06970937, 8270.6326411, 4424.15971614, -504.7634490954716,
    0.1, -0.0, 0.1 + 0.2, 1 / 3, 2 / 3, 9007199254740993.0, 9007199254740991.0, 1e16, 1e22, 1e23, 123456789012345.67,
    8.41e21, 9.5e-3, 5.0e-5, 1.0000000000000002, 0.9999999999999999, 4.35, 0.000035, 17.39, 7.2057594037927933e16,
    9.223372036854776e18, 1.8446744073709552e19, 2.5e-6, 6.02214076e23, 1.602176634e-19, 299792458.5, 1e-5, 1.005,
    2.675, 1e21, -1e-7, 4.37006831342734e-10, 257484059.494314, 376873029.470036, 15125164.489298, 0.0590183527066751,
)  # fmt: skip
_EXTREME_FLOATS: Final = (
    1e308, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 8.988465674311579e307,
    6.631236846766476e-316, 4.450147717014403e-308, 3.5844466002796428e298, 1.01853664031722e-244, 1.1e-311,
    -2.3027782228163463e146, 6.352929017207453e-183, 1.23456e-298,
)  # fmt: skip
_ORDINARY: Final = (1e-25, 1e25)


@cache
def abilities() -> Abilities:
    """What this process's SQLite answers exactly, found out by trying."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        numbers = Numbers.NEAR
        if _reads(connection, _ORDINARY_FLOATS):
            numbers = Numbers.ALL if _reads(connection, _EXTREME_FLOATS) else Numbers.ORDINARY
        (nul,) = connection.execute(
            "SELECT json_extract(:json,'$[0]')=:text AND instr(json_extract(:json,'$[0]'),'b')=3 AND value=:text "
            "FROM json_each(:json)",
            {"json": '["a\\u0000b"]', "text": "a\0b"},
        ).fetchone()
    finally:
        connection.close()
    return Abilities(numbers, bool(nul))


def _reads(connection: sqlite3.Connection, floats: Sequence[float]) -> bool:
    query = "SELECT value, json_extract(?, fullkey) FROM json_each(?)"
    text = json.dumps(floats)
    return connection.execute(query, (text, text)).fetchall() == [(number, number) for number in floats]


def is_ordinary(number: float) -> bool:
    """Whether a float is neither very large nor very small."""
    return not number or _ORDINARY[0] <= abs(number) <= _ORDINARY[1]
