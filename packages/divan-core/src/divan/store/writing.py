"""Internal: writes that create or overwrite a document, for drivers that can and those that can't in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from divan.backends.base import BaseDivanBackend
from divan.backends.driver import Driver
from divan.backends.support import attempt
from divan.errors import DocumentExists, DocumentNotFound, RevisionConflict, UnsupportedOperation

_ATTEMPTS: Final = 10


class Guard(TypedDict, total=False):
    """What a driver is told of the document that a write is meant for."""

    rev: str
    document: Any


class Puts:
    """Lets a driver create or overwrite documents in one step, or does it in two that nobody can come between.

    Every call is given the driver, since that of a Store which was closed is another one.

    Args:
        backend: The driver's class.
        takes: Which of the contract's optional arguments it takes: method → names.
    """

    def __init__(self, backend: type[BaseDivanBackend], takes: Mapping[str, frozenset[str]]) -> None:
        self._name = backend.__name__
        self._makes_ids = "document_id" in takes["create"]
        self._upserts = "upsert" in takes["replace"]
        self._puts_many = backend.implements("put_many")
        # To create all of a batch first only pays where that is one call; where none can be overwritten, it would leave
        # a part of the batch behind.
        pays = backend.implements("create_many") or not self._upserts
        self._creates_first = self._makes_ids and pays and backend.implements("replace")

    def put(self, driver: Driver, id: str, fields: dict[str, Any], guard: Guard) -> Any:
        """Create a document, or overwrite it; what the driver returns.

        Args:
            driver: The driver.
            id: The document's id.
            fields: All that it will hold, in stored form.
            guard: What the driver is told of it; with a revision, it must be there.

        Raises:
            RevisionConflict: if it no longer has the revision.
            UnsupportedOperation: if the driver can't store a document under a given id.
        """
        if "rev" in guard:
            try:
                return driver.replace(id, fields, **guard)
            except DocumentNotFound as error:  # to be deleted is to be changed
                raise RevisionConflict(id, guard["rev"]) from error
        if self._upserts:
            return driver.replace(id, fields, upsert=True, **guard)
        if not self._makes_ids:
            raise UnsupportedOperation(f"{self._name} does not implement create(document_id=…)")
        for _ in range(_ATTEMPTS):
            try:
                return driver.replace(id, fields, **guard)
            except DocumentNotFound:
                try:
                    return driver.create(fields, document_id=id)
                except DocumentExists:
                    continue  # somebody created it meanwhile
        raise RevisionConflict(id)

    def put_many(self, driver: Driver, items: Sequence[tuple[str, dict[str, Any]]]) -> Sequence[Any]:
        """Create or overwrite a batch of documents; one result an item, in order.

        Args:
            driver: The driver.
            items: Id and fields, in stored form, of each; an id may come several times.
        """
        if self._puts_many:
            return driver.put_many(items)
        if not self._creates_first:
            return [attempt(self.put, driver, id, fields, Guard()) for id, fields in items]
        answers = driver.create_many(items)
        if len(answers) != len(items):
            return answers  # for the Store to refuse
        return [
            attempt(self.put, driver, id, fields, Guard()) if isinstance(answer, DocumentExists) else answer
            for (id, fields), answer in zip(items, answers, strict=True)
        ]
