"""Snapshots of many nodes, one after the other, wherever they lie: files, folders, tar archives, lines of JSON.

Nothing that comes in is trusted: a snapshot that is too large, nested too deeply or damaged is refused with the reason,
and the others are read all the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence

from sgldoctor.errors import InputError, unreadable
from sgldoctor.report.text import clean, shorten
from sgldoctor.typed import Any, BinaryIO, NamedTuple

LARGEST = 16 << 20
"""Bytes of one snapshot; one of a thousand packages has half a megabyte."""
MANY = 400_000
"""Objects, lists and texts in one snapshot: what fewer bytes can blow up to in memory is bounded by their number."""
LONG_HEADER = 1 << 20
"""Bytes of an archive's own records."""
_TAR = b"ustar"
_GZIP, _BZIP, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"


class Item(NamedTuple):
    """One thing that should be a snapshot: what was read, or why it is refused; or lines that are none.

    Attributes:
        name: file, member or line, for messages.
        data: the parsed object, None where it is refused.
        because: why it is refused.
        file: the file it came from, ``""`` for standard input.
        passed: number of lines that were passed over, 0 for a snapshot; ``because`` says why.
    """

    name: str
    data: dict[str, Any] | None
    because: str = ""
    file: str = ""
    passed: int = 0


def items(paths: Sequence[str], stdin: BinaryIO | None = None) -> Iterator[Item]:
    """Everything that ``paths`` hold (``-``: standard input); raises InputError for a path that cannot be read."""
    for path in paths:
        if path == "-":
            yield from _lines(stdin or sys.stdin.buffer, "standard input", "")
        elif os.path.isdir(path):
            yield from _folder(path)
        else:
            yield from _file(path)


def parse(raw: bytes) -> dict[str, Any]:
    """One JSON object; raises ValueError with a reason for anything else, and for what would fill the memory."""
    if len(raw) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB: not a snapshot")
    if raw.count(b"{") + raw.count(b"[") + raw.count(b'"') // 2 > MANY:
        raise ValueError("too many values: not a snapshot")
    try:
        data = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply: not a snapshot") from None
    if not isinstance(data, dict):
        raise ValueError("not a snapshot: no JSON object")  # noqa: TRY004  the input is wrong, not a type of ours
    return data


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _folder(path: str) -> Iterator[Item]:
    found = False
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.endswith((".json", ".jsonl", ".tar", ".tgz", ".tar.gz", ".tar.xz")):
                found = True
                yield from _file(os.path.join(parent, name))
    if not found:
        raise InputError(f"{path}: no snapshot (.json, .jsonl, .tar, .tar.gz) in this folder")


def _file(path: str) -> Iterator[Item]:
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
            stream.seek(0)
            if head[257:262] == _TAR or head.startswith((_GZIP, _BZIP, _XZ)):
                yield from _archive(stream, path)
            elif os.fstat(stream.fileno()).st_size > LARGEST:
                yield from _lines(stream, path, path)
            else:
                yield from _whole(stream.read(LARGEST + 1), path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _whole(raw: bytes, path: str) -> Iterator[Item]:
    """A small file: one snapshot, or several, one behind the other."""
    first, _, rest = raw.partition(b"\n")
    one = raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
    if one and not (rest.strip() and (first.rstrip().endswith(b"}") or b"\n}\n{" in raw)):
        try:
            yield Item(path, parse(raw), "", path)
        except ValueError as error:
            yield Item(path, None, _reason(error), path)
        return
    import io

    found = False
    for item in _lines(io.BytesIO(raw), path, path):
        found |= not item.passed
        yield item
    if not found:
        yield Item(path, None, "it holds no JSON object: not a snapshot", path)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON: {error}"
    if isinstance(error, UnicodeDecodeError):
        return "no valid JSON: not UTF-8"
    return str(error)


def _archive(stream: BinaryIO, path: str) -> Iterator[Item]:
    """The members of a tar archive, packed or not, without writing any of them to a disk."""
    import lzma
    import tarfile
    import zlib

    class Careful(tarfile.TarInfo):
        """A member whose own records cannot fill the memory: these are read whole by tarfile."""

        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            if not self.isreg() and self.size > LONG_HEADER:
                raise tarfile.ReadError("a record of the archive is too large")
            made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
            return made

    try:
        with tarfile.open(fileobj=stream, mode="r|*", tarinfo=Careful) as archive:
            for member in archive:
                name = f"{path}:{shorten(clean(member.name), 200)}"
                if not member.isreg() or os.path.basename(member.name).startswith("."):
                    continue
                if member.size > LARGEST:
                    yield Item(name, None, f"larger than {LARGEST >> 20} MiB; the archive is read no further", path)
                    return
                held = archive.extractfile(member)
                for item in _whole(held.read(LARGEST + 1) if held else b"", path):
                    yield item._replace(name=name)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        yield Item(path, None, f"not a tar archive, or damaged: {shorten(clean(str(error)), 200)}", path)


_LABEL = re.compile(rb"[^{]{1,400}?(?=\{\s{0,4}\")")
"""What srun -l, kubectl --prefix and ansible -o put in front of a line; an object begins with a brace and a name."""


def _lines(stream: BinaryIO, name: str, file: str) -> Iterator[Item]:
    """One snapshot on each line, or as ``sgldoctor snapshot`` writes it, over many; other lines are noise."""
    number = 0
    held: list[bytes] | None = None
    size = begin = passed = 0
    example = ""
    while line := stream.readline(LARGEST + 1):
        number += 1
        if len(line) > LARGEST:
            if file:
                yield Item(
                    f"{name}, line {number}",
                    None,
                    f"larger than {LARGEST >> 20} MiB; the file is read no further",
                    file,
                )
                return
            while line and not line.endswith(b"\n"):
                line = stream.readline(LARGEST)
            yield Item(f"{name}, line {number}", None, f"larger than {LARGEST >> 20} MiB: not a snapshot", file)
            held = None
            continue
        bare = line.rstrip()
        if held is not None:
            size += len(line)
            if size <= LARGEST:
                held.append(line)
            if bare == b"}":
                if size > LARGEST:
                    yield Item(f"{name}, line {begin}", None, f"larger than {LARGEST >> 20} MiB: not a snapshot", file)
                else:
                    yield _item(b"".join(held), f"{name}, line {begin}", file)
                held = None
            continue
        if bare == b"{":
            held, size, begin = [line], len(line), number
            continue
        label = _LABEL.match(bare)
        if bare.startswith(b"{") or label:
            yield _item(bare[label.end() if label else 0 :], f"{name}, line {number}", file)
        elif bare:
            passed += 1
            example = example or f"line {number}: {shorten(clean(bare[:400].decode('utf-8', 'replace')), 100)}"
    if held is not None:
        yield Item(f"{name}, line {begin}", None, "cut off in the middle", file)
    if passed:
        them = "it begins no JSON object" if passed == 1 else "they begin no JSON object"
        yield Item(name, None, f"{them}: {example}", file, passed)


def _item(raw: bytes, name: str, file: str) -> Item:
    try:
        return Item(name, parse(raw), "", file)
    except ValueError as error:
        return Item(name, None, _reason(error), file)
