"""Which Divan error stands for which of the client's."""

from __future__ import annotations

from typing import Any

import divan
import pytest
from bson.errors import InvalidBSON, InvalidStringData
from divan_mongo.errors import translate, translate_code
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    CursorNotFound,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AutoReconnect("reset"), divan.ConnectionFailed),
        (NotPrimaryError("not primary"), divan.ConnectionFailed),
        (NetworkTimeout("timed out"), divan.OperationTimeout),
        (WaitQueueTimeoutError("busy"), divan.OperationTimeout),
        (ExecutionTimeout("slow", 50), divan.OperationTimeout),
        (WTimeoutError("slow", 64), divan.OperationTimeout),
        (ServerSelectionTimeoutError("h:1: [Errno 111] Connection refused"), divan.ConnectionFailed),
        (ServerSelectionTimeoutError("h:1: timed out"), divan.OperationTimeout),
        (ServerSelectionTimeoutError("No servers found yet"), divan.OperationTimeout),
        (InvalidOperation("Cannot use MongoClient after close"), divan.StoreClosed),
        (ConfigurationError("no"), divan.InvalidURL),
        (DocumentTooLarge("big"), divan.InvalidDocument),
        (InvalidStringData("surrogate"), divan.InvalidDocument),
        (InvalidBSON("broken"), divan.StoreError),
        (OverflowError("65 bits"), divan.InvalidDocument),
        (ProtocolError("nonsense"), divan.StoreError),
        (CursorNotFound("gone", 43), divan.StoreError),
        (PyMongoError("anything"), divan.StoreError),
        (OperationFailure("no", 13, {"errmsg": "not authorized"}), divan.AuthenticationFailed),
    ],
)
def test_an_error_of_the_client_becomes(error: Exception, expected: type[divan.DivanError]) -> None:
    assert type(translate(error, "mongo h:1/d.c")) is expected


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (18, {}, divan.AuthenticationFailed),
        (13, {}, divan.AuthenticationFailed),
        (50, {}, divan.OperationTimeout),
        (91, {}, divan.ConnectionFailed),
        (10107, {}, divan.StoreReadOnly),
        (14031, {}, divan.StoreFull),
        (10334, {}, divan.InvalidDocument),
        (121, {}, divan.InvalidDocument),
        (171, {}, divan.InvalidDocument),
        (73, {}, divan.InvalidURL),
        (11000, {"keyPattern": {"_id": 1}}, divan.DocumentExists),
        (11000, {}, divan.DocumentExists),
        (11000, {"keyPattern": {"email": 1}}, divan.InvalidDocument),
        (99999, {}, divan.StoreError),
        (None, {}, divan.StoreError),
    ],
)
def test_an_error_code_of_the_server_becomes(
    code: int | None, details: dict[str, Any], expected: type[divan.DivanError]
) -> None:
    assert type(translate_code(code, details, "mongo h:1/d.c", "a")) is expected


def test_a_message_is_one_line_without_the_topology() -> None:
    text = (
        "h:1: [Errno 111] Connection refused (configured timeouts: socketTimeoutMS: 1.0ms, connectTimeoutMS: 1.0ms), "
        "Timeout: 0.4s, Topology Description: <TopologyDescription …\n…>"
    )
    message = str(translate(ServerSelectionTimeoutError(text), "mongo h:1/d.c"))
    assert message == ("mongo h:1/d.c can't be reached: h:1: [Errno 111] Connection refused; is MongoDB running there?")


def test_a_wait_for_a_connection_that_was_in_vain_names_the_option() -> None:
    error = translate(WaitQueueTimeoutError("Timed out while checking out a connection"), "mongo here/a.b")
    assert isinstance(error, divan.OperationTimeout)
    assert "max_connections" in str(error)


@pytest.mark.parametrize(
    "lost",
    [
        AutoReconnect("connection closed"),
        NetworkTimeout("timed out"),
        WriteConcernError("not enough data-bearing nodes", 100),
        WTimeoutError("waiting for replication timed out", 64),
        BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting timed out"}]}),
    ],
)
def test_an_error_of_a_write_that_may_have_happened_says_so(lost: PyMongoError) -> None:
    assert "may or may not have happened" in str(translate(lost, "mongo here/a.b"))
