"""Store URLs: ``scheme://[user[:password]@][host[:port]]/database[?option=value…]``, read and shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from divan.errors import InvalidURL
from divan.options import boolean, is_secret, seconds

# The two readers of options are a part of this module's names as well: drivers import them from here.
__all__ = ["StoreURL", "boolean", "parse_url", "seconds"]

_SCHEME = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*:)?[A-Za-z][A-Za-z0-9+._-]*"
_CONTROL = r"[\x00-\x1f\x7f]"
_SHAPE = "scheme://[user[:password]@][host[:port]]/database[?option=value]"


class StoreURL(NamedTuple):
    """A parsed URL; every part percent-decoded.

    Attributes:
        scheme: The backend's name or alias, possibly qualified: ``"mongo"``, ``"divan-mongo:mongo"``.
        user: User name, or `None`.
        password: Password, or `None`; never shown.
        host: Host name, or several with their ports as one string; `None` if the URL has none.
        port: Port, or `None`.
        database: The path without its leading slash.
        options: Option → text.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str | None = None
    port: int | None = None
    database: str = ""
    options: Mapping[str, str] = {}

    def __str__(self) -> str:
        """The URL with the password and secret options shown as ``***``."""
        user = "" if self.user is None else quote(self.user, safe="") + (":***" if self.password else "") + "@"
        host = quote(self.host or "", safe=":,[]")
        if ":" in host and "," not in host:
            host = f"[{host}]"
        port = "" if self.port is None else f":{self.port}"
        shown = [f"{quote(name)}={'***' if is_secret(name) else quote(value)}" for name, value in self.options.items()]
        query = "?" + "&".join(shown) if shown else ""
        return f"{self.scheme}://{user}{host}{port}/{quote(self.database)}{query}"

    def __repr__(self) -> str:
        return f"<StoreURL {self}>"


def parse_url(url: str) -> StoreURL:
    """Take a URL apart.

    A password whose reserved characters were not percent-encoded is refused where it could be taken for something else.

    Raises:
        InvalidURL: saying which part can't be understood; neither the message nor the traceback holds a secret.
    """
    try:
        return _parse(url)
    except InvalidURL as error:
        problem = str(error)
    # Out here, where no frame of the traceback and no error in its chain has a part of the URL.
    del url
    raise InvalidURL(problem)


def is_scheme(name: str) -> bool:
    """Whether a URL can begin with a backend's name."""
    return re.fullmatch(_SCHEME, name) is not None


def _parse(url: str) -> StoreURL:
    scheme, separator, rest = url.partition("://")
    if not separator or not is_scheme(scheme):
        raise InvalidURL(f"a store URL has the form {_SHAPE}, as in sqlite:///guests.db")
    if re.search(_CONTROL, rest):  # urlsplit would leave tabs and line breaks out, of a password as well
        raise InvalidURL(f"{scheme}://…: a tab is written %09, a line break %0A, and so on")
    try:
        rest.encode()
    except UnicodeEncodeError:
        raise InvalidURL(f"{scheme}://…: it holds half of a surrogate pair, which is not Unicode") from None
    try:
        parts = urlsplit("//" + rest)
    except ValueError:
        raise InvalidURL(f"{scheme}://…: the host can't be understood; the form is {_SHAPE}") from None
    if parts.fragment or rest.endswith("#"):
        raise InvalidURL(f"{scheme}://…: a '#' inside a URL is written %23")
    userinfo, at, hosts = parts.netloc.rpartition("@")
    if (parts.netloc and "@" in parts.path) or "@" in parts.query:
        raise InvalidURL(
            f"{scheme}://…: a '/', '?' or '#' in a user name or password is written %2F, %3F or %23; "
            "an '@' after the host %40"
        )
    user, colon, password = userinfo.partition(":")
    host, port = _split_host(scheme, hosts)
    return StoreURL(
        scheme=scheme,
        user=_unquote(scheme, user) if at else None,
        password=_unquote(scheme, password) if colon else None,
        host=host,
        port=port,
        database=_unquote(scheme, parts.path[1:]),
        options=_parse_options(scheme, parts.query),
    )


def _unquote(scheme: str, text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidURL(f"{scheme}://…: what is percent-encoded is no UTF-8") from None
    if "\0" in decoded:
        raise InvalidURL(f"{scheme}://…: a part holds a NUL character")
    return decoded


def _split_host(scheme: str, hosts: str) -> tuple[str | None, int | None]:
    if not hosts:
        return None, None
    if "," in hosts:  # several hosts, each perhaps with its port: the driver's business
        return _unquote(scheme, hosts), None
    if hosts.startswith("["):
        host, bracket, tail = hosts[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise InvalidURL(f"{scheme}://…: an IPv6 address is written in brackets, as in [::1]:5984")
        text = tail[1:]
    else:
        host, _, text = hosts.partition(":")
    if not text:
        return _unquote(scheme, host), None
    # The text is not shown: of a password that was not percent-encoded, a part can stand here.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise InvalidURL(
            f"{scheme}://…: the port is no number from 1 to 65535; percent-encode ':', '@' and '/' in a password"
        )
    return _unquote(scheme, host), int(text)


def _parse_options(scheme: str, query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise InvalidURL(f"{scheme}://…: options are written ?name=value&name=value") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name in options:
            raise InvalidURL(f"{scheme}://…: the option {name!r} is given twice")
        options[name] = value
    return options
