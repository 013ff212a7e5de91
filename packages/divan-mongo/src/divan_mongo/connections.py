"""Internal: the client: made for the hosts of a URL, and kept if the server lets the user in."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from divan.errors import AuthenticationFailed, ConnectionFailed, DatabaseNotFound, DivanError, InvalidURL
from divan.options import Options
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI

from divan_mongo.errors import translating
from divan_mongo.options import client_arguments

SRV_SCHEME: Final = "mongodb+srv"

Client = MongoClient[dict[str, Any]]


class Address(NamedTuple):
    """Where a database is.

    Attributes:
        scheme: The URL's scheme; `SRV_SCHEME` has the hosts looked up in DNS.
        host: A host, several with their ports and commas between them, or a Unix socket's path.
        port: The port of hosts that name none.
        database: The database's name.
    """

    scheme: str
    host: str
    port: int
    database: str

    def label(self, collection: str) -> str:
        """How messages call a collection of the database.

        Args:
            collection: Its name.
        """
        hosts = self.host if "," in self.host else f"{self.host}:{self.port}"
        return f"mongo {hosts}/{self.database}.{collection}"


def open_client(address: Address, options: Options) -> Client:
    """Make a client, and ask the server for the collection.

    Args:
        address: Where the database is.
        options: From `divan_mongo.options.read_options`.

    Raises:
        InvalidURL: if pymongo can't understand the hosts, or the options contradict each other.
        ConnectionFailed, OperationTimeout: if no server answers, or the hosts of ``mongodb+srv`` can't be looked up.
        AuthenticationFailed: if the server does not let the user in.
        DatabaseNotFound: if the collection does not exist, and ``create`` is false.
    """
    sources = _auth_sources(address, options)
    for source in sources[:-1]:
        try:
            return _open_client(address, options, source)
        except AuthenticationFailed:
            pass
    return _open_client(address, options, sources[-1])


def resends_writes(client: Client) -> bool:
    """Whether pymongo sends a write again if the connection breaks, as it does to all but a server that stands alone.

    Args:
        client: One that a server has answered.
    """
    servers = client.topology_description.server_descriptions().values()
    return client.options.retry_writes and any(server.retryable_writes_supported for server in servers)


def _open_client(address: Address, options: Options, auth_source: str | None) -> Client:
    """A client that the server has answered.

    Args:
        address: Where the database is.
        options: As in `open_client`.
        auth_source: The database that knows the user; `None` for pymongo's choice.
    """
    client = _make_client(address, options, auth_source)
    try:
        _ask_for_collection(client, address, options)
    except BaseException:
        client.close()
        raise
    return client


def _make_client(address: Address, options: Options, auth_source: str | None) -> Client:
    """A client that has sent nothing yet, but for the DNS query that ``mongodb+srv`` needs."""
    has_srv = address.scheme == SRV_SCHEME
    hosts = ",".join(map(_quote_host, address.host.split(",")))
    arguments = client_arguments(options)
    if auth_source is not None:
        arguments["authSource"] = auth_source
    try:
        client: Client = MongoClient(f"{SRV_SCHEME if has_srv else 'mongodb'}://{hosts}/", address.port, **arguments)
    except (ConfigurationError, InvalidURI, ValueError, TypeError, OSError) as error:
        cause = error.__cause__ or error.__context__
        if has_srv and type(cause).__module__.partition(".")[0] == "dns":
            raise ConnectionFailed(f"mongo: the hosts of {address.host} can't be looked up: {error}") from error
        raise InvalidURL(f"mongo: {address.host}: {error}") from error
    if not client.options.write_concern.acknowledged:
        client.close()
        raise InvalidURL("mongo: w=0 would leave every write unanswered; give w=1 or more, or w=majority")
    return client


def _auth_sources(address: Address, options: Options) -> list[str | None]:
    """The databases to look for the user in, in turn.

    A MongoDB URL means the database that it names; most users are in ``admin``, though.
    """
    given = {name.lower(): name for name in options}
    mechanism = str(options.get(given.get("authmechanism", ""), "SCRAM"))
    if (
        options.get("user") is None
        or address.scheme == SRV_SCHEME
        or "authsource" in given
        or not mechanism.startswith("SCRAM")
    ):
        return [None]
    return list(dict.fromkeys([address.database, "admin"]))


def _ask_for_collection(client: Client, address: Address, options: Options) -> None:
    """Learn whether the server, the credentials and the collection are good."""
    collection = options["collection"]
    label = address.label(collection)
    try:
        with translating(label):
            names = client[address.database].list_collection_names(
                filter={"name": collection}, authorizedCollections=True
            )
    except DivanError:
        raise
    except ValueError as error:  # of the preparation that SCRAM prescribes for passwords
        raise AuthenticationFailed(f"{label}: user or password can't be used: {error}") from error
    if not names and not options["create"]:
        raise DatabaseNotFound(f"{label} does not exist; leave out create=false to have it made")


def _quote_host(host: str) -> str:
    """A host as it stands in a URI: a socket's path percent-encoded, an address of IPv6 in brackets."""
    if host.startswith("/"):
        return quote(host, safe="")
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
