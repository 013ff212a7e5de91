"""Field types for Divan: amounts of money and points on a map."""

from divan_shop.money import Money
from divan_shop.points import Point

__all__ = ["Money", "Point"]
