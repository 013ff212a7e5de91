"""`MoneyField`: an exact amount in a currency, stored as text."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

_CURRENCY = re.compile(r"[A-Z]{3}")


class Money(NamedTuple):
    """An amount of money.

    Attributes:
        amount: The exact amount; finite.
        currency: The code of ISO 4217, such as ``"EUR"``.
    """

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def serialize_money(value: Money | str) -> str:
    """An amount as ``12.50 EUR``, digit for digit. Text in that form is checked and taken."""
    money = deserialize_money(value) if isinstance(value, str) else value
    if not isinstance(money, Money) or not isinstance(money.amount, Decimal):
        raise TypeError("Money(Decimal, currency) is needed")
    if not money.amount.is_finite():
        raise ValueError("the amount is not finite")
    if _CURRENCY.fullmatch(money.currency) is None:
        raise ValueError(f"{money.currency!r} is no currency code such as EUR")
    return str(money)


def deserialize_money(stored: str) -> Money:
    """The amount of `serialize_money`."""
    amount, space, currency = stored.partition(" ")
    if not space:
        raise ValueError("the stored form of an amount looks like '12.50 EUR'")
    return Money(Decimal(amount), currency)
