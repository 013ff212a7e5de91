"""The error tree: what can be caught, printed, pickled and copied, and that nothing in it is for show."""

from __future__ import annotations

import ast
import copy
import importlib.metadata
import importlib.util
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import divan
import pytest
from divan import (
    AuthenticationFailed,
    BulkError,
    ConnectionFailed,
    DivanError,
    Document,
    DocumentExists,
    DocumentNotFound,
    RevisionConflict,
    errors,
)

CLASSES: list[type[DivanError]] = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DivanError)
]

SPECIAL: dict[type[DivanError], tuple[tuple[Any, ...], str, dict[str, Any]]] = {
    DocumentNotFound: (("ada",), "no document has the id 'ada'", {"document_id": "ada"}),
    DocumentExists: (
        ("ada",),
        "a document with the id 'ada' exists already; put overwrites it",
        {"document_id": "ada"},
    ),
    RevisionConflict: (
        ("ada", "7"),
        "document 'ada' has changed since revision '7'; get it again and retry",
        {"document_id": "ada", "rev": "7"},
    ),
    BulkError: (
        ("create_many", [Document({"a": 1}, id="ada", rev="1"), None]),
        "create_many: 0 of 2 items failed",
        {"operation": "create_many", "results": [{"a": 1}, None], "errors": {}},
    ),
}

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def example(cls: type[DivanError]) -> tuple[DivanError, str, dict[str, Any]]:
    """An instance, what it prints, and its attributes."""
    arguments, text, attributes = SPECIAL.get(cls, (("the 'thing' is wrong",), "the 'thing' is wrong", {}))
    return cls(*arguments), text, attributes


@each_class
def test_an_error_prints_its_sentence(cls: type[DivanError]) -> None:
    error, text, _ = example(cls)

    assert str(error) == f"{error}" == text


@each_class
def test_an_error_carries_its_attributes(cls: type[DivanError]) -> None:
    error, _, attributes = example(cls)

    assert {name: getattr(error, name) for name in attributes} == attributes


@each_class
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(cls: type[DivanError], again: Any) -> None:
    error, text, attributes = example(cls)

    other = again(error)

    assert type(other) is cls
    assert str(other) == text
    assert {name: getattr(other, name) for name in attributes} == attributes


@each_class
def test_an_error_says_in_its_docstring_what_it_means(cls: type[DivanError]) -> None:
    assert inspect.getdoc(cls)


@each_class
def test_every_error_is_public(cls: type[DivanError]) -> None:
    assert getattr(divan, cls.__name__) is cls
    assert cls.__name__ in divan.__all__


@pytest.mark.parametrize("name", divan.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert hasattr(divan, name)


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("BackendNotFound", LookupError),
        ("AmbiguousBackend", LookupError),
        ("BackendLoadError", ImportError),
        ("InvalidURL", ValueError),
        ("ConnectionFailed", ConnectionError),
        ("ConnectionFailed", OSError),
        ("AuthenticationFailed", ConnectionFailed),
        ("DatabaseNotFound", ConnectionFailed),
        ("OperationTimeout", TimeoutError),
        ("DocumentNotFound", KeyError),
        ("InvalidDocument", ValueError),
        ("InvalidID", divan.InvalidDocument),
        ("InvalidSchema", ValueError),
        ("InvalidQuery", ValueError),
        ("UnsupportedOperation", NotImplementedError),
        ("StoreReadOnly", divan.StoreError),
        ("StoreFull", divan.StoreError),
    ],
)
def test_an_error_is_also_the_standard_one_that_a_caller_looks_for(name: str, standard: type[Exception]) -> None:
    assert issubclass(getattr(divan, name), standard)


def test_a_timeout_and_an_authentication_failure_are_told_apart() -> None:
    assert not issubclass(divan.OperationTimeout, ConnectionFailed)
    assert not issubclass(ConnectionFailed, AuthenticationFailed)


def test_an_error_with_no_arguments_prints_nothing() -> None:
    assert str(DivanError()) == ""


def test_a_long_id_is_cut_in_the_message_and_whole_in_the_attribute() -> None:
    error = DocumentNotFound("x" * 5000)

    assert len(str(error)) < 200
    assert error.document_id == "x" * 5000


@pytest.mark.parametrize("rev", [7, None, object(), "x" * 5000])
def test_any_revision_that_a_caller_gave_can_be_named(rev: Any) -> None:
    assert "get it again and retry" in str(RevisionConflict("ada", rev))


def test_a_bulk_error_tells_the_failed_items_from_the_others() -> None:
    missing = DocumentNotFound("b")
    error = BulkError("get_many", [1, missing, None, missing])

    assert error.errors == {1: missing, 3: missing}
    assert str(error) == "get_many: 2 of 4 items failed; the first, item 1: no document has the id 'b'"


def test_a_bulk_error_keeps_the_items_errors_through_pickling() -> None:
    error = pickle.loads(
        pickle.dumps(BulkError("get_many", [DocumentNotFound("b"), Document({"a": 1}, id="c", rev="2")]))
    )

    assert error.errors[0].document_id == "b"
    assert (error.results[1], error.results[1].id, error.results[1].rev) == ({"a": 1}, "c", "2")


# Nothing is declared and never raised


def packages() -> set[str]:
    """The import packages of the core and of every installed distribution whose name begins with ``divan-``."""
    names = {(distribution.metadata["Name"] or "").lower() for distribution in importlib.metadata.distributions()}
    return {"divan"} | {name.replace("-", "_") for name in names if name.startswith("divan-") and name != "divan-core"}


def made(path: Path) -> Iterator[str]:
    """The names that a file uses for anything but catching."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    caught = {
        id(name)
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        for name in ast.walk(handler.type)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in caught:
            yield node.id


def test_no_error_is_declared_and_never_raised() -> None:
    installed = packages()
    folders = [
        Path(spec.origin).parent
        for spec in map(importlib.util.find_spec, installed)
        if spec is not None and spec.origin is not None
    ]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    declared = Path(inspect.getfile(divan.DivanError))
    used = {name for path in files if path != declared and "testing" not in path.parts for name in made(path)}
    # The embedded stores ask for no credentials.
    of_drivers = {"AuthenticationFailed"} if installed == {"divan"} else set()

    assert {cls.__name__ for cls in CLASSES} - {"DivanError"} - of_drivers <= used
