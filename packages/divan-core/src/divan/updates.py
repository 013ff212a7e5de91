"""What an update means: its changes taken apart, and the reference for what becomes of a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypedDict

from divan.documents import REMOVE, Append, Discard, Increment
from divan.errors import InvalidDocument
from divan.query import same
from divan.validation import INT_MAX, INT_MIN, check_path

_MISSING: Final[Any] = object()


class Step(NamedTuple):
    """A change at a path into a document, or to the list there.

    Attributes:
        path: The names that lead there.
        op: What is done to the value there.
        value: What is set or added; of ``"append"`` and ``"discard"``, a list of items.
    """

    path: tuple[str, ...]
    op: Literal["set", "remove", "increment", "append", "discard"]
    value: Any = None


class Operators(TypedDict, total=False):
    """What an update does beside setting fields; see `Change`."""

    remove: Sequence[str]
    increment: Mapping[str, int | float]
    nested: Sequence[Step]


class Change(NamedTuple):
    """One item of `BaseDivanBackend.update_many`: the arguments of one `update`.

    Attributes:
        document_id: The document's id.
        data: Fields to set.
        remove: Fields to remove.
        increment: Numbers to add, by field.
        nested: Changes at paths and to lists; only for a driver whose `update` takes ``nested``.
    """

    document_id: str
    data: dict[str, Any]
    remove: tuple[str, ...] = ()
    increment: Mapping[str, int | float] = {}
    nested: tuple[Step, ...] = ()

    @property
    def operators(self) -> Operators:
        """What the change does beside setting fields, as `update` takes it: nothing that it does not do."""
        operators: Operators = {}
        if self.remove:
            operators["remove"] = self.remove
        if self.increment:
            operators["increment"] = self.increment
        if self.nested:
            operators["nested"] = self.nested
        return operators

    @property
    def written(self) -> dict[str, Any]:
        """The fields that are set, or changed within."""
        return {**self.data, **{step.path[0]: None for step in self.nested if step.op != "remove"}}


def apply_changes(
    document: Mapping[str, Any],
    data: Mapping[str, Any],
    remove: Iterable[str] = (),
    increment: Mapping[str, int | float] = {},
    nested: Iterable[Step] = (),
) -> dict[str, Any]:
    """The fields of a document after an update: the reference for what `update` means.

    Args:
        document: The stored fields. Not changed.
        data: Fields to set.
        remove: Fields to remove; absent ones are no error.
        increment: Numbers to add; a missing field counts as 0.
        nested: Changes at paths, none of which leads through another; missing objects on the way are made.

    Raises:
        InvalidDocument: if a field to increment holds no number, the sum can't be stored, a list is none, or what is on
            the way is no object.
    """
    merged = {**document, **data}
    for name in remove:
        merged.pop(name, None)
    for name, by in increment.items():
        merged[name] = add(name, merged.get(name, 0), by)
    for step in nested:
        _take(step, merged)
    return merged


def _take(step: Step, fields: dict[str, Any]) -> None:
    """Make one change; what `fields` holds is replaced, not changed."""
    path, op, value = step
    target = fields
    for depth, name in enumerate(path[:-1], 1):
        below = target.get(name, _MISSING)
        if below is _MISSING:
            if op in ("remove", "discard"):
                return
            below = {}
        elif not isinstance(below, Mapping):
            raise InvalidDocument(
                f"{'.'.join(path)}: {'.'.join(path[:depth])} holds {_kind(below)}, and a path leads through objects"
            )
        target[name] = target = dict(below)
    name = path[-1]
    if op == "set":
        target[name] = value
    elif op == "remove":
        target.pop(name, None)
    elif op == "increment":
        target[name] = add(".".join(path), target.get(name, 0), value)
    elif name in target or op == "append":
        held = target.get(name, [])
        if not isinstance(held, list):
            verb = "Append adds to" if op == "append" else "Discard takes from"
            raise InvalidDocument(f"{'.'.join(path)}: {verb} a list, and the field holds {_kind(held)}")
        if op == "append":
            target[name] = [*held, *value]
        else:
            target[name] = [item for item in held if not any(same(item, one) for one in value)]


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def add(name: str, value: Any, by: int | float) -> int | float:
    """The sum that `divan.Increment` stores.

    Raises:
        InvalidDocument: if `value` is no number, or the sum can't be stored.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDocument(f"{name}: Increment adds to a number, and the field holds {type(value).__name__}")
    total = value + by
    if isinstance(total, int):
        if not INT_MIN <= total <= INT_MAX:
            raise InvalidDocument(f"{name}: the sum does not fit into 64 bits")
    elif total - total != 0.0:
        raise InvalidDocument(f"{name}: the sum is not a finite number")
    return total


def split_changes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
    """Divide an update's changes into fields to set, to remove and to increment."""
    data: dict[str, Any] = {}
    remove: list[str] = []
    increment: dict[str, Any] = {}
    for name, value in changes.items():
        if value is REMOVE:
            remove.append(name)
        elif isinstance(value, Increment):
            increment[name] = value.by
        else:
            data[name] = value
    return data, tuple(remove), increment


def split_nested(changes: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[tuple[str, ...], Any]]:
    """Divide an update's changes into those of whole top-level fields, and those at paths and to lists, by path.

    Raises:
        InvalidDocument: if a path can be none, or leads through another one.
    """
    names = [
        name
        for name, value in changes.items()
        if (isinstance(name, str) and "." in name) or isinstance(value, Append | Discard)
    ]
    if not names:
        return changes, {}
    paths = {check_path(name): name for name in changes}
    for path, name in paths.items():
        through = next((paths[path[:length]] for length in range(1, len(path)) if path[:length] in paths), None)
        if through is not None:
            raise InvalidDocument(f"{name}: the same update changes {through}, which leads there; change one of them")
    nested = {path: changes[name] for path, name in paths.items() if name in names}
    return {name: value for name, value in changes.items() if name not in names}, nested
