"""Internal: the checks of secrets: a password shows in no repr, no error, no log line, whatever characters it holds."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

import pytest

from divan import DivanError, Store
from divan.testing.base import StoreChecks
from divan.testing.checks.network import at_port, closed_port, open_impatiently, outcome

PASSWORDS: Final = {
    "plain": "Zq7vKx2pLw",
    "an at sign and a colon": "Zq7v@Kx:2pLw",
    "slashes": "Zq7v/Kx2p\\Lw",
    "a question mark and a hash": "Zq7v?Kx#2pLw",
    "percent signs": "Zq7v%Kx2p%25Lw",
    "brackets": "Zq7v[Kx2p]Lw",
    "ampersands and an equals sign": "Zq7v&Kx=2p+Lw",
    "spaces and quotes": "Zq7v Kx2p'L\"w",
    "letters beyond ASCII": "Zq7véKx😀2pLw",
}

SHOWN: Final[dict[str, Callable[[Store], str]]] = {
    "repr of the store": repr,
    "str of the store": str,
    "url of the store": lambda store: store.url,
    "repr of the backend": lambda store: repr(store.backend),
    "str of the backend": lambda store: str(store.backend),
    "repr of its options": lambda store: repr(store.backend.options),
    "str of its options": lambda store: str(store.backend.options),
    "its options formatted": lambda store: f"{store.backend.options}",
}

each_password = pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)


def leaked(password: str, text: str) -> list[str]:
    """The spellings of the password that a text holds."""
    spellings = {password, quote(password, safe=""), quote(password), quote_plus(password), repr(password)[1:-1]}
    return sorted(spelling for spelling in spellings if spelling in text)


def told(error: BaseException) -> str:
    """All that an error tells: its message, its causes, its traceback."""
    return "".join(traceback.format_exception(error)) + repr(error)


class Secrets(StoreChecks):
    """Passwords."""

    @pytest.fixture
    def with_password(self, store: Store, fresh_url: str) -> Callable[[str], Any]:
        """What opening the store with a user and this password ends with: a Store, or an error."""
        opened: list[Any] = []

        def open_with(password: str) -> Any:
            opened.append(outcome(lambda: self.open(fresh_url, user="somebody", password=password), self.patience))
            return opened[-1]

        return open_with

    @pytest.fixture
    def log(self, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
        """The log of every logger, in full."""
        with caplog.at_level(logging.DEBUG):
            yield caplog

    @each_password
    def test_a_password_shows_nowhere(self, with_password: Callable[[str], Any], password: str) -> None:
        result = with_password(password)
        if isinstance(result, Store):
            with result:
                shown = {name: show(result) for name, show in SHOWN.items()}
        else:
            assert isinstance(result, DivanError), type(result)
            shown = {"the error": told(result)}
        assert {name: text for name, text in shown.items() if leaked(password, text)} == {}

    @each_password
    def test_a_password_shows_in_no_log(
        self, with_password: Callable[[str], Any], log: pytest.LogCaptureFixture, password: str
    ) -> None:
        result = with_password(password)
        if isinstance(result, Store):
            with result:
                result.create({"a": 1})
        assert leaked(password, log.text) == []

    @each_password
    def test_a_password_shows_in_no_error_of_a_missing_server(
        self, store: Store, fresh_url: str, password: str
    ) -> None:
        if self.backend_class.default_port == 0:
            pytest.skip(f"not applicable: {self.backend_class.__name__} is embedded and has no server")
        with closed_port() as port:
            url = at_port(fresh_url, port, userinfo=f"somebody:{quote(password, safe='')}")

            def use() -> None:
                with open_impatiently(self, url) as opened:
                    opened.create({"a": 1})

            result = outcome(use, self.patience)
        assert isinstance(result, DivanError), type(result)
        assert leaked(password, told(result)) == []

    @each_password
    def test_a_password_shows_in_no_error_of_an_unknown_option(
        self, store: Store, fresh_url: str, password: str
    ) -> None:
        error = self.refused(fresh_url, user="somebody", password=password, no_such_option=1)
        assert leaked(password, told(error)) == []

    def test_a_closed_store_shows_no_password(self, with_password: Callable[[str], Any]) -> None:
        password = PASSWORDS["plain"]
        result = with_password(password)
        if not isinstance(result, Store):
            assert leaked(password, told(result)) == []
            return
        result.close()
        with pytest.raises(DivanError) as caught:
            result.ping()
        assert leaked(password, repr(result) + told(caught.value)) == []
