"""Internal: the serializers of a schema's fields, wherever in a document these are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from divan.errors import InvalidDocument, InvalidSchema
from divan.serializers import ANY_NAME, FieldSerializer
from divan.validation import MAX_DEPTH

_Convert = Callable[[FieldSerializer, str, Any], Any]


class _Node:
    """An object on the way to fields that have serializers.

    Attributes:
        names: Field name → what is there.
        every: What is at every other name; `None` for nothing.
    """

    __slots__ = ("every", "names")

    def __init__(self) -> None:
        self.names: dict[str, _Node | FieldSerializer] = {}
        self.every: _Node | FieldSerializer | None = None

    def get(self, name: str) -> _Node | FieldSerializer | None:
        """What is at a field of this name."""
        return self.names.get(name, self.every)

    def put(self, name: str, at: _Node | FieldSerializer) -> None:
        """Say what is at a field of this name, or at every other one."""
        if name == ANY_NAME:
            self.every = at
        else:
            self.names[name] = at


class Fields:
    """The serializers of a schema's fields, by path. Lists on the way are entered, and what is no object is left alone.

    Args:
        serializers: Dotted path → the serializer of the field there. A name of ``*`` stands for every name.
        links: Dotted path → the path of the object whose fields the one there has too; ``""`` is the document's.

    Raises:
        InvalidSchema: if the path of one leads through another.
    """

    def __init__(self, serializers: Mapping[str, FieldSerializer], links: Mapping[str, str] | None = None) -> None:
        self._serializers = serializers
        names = _tree(serializers, links or {}).names
        self._top = {name: at for name, at in names.items() if isinstance(at, FieldSerializer)}
        self._deep = {name: at for name, at in names.items() if not isinstance(at, FieldSerializer)}

    def __bool__(self) -> bool:
        return bool(self._serializers)

    def encode(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A document's fields, or some of them, in stored form. What is given is not changed.

        Args:
            data: Field name → value.

        Raises:
            InvalidDocument: if a value can't be stored.
        """
        encoded = dict(data)
        for field, serializer in self._top.items():
            if encoded.get(field) is not None:
                encoded[field] = serializer.encode(field, encoded[field])
        for field, node in self._deep.items():
            if encoded.get(field) is not None:
                encoded[field] = _walk(FieldSerializer.encode, field, encoded[field], node)
        return encoded

    def decode(self, document: dict[str, Any]) -> None:
        """Put values in place of their stored forms.

        Args:
            document: What was read. Objects and lists in it are replaced, not changed.

        Raises:
            InvalidDocument: if a stored form can't be read.
        """
        for field, serializer in self._top.items():
            value = document.get(field)
            if value is not None:
                document[field] = serializer.decode(field, value)
        for field, node in self._deep.items():
            value = document.get(field)
            if value is not None:
                document[field] = _walk(FieldSerializer.decode, field, value, node)

    def encode_at(self, path: str, value: Any) -> Any:
        """A value of the field at a path in stored form.

        Args:
            path: The dotted path.
            value: The value, or a list of values.

        Raises:
            InvalidDocument: if it can't be stored.
        """
        at = self._at(path)
        return value if at is None else _convert(FieldSerializer.encode, path, value, at)

    def at(self, path: str) -> FieldSerializer | None:
        """The serializer of the field at a path; `None` where values are stored as they are.

        Args:
            path: The dotted path.
        """
        at = self._at(path)
        return at if isinstance(at, FieldSerializer) else None

    def _at(self, path: str) -> _Node | FieldSerializer | None:
        if path in self._top:
            return self._top[path]
        if not self._deep:
            return None
        first, *names = path.split(".")
        at: _Node | FieldSerializer | None = self._deep.get(first)
        for name in names:
            if not isinstance(at, _Node):
                return None
            at = at.get(name)
        return at


def _tree(serializers: Mapping[str, FieldSerializer], links: Mapping[str, str]) -> _Node:
    """The serializers by their paths' names."""
    root = _Node()
    for path, serializer in serializers.items():
        *way, last = path.split(".")
        node = root
        for depth, name in enumerate(way):
            node = _step(node, name) or _refuse_way_through(".".join(way[: depth + 1]), path)
        if isinstance(node.get(last) if last != ANY_NAME else node.every, _Node):
            _refuse_way_through(path, next(other for other in serializers if other.startswith(f"{path}.")))
        node.put(last, serializer)
    for path, target in links.items():
        there = _node_at(root, target)
        if there is not None:
            *way, last = path.split(".")
            parent: _Node | None = root
            for name in way:
                parent = parent and _step(parent, name)
            if parent is not None:
                parent.put(last, there)
    return root


def _step(node: _Node, name: str) -> _Node | None:
    """The object at a field, made if it is not there yet; `None` if the field has a serializer."""
    below = node.every if name == ANY_NAME else node.names.get(name)
    if below is None:
        below = _Node()
        node.put(name, below)
    return below if isinstance(below, _Node) else None


def _node_at(root: _Node, path: str) -> _Node | None:
    """The object at a path, if there is a serializer below it."""
    at: _Node | FieldSerializer | None = root
    for name in path.split(".") if path else ():
        at = (at.every if name == ANY_NAME else at.names.get(name)) if isinstance(at, _Node) else None
    return at if isinstance(at, _Node) and (at.names or at.every is not None) else None


def _refuse_way_through(outer: str, inner: str) -> NoReturn:
    raise InvalidSchema(
        f"{outer} has a field type, and {inner} leads through it: a value is one thing or the other, so leave one out"
    )


def _walk(convert: _Convert, path: str, value: Any, node: _Node, depth: int = 2) -> Any:
    """A copy of what is at a path, with all values below it that have serializers converted."""
    if isinstance(value, Mapping | list) and depth > MAX_DEPTH:
        raise InvalidDocument(f"{path}: nested deeper than {MAX_DEPTH} levels, or an object that holds itself")
    if isinstance(value, Mapping):
        copy = dict(value)
        every = node.every
        for name in copy if every is not None else node.names:
            at = node.names.get(name, every)
            if at is not None and copy.get(name) is not None:
                copy[name] = _convert(convert, f"{path}.{name}", copy[name], at, depth + 1)
        return copy
    if isinstance(value, list):
        return [_walk(convert, f"{path}[{index}]", item, node, depth + 1) for index, item in enumerate(value)]
    return value


def _convert(convert: _Convert, path: str, value: Any, at: _Node | FieldSerializer, depth: int = 2) -> Any:
    if isinstance(at, FieldSerializer):
        return convert(at, path, value)
    return _walk(convert, path, value, at, depth)
