"""Redacting an archive: each file in it as a stream of its own, without the names of those who packed it."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator

from sgldoctor.report.redact import redact
from sgldoctor.report.stream import redacted
from sgldoctor.typed import IO

PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
"""Beginnings of packed data: the secrets in it would pass unseen."""
_BLOCK = 1 << 18
_IN_MEMORY = 1 << 23


def is_archive(path: str) -> bool:
    """Whether a file is a tar archive, packed or not."""
    try:
        return os.path.isfile(path) and tarfile.is_tarfile(path)
    except (OSError, EOFError, ValueError, zlib.error):  # what begins as if it were packed, and is not
        return False


def rewrite(path: str, out: IO[bytes], also: Callable[[str], str]) -> Iterator[str]:
    """Write the archive to ``out`` as ``.tar.gz`` with redacted files; yields what was left out, and why.

    Only plain files are kept; packed ones inside are left out. ``also``: see :func:`sgldoctor.report.stream.redacted`.

    Raises:
        tarfile.TarError, EOFError, OSError: it cannot be read to its end.
    """
    with (
        tarfile.open(path, "r|*") as source,
        tarfile.open(fileobj=out, mode="w|gz", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if member.isdir():
                continue
            data = source.extractfile(member) if member.isreg() else None
            name = also(redact(member.name))
            if data is None:
                yield f"{name}: no plain file"
                continue
            first = data.read(_BLOCK)
            packing = next((kind for magic, kind in PACKED.items() if first.startswith(magic)), "")
            if packing:
                yield f"{name}: {packing} data"
                continue
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as held:
                for piece in redacted(_from(first, data), also):
                    held.write(piece)
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = held.tell(), member.mtime
                held.seek(0)
                target.addfile(entry, held)


def _from(first: bytes, data: IO[bytes]) -> Callable[[], bytes]:
    waiting = [first]

    def read() -> bytes:
        return waiting.pop() if waiting else data.read(_BLOCK)

    return read
