"""Store URLs and `open`: what is read out of them, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import copy
import pprint
import traceback
from typing import Any, ClassVar
from urllib.parse import quote

import divan
import pytest
from divan import BackendNotFound, InvalidURL
from divan.backends.memory import MemoryBackend
from divan.options import MAX_SECONDS, Options, boolean, is_secret, read_options, seconds
from divan.urls import StoreURL, parse_url
from hypothesis import assume, example, given
from hypothesis import strategies as st

# Reading


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("memory://", {"scheme": "memory"}),
        ("memory://name", {"scheme": "memory", "host": "name"}),
        ("memory:///name", {"scheme": "memory", "database": "name"}),
        ("sqlite:///rel.db", {"scheme": "sqlite", "database": "rel.db"}),
        ("sqlite:///a/b.db", {"scheme": "sqlite", "database": "a/b.db"}),
        ("sqlite:////abs/a.db", {"scheme": "sqlite", "database": "/abs/a.db"}),
        ("sqlite:////home/me@corp/a b.db", {"scheme": "sqlite", "database": "/home/me@corp/a b.db"}),
        ("sqlite:///C:/a.db", {"scheme": "sqlite", "database": "C:/a.db"}),
        ("couchdb://localhost/guests", {"scheme": "couchdb", "host": "localhost", "database": "guests"}),
        ("couchdb://localhost:5984/guests", {"scheme": "couchdb", "host": "localhost", "port": 5984, "database": "guests"}),
        ("couchdb://h:65535", {"scheme": "couchdb", "host": "h", "port": 65535}),
        ("couchdb://h:/x", {"scheme": "couchdb", "host": "h", "database": "x"}),
        ("couchdb:///guests", {"scheme": "couchdb", "database": "guests"}),
        ("couchdb://u@h/x", {"scheme": "couchdb", "user": "u", "host": "h", "database": "x"}),
        ("couchdb://u:p@h/x", {"scheme": "couchdb", "user": "u", "password": "p", "host": "h", "database": "x"}),
        ("redis://:p@h/0", {"scheme": "redis", "user": "", "password": "p", "host": "h", "database": "0"}),
        ("redis://u:@h", {"scheme": "redis", "user": "u", "password": "", "host": "h"}),
        ("redis://u:p@/0", {"scheme": "redis", "user": "u", "password": "p", "database": "0"}),
        ("couchdb://u:a:b@h", {"scheme": "couchdb", "user": "u", "password": "a:b", "host": "h"}),
        ("couchdb://u:a@b@h", {"scheme": "couchdb", "user": "u", "password": "a@b", "host": "h"}),
        ("couchdb://u%40c:p%2F%3A%40%25@h%2Dx/a%2Fb%20%C3%A9", {"scheme": "couchdb", "user": "u@c", "password": "p/:@%", "host": "h-x", "database": "a/b é"}),
        ("couchdb://u:100%@h", {"scheme": "couchdb", "user": "u", "password": "100%", "host": "h"}),
        ("couchdb://[::1]/x", {"scheme": "couchdb", "host": "::1", "database": "x"}),
        ("couchdb://u:p@[2001:db8::1]:5984/x", {"scheme": "couchdb", "user": "u", "password": "p", "host": "2001:db8::1", "port": 5984, "database": "x"}),
        ("mongo://a:1,b:2,c/x", {"scheme": "mongo", "host": "a:1,b:2,c", "database": "x"}),
        ("mongo://u:p@[::1]:1,[::2]:2/x", {"scheme": "mongo", "user": "u", "password": "p", "host": "[::1]:1,[::2]:2", "database": "x"}),
        ("mongodb+srv://cluster.example.com/x", {"scheme": "mongodb+srv", "host": "cluster.example.com", "database": "x"}),
        ("divan-core:memory://x", {"scheme": "divan-core:memory", "host": "x"}),
        ("my.dist_1:a-b.c://x", {"scheme": "my.dist_1:a-b.c", "host": "x"}),
        ("sqlite:///a.db?b=1&c=&d=x%26y%3D%20+z", {"scheme": "sqlite", "database": "a.db", "options": {"b": "1", "c": "", "d": "x&y=  z"}}),
        ("sqlite:///a.db?", {"scheme": "sqlite", "database": "a.db"}),
        ("couchdb://h?a=1", {"scheme": "couchdb", "host": "h", "options": {"a": "1"}}),
        ("sqlite:///a%23b%3Fc.db", {"scheme": "sqlite", "database": "a#b?c.db"}),
        ("couchdb://h/x?timeout=1&next=%2Fa%40b", {"scheme": "couchdb", "host": "h", "database": "x", "options": {"timeout": "1", "next": "/a@b"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_url_is_taken_apart(url: str, parts: dict[str, Any]) -> None:
    assert parse_url(url) == StoreURL(**parts)


FORM = "scheme://[user[:password]@][host[:port]]/database[?option=value]"
NO_URL = f"a store URL has the form {FORM}, as in sqlite:///guests.db"
RESERVED = "a '/', '?' or '#' in a user name or password is written %2F, %3F or %23; an '@' after the host %40"
PORT = "the port is no number from 1 to 65535; percent-encode ':', '@' and '/' in a password"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", NO_URL),
        ("guests", NO_URL),
        ("guests.db", NO_URL),
        ("sqlite:/guests.db", NO_URL),
        ("://guests", NO_URL),
        ("5x://guests", NO_URL),
        ("a b://guests", NO_URL),
        ("a:b:c://guests", NO_URL),
        ("x://h:0/a", f"x://…: {PORT}"),
        ("x://h:65536/a", f"x://…: {PORT}"),
        ("x://h:-1/a", f"x://…: {PORT}"),
        ("x://h:1.5/a", f"x://…: {PORT}"),
        ("x://h:٣/a", f"x://…: {PORT}"),
        ("x://h:1:2/a", f"x://…: {PORT}"),
        ("x://h:" + "9" * 6000, f"x://…: {PORT}"),
        ("x://::1/a", f"x://…: {PORT}"),
        ("x://[::1/a", f"x://…: the host can't be understood; the form is {FORM}"),
        ("x://::1]/a", f"x://…: the host can't be understood; the form is {FORM}"),
        ("x://h/a#b", "x://…: a '#' inside a URL is written %23"),
        ("x://h/a#", "x://…: a '#' inside a URL is written %23"),
        ("x://h/a?b", "x://…: options are written ?name=value&name=value"),
        ("x://h/a?b=1&", "x://…: options are written ?name=value&name=value"),
        ("x://h/a?b=1&b=2", "x://…: the option 'b' is given twice"),
        ("x://h/a@b", f"x://…: {RESERVED}"),
        ("x://h/a?b=c@d", f"x://…: {RESERVED}"),
        ("x://h/a\tb", "x://…: a tab is written %09, a line break %0A, and so on"),
        ("x://h/a\n", "x://…: a tab is written %09, a line break %0A, and so on"),
        ("x://h/%ff", "x://…: what is percent-encoded is no UTF-8"),
        ("x://u:%C3@h/a", "x://…: what is percent-encoded is no UTF-8"),
        ("x://h/a?b=%ff", "x://…: options are written ?name=value&name=value"),
        ("x://h/a%00b", "x://…: a part holds a NUL character"),
    ],
    ids=lambda value: value[:20] if "://…" not in value else "",
)
def test_what_can_not_be_read_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse_url(url)

    assert str(caught.value) == message


# Showing


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory:///"),
        ("memory://name", "memory://name/"),
        ("sqlite:////abs/a b.db", "sqlite:////abs/a%20b.db"),
        ("couchdb://u:p@h:1/x", "couchdb://u:***@h:1/x"),
        ("couchdb://u@h/x", "couchdb://u@h/x"),
        ("redis://:p@h", "redis://:***@h/"),
        ("couchdb://u%3Av:p@[::1]:1/x", "couchdb://u%3Av:***@[::1]:1/x"),
        ("mongo://u:p@a:1,b:2/x", "mongo://u:***@a:1,b:2/x"),
        ("mongo://%2Ftmp%2Fmongodb.sock/x", "mongo://%2Ftmp%2Fmongodb.sock/x"),
        ("x://h/a?timeout=5&token=s3cret&tls_key_password=q&a%26b=%26", "x://h/a?timeout=5&token=***&tls_key_password=***&a%26b=%26"),
        ("divan-core:memory://x", "divan-core:memory://x/"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert str(parse_url(url)) == shown


@pytest.mark.parametrize(
    "name", ["password", "passwd", "pwd", "PASSPHRASE", "sslPassword", "client_secret", "token", "apikey", "api_key", "api-key", "credentials", "private_key"]
)  # fmt: skip
def test_the_name_of_an_option_tells_that_it_is_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["timeout", "user", "tls_ca", "create", "wait"])
def test_other_options_are_shown(name: str) -> None:
    assert not is_secret(name)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True) | st.sampled_from(["::1", "2001:db8::1", "a:1,b:2"])


@given(
    st.none() | TEXT,
    HOSTS | st.none(),
    st.none() | st.integers(1, 65535),
    TEXT | st.just(""),
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), TEXT | st.just(""), max_size=3),
)
def test_a_shown_url_reads_back_as_the_same_but_for_the_password(
    user: str | None, host: str | None, port: int | None, database: str, options: dict[str, str]
) -> None:
    if host is None or "," in host:
        port = None
    url = StoreURL("x", user=user, host=host, port=port, database=database, options=options)

    assert parse_url(str(url)) == url


# Passwords: percent-encoded, they are read; carelessly not encoded, they are read or refused; shown, never.

PASSWORDS = st.text(st.sampled_from("abcXYZ019:/?#[]@!$&'()*+,;=%-._~ \"\\<>{}|^`é€\t"), min_size=1, max_size=12)


@given(PASSWORDS, st.sampled_from(["h", "h:1", "[::1]:5984", "a:1,b:2"]))
def test_an_encoded_password_is_read_exactly(password: str, host: str) -> None:
    assert parse_url(f"couchdb://user:{quote(password, safe='')}@{host}/db").password == password


@given(PASSWORDS)
@example("q/12@x")
@example("q@12:34/x")
@example("12?a=b")
@example("12?a=b&a=b")
@example("12/x?y=z")
@example("q@[::1]x")
@example("q[r")
@example("9" * 5000)
@example("q\u2100r")
@example("x:1,y:2/z")
def test_a_password_that_is_not_encoded_is_read_exactly_or_refused(password: str) -> None:
    assume("%" not in password)  # a '%' is where encoding shows
    try:
        url = parse_url(f"couchdb://user:{password}@host/db")
    except InvalidURL:
        return

    assert (url.password, url.host, url.database) == (password, "host", "db")


SECRETS = st.builds(
    "".join, st.lists(st.sampled_from(["s3cret", "hunter2", ":@", "/", "?", "#", "[", "]", ",", "=", "&", "%", "%zz", "12", "\t", "\\", "é"]), min_size=1, max_size=6)
).filter(lambda text: "s3cret" in text or "hunter2" in text)  # fmt: skip


TEMPLATES = [
    "memory://u:{}@h/db", "memory://:{}@h", "memory://u:{}@a:1,b:2/db?x=1", "memory://{}@h/db", "memory://h/db?password={}",
    "memory://h/db?a={}@b", "memory:/u:{}@h/db", "memory//u:{}@h", "u:{}@h/db", "//u:{}@h/db", "floppy://u:{}@h/db",
]  # fmt: skip


@given(SECRETS, st.sampled_from(TEMPLATES))
def test_no_secret_is_in_any_error_that_open_raises(secret: str, template: str) -> None:
    try:
        divan.open(template.format(secret)).close()
    except divan.DivanError as error:
        for text in (str(error), repr(error), "".join(traceback.format_exception(error))):
            assert "s3cret" not in text
            assert "hunter2" not in text


def test_a_url_that_is_no_string_is_not_shown():
    with pytest.raises(divan.InvalidURL, match=r"a backend class, not bytes$"):
        divan.open(b"redis://user:s3cret@host/db")


def test_an_unknown_option_behind_a_secret_is_not_named():
    with pytest.raises(
        divan.InvalidURL, match=r"memory has no option '\*\*\*' \(in a secret's value, '&' is written %26\)"
    ):
        divan.open("memory://db?password=a&s3cret=")
    with pytest.raises(divan.InvalidURL, match="memory has no option 'colour'; its options are: none"):
        divan.open("memory://db?colour=red")


@given(SECRETS)
def test_no_secret_is_in_a_parsed_url_that_is_printed(secret: str) -> None:
    encoded = quote(secret, safe="")
    url = parse_url(f"couchdb://user:{encoded}@host/db?api_token={encoded}")

    assert url.password == url.options["api_token"] == secret
    for text in (str(url), repr(url), f"{url}", f"{url!r}", "%s" % (url,), pprint.pformat(url), repr([url])):  # noqa: UP031
        assert secret not in text
        assert encoded not in text


class NetworkBackend(MemoryBackend):
    """A driver with a host and credentials, whose documents are in memory."""

    default_host = "localhost"
    default_port = 1234
    known_options: ClassVar[Any] = {"timeout": float, "api_token": str, "level": int}


@given(SECRETS)
def test_no_secret_is_in_a_store_or_backend_that_is_printed(secret: str) -> None:
    with divan.open(NetworkBackend, database="db", user="u", password=secret, api_token=secret) as store:
        assert store.backend.options["password"] == secret
        texts = [repr(store), store.url, repr(store.backend), repr(store.backend.options), str(store.backend.options)]
        texts += [pprint.pformat(store.backend.options), f"{store.backend.options}", f"{store.backend}"]
        assert not [text for text in texts if secret in text]


# Options


def test_text_options_are_parsed_and_others_pass() -> None:
    assert read_options("x", {"timeout": "2.5", "level": 3}, {"timeout": float, "level": int}) == {
        "timeout": 2.5,
        "level": 3,
    }


def test_extra_options_pass_as_they_are() -> None:
    assert read_options("x", {"user": "1"}, {}) == {"user": "1"}


def test_a_backend_that_checks_its_options_itself_gets_all_of_them() -> None:
    assert read_options("x", {"anything": "1"}, None) == {"anything": "1"}


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"tiemout": "5"}, "x has no option 'tiemout'; its options are: api_token, level, timeout"),
        ({"timeout": "soon"}, "x: the option timeout='soon' can't be used: could not convert string to float: 'soon'"),
        (
            {"level": "s3cret"},
            "x: the option level='s3cret' can't be used: invalid literal for int() with base 10: 's3cret'",
        ),
    ],
)
def test_an_option_that_can_not_be_used_is_refused(given_options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        read_options("x", given_options, {"timeout": float, "api_token": str, "level": int})

    assert str(caught.value) == message


def test_a_secret_option_that_can_not_be_used_is_not_shown() -> None:
    with pytest.raises(InvalidURL) as caught:
        read_options("x", {"token": "s3cret"}, {"token": int})

    assert str(caught.value) == "x: the option token=*** can't be used"


def test_a_backend_without_options_says_so() -> None:
    with pytest.raises(InvalidURL, match=r"^memory has no option 'timeout'; its options are: none$"):
        divan.open("memory://x?timeout=5")


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on"])
def test_a_boolean_option_may_be_on(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_a_boolean_option_may_be_off(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize("text", ["", "maybe", "2", "true "])
def test_a_boolean_option_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="give true or false"):
        boolean(text)


@pytest.mark.parametrize(
    ("value", "number"), [("5", 5.0), ("0.25", 0.25), ("1e3", 1000.0), (2, 2.0), (0.5, 0.5), (MAX_SECONDS, 1e6)]
)
def test_an_option_in_seconds_is_text_or_a_number(value: str | float, number: float) -> None:
    assert seconds(value) == number


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "nan", "inf", "1e300", "5 s", "true", 0, -0.5, 10**400, MAX_SECONDS + 1, True, None, [1]]
)
def test_an_option_in_seconds_is_nothing_else(value: Any) -> None:
    with pytest.raises(ValueError, match="give a number of seconds greater than 0, and at most 1000000"):
        seconds(value)


def test_options_hide_their_secrets_but_hold_them() -> None:
    options = Options(user="ada", password="s3cret", api_token="s3cret", timeout=5, secret=None)

    assert (
        repr(options)
        == str(options)
        == "{'user': 'ada', 'password': '***', 'api_token': '***', 'timeout': 5, 'secret': None}"
    )
    assert options["password"] == "s3cret"
    assert "s3cret" not in repr(copy.copy(options))
    assert "s3cret" not in repr(options.copy())


# open


def test_a_url_opens_the_backend_of_its_scheme() -> None:
    with divan.open("memory://urls-scheme") as store:
        assert isinstance(store.backend, MemoryBackend)
        assert store.name == "memory"
        assert store.backend.database == "urls-scheme"


def test_a_name_with_the_database_beside_it_opens_the_same_as_a_url() -> None:
    with divan.open("memory://urls-same") as one, divan.open("memory", database="urls-same") as other:
        one.put("a", {"n": 1})

        assert other["a"] == {"n": 1}


def test_a_class_opens_without_being_installed() -> None:
    with divan.open(NetworkBackend, database="db") as store:
        assert (store.backend.database, store.backend.host, store.backend.port) == ("db", "localhost", 1234)


def test_a_class_takes_host_port_and_options() -> None:
    with divan.open(NetworkBackend, database="db", host="h", port=7, timeout="2", level=3, user="u") as store:
        assert (store.backend.host, store.backend.port) == ("h", 7)
        assert {name: store.backend.options[name] for name in ("timeout", "level", "user")} == {
            "timeout": 2.0,
            "level": 3,
            "user": "u",
        }


def test_a_qualified_scheme_opens_the_backend_of_that_distribution() -> None:
    with divan.open("divan-core:memory://urls-qualified") as store:
        assert (store.name, store.backend.database) == ("memory", "urls-qualified")


def test_without_a_url_the_environments_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", "memory://urls-environment")

    with divan.open() as store:
        assert store.backend.database == "urls-environment"


def test_the_environment_does_not_matter_where_a_url_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIVAN_URL", "no such thing")

    with divan.open("memory://urls-given") as store:
        assert store.backend.database == "urls-given"


@pytest.mark.parametrize("value", [None, ""])
def test_without_any_url_open_says_which_variable_it_looked_at(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("DIVAN_URL", raising=False)
    else:
        monkeypatch.setenv("DIVAN_URL", value)

    with pytest.raises(InvalidURL, match=r"^no URL was given, and DIVAN_URL is not set"):
        divan.open()


@pytest.mark.parametrize("argument", [{"database": "x"}, {"host": "h"}, {"port": 1}])
def test_what_a_url_says_can_not_be_said_beside_it(argument: dict[str, Any]) -> None:
    (name,) = argument

    with pytest.raises(InvalidURL, match=f"^{name} is part of the URL already"):
        divan.open("memory://x", **argument)


@pytest.mark.parametrize("value", [5, b"memory://x", object, dict])
def test_what_is_neither_url_nor_backend_is_refused(value: Any) -> None:
    with pytest.raises(InvalidURL, match="takes a URL, a backend's name or a backend class"):
        divan.open(value)


def test_an_unknown_scheme_is_named_with_what_is_installed() -> None:
    with pytest.raises(BackendNotFound, match=r"^no installed backend is called 'floppy'; installed are: .*memory"):
        divan.open("floppy://a")


def test_what_looks_like_a_url_gone_wrong_is_told_what_one_looks_like() -> None:
    with pytest.raises(BackendNotFound, match=r"sqlite:///guests.db"):
        divan.open("sqlite:/guests.db")
