"""What a portable document, id and field name are: checked here, before a byte is sent.

The rules are the strictest that any supported store has, so that a document which one of them takes, all take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from divan.documents import Increment, Remove
from divan.errors import InvalidDocument, InvalidID, shown

MAX_DEPTH: Final = 100
"""Objects and lists may be nested this deep, the document itself included (MongoDB's limit)."""

MAX_ID_BYTES: Final = 2048
"""An id may be this long in UTF-8, so that it fits, percent-encoded, into the URL of any HTTP server."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_FIELD_TYPES: Final = {
    "datetime.date": "DateField",
    "datetime.datetime": "DateTimeField",
    "datetime.time": "TimeField",
    "datetime.timedelta": "DurationField",
    "decimal.Decimal": "DecimalField",
    "uuid.UUID": "UUIDField",
    "builtins.bytes": "BinaryField",
}

# Names that have passed `_check_name` at the top level: most documents of one program share their field names.
_known_names: set[str] = set()
_KNOWN_NAMES_LIMIT: Final = 4096
_KNOWN_NAME_LENGTH: Final = 64

# Where a value stands: text, or its container's path and its own name or index; put into words only for an error.
_Path = str | tuple["_Path", str | int]


def check_id(document_id: object) -> str:
    """Return `document_id` if every store can use it, else raise `InvalidID` saying why not.

    An id is a non-empty string of at most `MAX_ID_BYTES` bytes in UTF-8, without NUL, not beginning with ``_``
    (CouchDB keeps those), and neither ``.`` nor ``..`` (an HTTP path would lose them).
    """
    if not isinstance(document_id, str):
        raise InvalidID(f"an id is a string, not {_article(document_id)}")
    if not document_id:
        raise InvalidID("the id is empty; leave it out to have one made")
    if len(document_id) > MAX_ID_BYTES:
        raise InvalidID(f"the id has {len(document_id)} characters; at most {MAX_ID_BYTES} bytes of UTF-8 fit")
    if document_id[0] == "_":
        raise InvalidID(f"the id {document_id[:80]!r} begins with '_', which CouchDB reserves")
    if not document_id.isascii():
        try:
            size = len(document_id.encode())
        except UnicodeEncodeError:
            raise InvalidID(f"the id {document_id[:80]!r} holds a lone surrogate, which is not Unicode") from None
        if size > MAX_ID_BYTES:
            raise InvalidID(f"the id takes {size} bytes of UTF-8; at most {MAX_ID_BYTES} fit")
    if "\0" in document_id:
        raise InvalidID(f"the id {document_id[:80]!r} holds a NUL character")
    if document_id in (".", ".."):
        raise InvalidID(f"the id {document_id!r} would be lost in a URL's path")
    return str.__str__(document_id)  # str() of an enum's member would be its name


def validate_document(data: object, native: tuple[type, ...] = ()) -> dict[str, Any]:
    """Return a deep copy of `data` made of plain dicts, lists and JSON scalars.

    Args:
        data: A mapping of field names to values. It is not changed.
        native: Types of a store's own whose values pass as they are (`BaseDivanBackend.native_types`).

    Raises:
        InvalidDocument: naming the path of the first value that not every store can hold.
    """
    if data.__class__ is dict or isinstance(data, dict):
        plain: dict[str, Any] = dict(data)
    elif isinstance(data, Mapping):
        plain = dict(data)
    else:
        raise InvalidDocument(f"a document is a mapping of field names to values, not {_article(data)}")
    if not _known_names.issuperset(plain):
        for name in plain:
            if name not in _known_names:
                _check_name(name, "", top=True)
                _remember(_plain_name(name))
    for name, value in plain.items():
        if name.__class__ is not str:
            return validate_document({_plain_name(key): item for key, item in plain.items()}, native)
        kind = value.__class__
        if kind is str:
            if not value.isascii():
                _check_unicode(value, name)
        elif kind is int:
            if not INT_MIN <= value <= INT_MAX:
                _refuse_int(value, name)
        elif kind is float:
            if value - value != 0.0:
                raise InvalidDocument(f"{name}: {_float_name(value)} is not storable")
        elif kind is not bool and value is not None:
            try:
                plain[name] = _quick(value, 2)
                continue
            except (_InDoubtError, UnicodeEncodeError):
                pass  # and no longer handled, so that an error from here on does not show it as its context
            plain[name] = _plain(value, name, 2, native)
    return plain


def validate_value(value: object, path: str, native: tuple[type, ...] = ()) -> Any:
    """Return a deep, plain copy of one value, as `validate_document` does for each field.

    Args:
        value: Any object.
        path: How the value is called in an error, such as ``"guests[2].age"``.
        native: As in `validate_document`.

    Raises:
        InvalidDocument: naming the path of the first value that not every store can hold.
    """
    return _plain(value, path, 2, native)


def check_path(path: object) -> tuple[str, ...]:
    """Split a dotted path into its field names.

    Raises:
        InvalidDocument: if the path or one of its names can't be a field's.
    """
    if not isinstance(path, str):
        raise InvalidDocument(f"a field name is a string, not {_article(path)}")
    names = tuple(path.split("."))
    if len(names) > MAX_DEPTH:
        raise InvalidDocument(f"a path of {len(names)} names leads deeper than {MAX_DEPTH} levels")
    for position, name in enumerate(names):
        _check_name(name, path if position else "", top=position == 0)
    return names


def field_type_of(cls: Any) -> str | None:
    """The field type that keeps a class's values; `None` for a class that has none of the core's.

    Args:
        cls: A class; anything else has none.
    """
    for base in getattr(cls, "__mro__", ()):
        field_type = _FIELD_TYPES.get(f"{base.__module__}.{base.__qualname__}")
        if field_type is not None:
            return field_type
    return None


class _InDoubtError(Exception):
    """`_quick` has met what only `_plain` can judge."""


def _quick(value: Any, depth: int) -> Any:
    """What `_plain` returns for a container of the plainest kinds, in half the time: no path is kept, none is needed.

    Raises:
        _InDoubtError, UnicodeEncodeError: at anything else, wrong or not.
    """
    kind = value.__class__
    entries: Any
    if depth > MAX_DEPTH:
        raise _InDoubtError
    if kind is list:
        entries = enumerate(value)
    elif kind is dict:
        if not _known_names.issuperset(value):
            raise _InDoubtError
        for name in value:
            if name.__class__ is not str:
                raise _InDoubtError
        entries = value.items()
    else:
        raise _InDoubtError
    copy = value.copy()
    for key, item in entries:
        kind = item.__class__
        if kind is str:
            if not item.isascii():
                item.encode()
        elif kind is int:
            if not INT_MIN <= item <= INT_MAX:
                raise _InDoubtError
        elif kind is float:
            if item - item != 0.0:
                raise _InDoubtError
        elif kind is not bool and item is not None:
            copy[key] = _quick(item, depth + 1)
    return copy


def _plain(value: Any, path: _Path, depth: int, native: tuple[type, ...]) -> Any:
    """A plain copy of `value`, found at `path`; a container here would be `depth` levels deep."""
    kind = value.__class__
    if kind is str:
        if not value.isascii():
            _check_unicode(value, path)
        return value
    if value is None or kind is bool:
        return value
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            _refuse_int(value, path)
        return value
    if kind is float:
        if value - value != 0.0:
            raise InvalidDocument(f"{_text(path)}: {_float_name(value)} is not storable")
        return value
    if isinstance(value, native):
        return value
    if isinstance(value, list):
        if depth > MAX_DEPTH:
            _refuse_depth(value, path)
        return [_plain(item, (path, index), depth + 1, native) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        if depth > MAX_DEPTH:
            _refuse_depth(value, path)
        copy: dict[str, Any] = {}
        for name, item in value.items():
            if name.__class__ is not str or name not in _known_names:
                _check_name(name, path)
                name = _plain_name(name)
                if name[0] != "_":
                    _remember(name)
            copy[name] = _plain(item, (path, name), depth + 1, native)
        return copy
    # Subclasses such as StrEnum, IntEnum and numpy's float64 are stored as the plain value that they are.
    if isinstance(value, str):
        return _plain(str.__str__(value), path, depth, native)
    if isinstance(value, int):
        return _plain(int.__index__(value), path, depth, native)
    if isinstance(value, float):
        return _plain(float.__float__(value), path, depth, native)
    return _refuse_type(value, path)


def _text(path: _Path) -> str:
    """A path in words: ``guests[2].age``."""
    steps = []
    while not isinstance(path, str):
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return path + "".join(reversed(steps))


def _field_of(path: _Path) -> str:
    """The field whose value, or an item of whose list, is at a path: ``guests.age``."""
    steps = []
    while not isinstance(path, str):
        path, step = path
        if isinstance(step, str):
            steps.append(f".{step}")
    return path + "".join(reversed(steps))


def _plain_name(name: str) -> str:
    return name if name.__class__ is str else str.__str__(name)


def _remember(name: str) -> None:
    """Keep a name that has passed the check for the top level, unless there are too many or it is too long."""
    if len(_known_names) < _KNOWN_NAMES_LIMIT and len(name) <= _KNOWN_NAME_LENGTH:
        _known_names.add(name)


def check_name(name: str, *, top: bool) -> None:
    """Refuse a field's name that not every store takes.

    Args:
        name: The name.
        top: Whether the field is one of the document's own, and of no object in it.

    Raises:
        InvalidDocument: saying why not.
    """
    _check_name(name, "", top=top)


def _check_name(name: object, path: _Path, *, top: bool = False) -> None:
    """Raise `InvalidDocument` unless `name`, of a field in the object at `path`, suits every store."""
    if not isinstance(name, str):
        _refuse_name(name, path, f"is {_article(name)}; field names are strings")
    if not name:
        where = f"{_text(path)}: " if path else ""
        raise InvalidDocument(f"{where}a field name is empty, which no dotted path can address")
    if name[0] == "$":
        _refuse_name(name, path, "begins with '$', which queries keep for operators")
    if "." in name:
        _refuse_name(name, path, "holds a '.', which queries keep for paths")
    if top and name[0] == "_":
        _refuse_name(name, path, "begins with '_', which stores keep for metadata")
    if "\0" in name:
        _refuse_name(name, path, "holds a NUL character")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            _refuse_name(name, path, "holds a lone surrogate, which is not Unicode")


def _refuse_name(name: object, path: _Path, reason: str) -> NoReturn:
    where = f"{_text(path)}: " if path else ""
    raise InvalidDocument(f"{where}the field name {shown(name)} {reason}")


def _check_unicode(text: str, path: _Path) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocument(
            f"{_text(path)}: the character {error.start} of the string is a lone surrogate, which is not Unicode"
        ) from None


def _float_name(value: float) -> str:
    return "NaN" if value != value else "infinity" if value > 0 else "-infinity"


def _refuse_int(value: int, path: _Path) -> NoReturn:
    bits = (value if value >= 0 else ~value).bit_length() + 1  # one for the sign
    raise InvalidDocument(f"{_text(path)}: an integer of {bits} bits does not fit into 64; store it as a string")


def _refuse_depth(value: Any, where: _Path) -> NoReturn:
    """Say whether the document is cyclic, or merely nested too deep."""
    path = _text(where)
    short = path if len(path) <= 120 else f"{path[:60]}…{path[-40:]}"
    if _is_cyclic(value):
        raise InvalidDocument(f"{short}: the document contains itself")
    raise InvalidDocument(f"{short}: nested deeper than {MAX_DEPTH} levels")


def _is_cyclic(value: Any) -> bool:
    """Whether a container below `value` contains itself; walked without recursion, each container once."""
    ancestors: set[int] = set()
    done: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, leaving = stack.pop()
        if leaving:
            ancestors.discard(id(item))
            done.add(id(item))
            continue
        if not isinstance(item, list | Mapping) or id(item) in done:
            continue
        if id(item) in ancestors:
            return True
        ancestors.add(id(item))
        stack.append((item, True))
        stack.extend((child, False) for child in (item if isinstance(item, list) else item.values()))
    return False


def _refuse_type(value: object, where: _Path) -> NoReturn:
    path = _text(where)
    if isinstance(value, Remove | Increment):
        raise InvalidDocument(f"{path}: {value!r} only means something as a top-level field's value in update()")
    name = type(value).__name__
    field_type = field_type_of(type(value))
    if field_type:
        raise InvalidDocument(
            f"{path}: {_article(value)} is not storable as it is; declare its field type, "
            f"schema={{{_field_of(where)!r}: {field_type!r}}}"
        )
    if isinstance(value, tuple | set | frozenset):
        raise InvalidDocument(f"{path}: a {name} would come back as a list; store a list")
    raise InvalidDocument(f"{path}: {_article(value)} is not storable; declare a field type that serializes it")


def _article(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"
