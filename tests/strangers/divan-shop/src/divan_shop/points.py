"""`PointField`: a point on a map, stored as an object of two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Point(NamedTuple):
    """A point on the earth.

    Attributes:
        latitude: Degrees north of the equator, -90 to 90.
        longitude: Degrees east of Greenwich, -180 to 180.
    """

    latitude: float
    longitude: float


def serialize_point(value: Point | Mapping[str, float]) -> dict[str, float]:
    """A point as ``{"latitude": 48.137, "longitude": 11.575}``. Such a mapping is checked and taken."""
    point = deserialize_point(value) if isinstance(value, Mapping) else value
    if not isinstance(point, Point):
        raise TypeError("a Point is needed")
    if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
        raise ValueError("a latitude goes from -90 to 90 degrees, a longitude from -180 to 180")
    return {"latitude": float(point.latitude), "longitude": float(point.longitude)}


def deserialize_point(stored: Mapping[str, float]) -> Point:
    """The point of `serialize_point`."""
    if set(stored) != {"latitude", "longitude"}:
        raise ValueError("the stored form of a point has a latitude and a longitude")
    return Point(float(stored["latitude"]), float(stored["longitude"]))
