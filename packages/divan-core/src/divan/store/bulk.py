"""Internal: bulk calls: any number of items, sent in batches, with one result each; a failed item loses no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from divan.errors import BulkError, DivanError, InvalidDocument, StoreClosed, StoreError, shown

_T = TypeVar("_T")


def run_bulk(
    call: str,
    items: Iterable[Any],
    size: int,
    prepare: Callable[[Any], Any],
    send: Callable[[list[Any]], Sequence[Any]],
    settle: Callable[[list[Any], Sequence[Any]], Sequence[Any]],
) -> list[Any]:
    """Carry out one bulk call.

    Args:
        call: The call's name, for the error.
        items: What the caller gave.
        size: How many items make a batch.
        prepare: Turns an item into what is sent for it; the `DivanError` that it raises is the item's result.
        send: Sends a batch; one answer for each, in order.
        settle: Turns what was sent and the answers into the items' results, a `DivanError` for each that failed.

    Returns:
        One result per item, in order.

    Raises:
        BulkError: if an item failed, or the store did not answer for a batch: no further one is sent then.
        StoreError: if the backend did not give one answer per item.
    """
    results: list[Any] = []
    failed = False
    for batch in batches(items, size):
        prepared: list[Any] = []
        refused = False
        for item in batch:
            try:
                prepared.append(prepare(item))
            except DivanError as error:
                prepared.append(error)
                refused = True
        sent = [one for one in prepared if not isinstance(one, DivanError)] if refused else prepared
        try:
            answers = send(sent) if sent else ()
        except StoreClosed:
            raise
        except DivanError as error:
            results.extend(one if isinstance(one, DivanError) else error for one in prepared)
            raise BulkError(call, results) from error
        check_answers(call, sent, answers)
        settled = settle(sent, answers)
        if refused:
            done = iter(settled)
            settled = [one if isinstance(one, DivanError) else next(done) for one in prepared]
        failed = failed or refused or any(isinstance(result, DivanError) for result in settled)
        results.extend(settled)
    if failed:
        raise BulkError(call, results)
    return results


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items, so many at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def check_answers(call: str, sent: Sequence[Any], answers: Sequence[Any]) -> None:
    """Hold a backend to one answer per item: with more or fewer, nobody knows which is whose.

    Raises:
        StoreError: naming the call, if it is not so.
    """
    if len(answers) != len(sent):
        raise StoreError(f"the backend's {call}() gave {len(answers)} results for {len(sent)} items; tell its author")


def check_ids(call: str, ids: Iterable[Any]) -> Iterable[Any]:
    """What was given where ids are wanted: no mapping or string, whose parts would be taken for ids.

    Raises:
        TypeError: naming the call, if it is a mapping or a string.
    """
    if isinstance(ids, str):
        raise TypeError(f"{call}() takes ids, not one id: write [{shown(ids)}]")
    if isinstance(ids, Mapping):
        raise TypeError(f"{call}() takes ids, not a mapping; to ask by a filter is find()'s business")
    return ids


def pair(item: Any, what: str) -> tuple[Any, Any]:
    """An item that is an id and something beside it.

    Raises:
        InvalidDocument: if it is no pair.
    """
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
        raise InvalidDocument(f"an item is a pair of an id and its {what}, not {shown(item)}")
    return item[0], item[1]
