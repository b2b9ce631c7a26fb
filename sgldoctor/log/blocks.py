"""Bytes in blocks: files, standard input, compressed files, UTF-16; any size in constant memory.

Logs are read as bytes and never loaded whole. What comes out is a stream of blocks in UTF-8 (or whatever the file
holds, if it is not valid UTF-8: bad bytes are kept and shown escaped later).
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Iterator

from sgldoctor.errors import InputError, unreadable
from sgldoctor.typed import BinaryIO

BLOCK = 256 << 10
"""Bytes per read: large enough that Python's cost per block vanishes, small enough to stay in the CPU's cache."""
SHARED = 32 << 20
"""Bytes of a file above which two processes read it faster than one."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def blocks(path: str, *, stdin: BinaryIO | None = None, size: int = BLOCK) -> Iterator[bytes]:
    """Yield the content of ``path`` (``-``: standard input) in blocks of at most ``size`` bytes (more after unpacking).

    gzip and zstd are known by their first bytes, whatever the file is called; UTF-16 by its byte order mark.

    Raises:
        InputError: the path does not exist, is a folder, or cannot be read; the packed data are damaged; or zstd is
            met and no module can unpack it.
    """
    if path == "-":
        source = stdin if stdin is not None else sys.stdin.buffer
        yield from _decode(unpacked(_read(source, size, "standard input"), "standard input", size))
        return
    try:
        stream = open(path, "rb", buffering=0)  # noqa: SIM115 (closed below; the error is ours to word)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with stream:
        yield from _decode(unpacked(_read(stream, size, path), path, size))


class Plain:
    """A regular file that holds its text as it is, so that any part of it can be read at any time."""

    def __init__(self, path: str, descriptor: int, size: int, skip: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = size  # when it was opened, without the byte order mark
        self.skip = skip  # bytes of that mark

    def read(self, begin: int, size: int) -> bytes:
        """Up to ``size`` bytes of text from ``begin`` on; raises InputError."""
        try:
            return os.pread(self.descriptor, size, self.skip + begin)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error

    def rest(self, begin: int = 0) -> Iterator[bytes]:
        """What stands from ``begin`` on, in blocks; also what is added meanwhile."""
        while block := self.read(begin, BLOCK):
            begin += len(block)
            yield block

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def plain(path: str, least: int = SHARED) -> Plain | None:
    """The file ``path`` if it is regular, plain text of more than ``least`` bytes, and can be read; else None."""
    try:
        if path == "-" or not hasattr(os, "pread") or not stat.S_ISREG(os.stat(path).st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY)
    except (OSError, ValueError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        first = os.pread(descriptor, 4, 0) if size > least else b""
    except OSError:
        first = b""
    if not first or first.startswith((_GZIP, _ZSTD, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        os.close(descriptor)
        return None
    skip = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
    return Plain(path, descriptor, size - skip, skip)


def _read(stream: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    try:
        while block := stream.read(size):
            yield block
    except OSError as error:
        raise unreadable(name, error) from error


def unpacked(raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    """Unpack gzip or zstd, known by the first bytes; pass everything else through.

    Blocks have at most ``size`` bytes (more after zstd); ``name`` is for messages. Raises InputError as :func:`blocks`.
    """
    first = next(raw, b"")
    while first and len(first) < len(_ZSTD):
        more = next(raw, b"")
        if not more:
            break
        first += more
    if first.startswith(_GZIP):
        yield from _gunzip(first, raw, name, size)
    elif first.startswith(_ZSTD):
        yield from _unzstd(first, raw, name)
    else:
        if first:
            yield first
        yield from raw


def _gunzip(first: bytes, raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    import zlib

    engine = zlib.decompressobj(wbits=31)
    data = first
    try:
        while data:
            out = engine.decompress(data, size)
            if out:
                yield out
            if engine.eof:  # several members may follow each other, as logrotate and cat make them
                data = engine.unused_data
                while len(data) < 2 and (more := next(raw, b"")):
                    data += more
                if not data.startswith(_GZIP):
                    return  # what follows the last member is padding
                engine = zlib.decompressobj(wbits=31)
                continue
            data = engine.unconsumed_tail or next(raw, b"")
    except zlib.error as error:
        raise InputError(f"{name} is damaged gzip data: {error}") from error


def _unzstd(first: bytes, raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise InputError(f"{name} is packed with zstd; unpack it first: zstd -dc {name} | sgldoctor ...") from None
    engine = zstandard.ZstdDecompressor().decompressobj()
    try:
        out = engine.decompress(first)
        if out:
            yield out
        for block in raw:
            out = engine.decompress(block)
            if out:
                yield out
    except zstandard.ZstdError as error:
        raise InputError(f"{name} is damaged zstd data: {error}") from error


def _decode(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Turn UTF-16 (PowerShell's ``>``) into UTF-8 and drop a UTF-8 byte order mark; other bytes pass unchanged."""
    first = next(raw, b"")
    while first and len(first) < 3:
        more = next(raw, b"")
        if not more:
            break
        first += more
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        yield decoder.decode(first).encode("utf-8", "backslashreplace")
        for block in raw:
            yield decoder.decode(block).encode("utf-8", "backslashreplace")
        return
    if first.startswith(codecs.BOM_UTF8):
        first = first[3:]
    if first:
        yield first
    yield from raw
