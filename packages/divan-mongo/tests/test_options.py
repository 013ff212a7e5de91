"""Names and URLs of MongoDB's backend that need no server: found, or refused with the reason."""

from __future__ import annotations

import divan
import pytest


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongo://localhost", "names no database"),
        ("mongo://localhost/a b", "no name for a database"),
        ("mongo://localhost/a.b?collection=c", "two collections"),
        ("mongo://localhost/a.system.users", "no name for a collection"),
        ("mongo://localhost/a?replicaset=x&reed=1", "no option 'reed'.*its options are.*readpreference"),
        ("mongo://localhost/a?timeout=soon", "timeout='soon'"),
        ("mongo://localhost/a?timeout=0", "greater than 0"),
        ("mongo://localhost/a?types=bson", "native or portable"),
        ("mongo://localhost/a?create=perhaps", "true or false"),
        ("mongo://localhost/a?tls=maybe", "tls='maybe'"),
        ("mongo://localhost/a?tlsCAFile=/no/such/file", "tlsCAFile"),
        ("mongo://localhost/a?w=0", "w=0"),
        ("mongo://localhost/a?username=ada", "no option 'username'"),
        ("mongo://ada@localhost/a", "password"),
        ("mongo://a,,b/a", "mongo"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, message: str) -> None:
    with pytest.raises(divan.InvalidURL, match=message):
        divan.open(url)


@pytest.mark.parametrize("name", ["mongo", "mongodb", "mongodb+srv"])
def test_every_name_of_the_backend_is_found(name: str) -> None:
    assert divan.get_backend(name).__name__ == "MongoBackend"
