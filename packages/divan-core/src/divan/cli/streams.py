"""Internal: bytes in: a file or standard input as text, piece by piece, decompressed if its first bytes say so."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO, Final, cast

from divan.errors import InvalidDocument

_PIECE: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ZSTD_MODULES: Final = ("compression.zstd", "backports.zstd")
"""Where the same functions are: in Python from 3.14 on, and in the package that brings them to older ones."""


def text_of(stream: BinaryIO) -> Iterator[str]:
    """The text of a stream, as it comes; one that begins as gzip or Zstandard data do is decompressed.

    Raises:
        InvalidDocument: at the place where the data is broken, after all text before it; the message names no place.
    """
    stream = _decompressed(stream)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while True:
        piece = _read(stream)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            yield str(error.object[: error.start], "utf-8-sig")
            raise InvalidDocument("this is not UTF-8 text") from error
        if text:
            yield text
        if not piece:
            return


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes have been looked at."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._head or _some(self._rest, len(buffer))
        self._head = b""
        buffer[: len(piece)] = piece
        return len(piece)


def _decompressed(stream: BinaryIO) -> BinaryIO:
    head = stream.read(4)
    whole = io.BufferedReader(_Rejoined(head, stream), _PIECE)
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=whole))
    if head == _ZSTD:
        return cast(BinaryIO, _zstd().ZstdFile(whole))
    if head.startswith(_UTF_16):
        raise InvalidDocument("this is UTF-16 text, and JSON is UTF-8: iconv -f UTF-16 -t UTF-8 converts it")
    return whole


def _zstd() -> Any:
    for name in _ZSTD_MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise InvalidDocument(
        "this is Zstandard data, and what reads it is not installed: pip install 'divan-core[zstd]', or pipe it "
        "through zstd -dc"
    )


def _read(stream: BinaryIO) -> bytes:
    try:
        return _some(stream, _PIECE)
    except OSError as error:  # gzip.BadGzipFile among them
        raise InvalidDocument(error.strerror or str(error)) from error
    except EOFError as error:
        raise InvalidDocument("the compressed data ends too early") from error
    except Exception as error:
        if not isinstance(error, zlib.error) and type(error).__name__ != "ZstdError":
            raise
        raise InvalidDocument(f"the compressed data is broken: {error}") from error


def _some(stream: BinaryIO, size: int) -> bytes:
    """What has come, at most `size` bytes; nothing only at the end."""
    read1 = getattr(stream, "read1", stream.read)
    return cast(bytes, read1(size))
