"""Makes ``sgldoctor/knowledge/data/sources.bin``: which line of which source file stands where in each release.

    python scripts/sources.py WHEELS          a folder with sglang-*.whl of every release to be known

A traceback names files, line numbers and the text of the lines. One byte for each line of a file (a checksum of its
text) tells the releases in which these texts stand at these numbers. For each file of ``sglang/srt``:

- ``FILE``: a JSON line of ``[first release, last release, lines]``, then the bytes of each of these versions;
- ``FILE:functions``: a JSON object of function name to ``[first, last]`` spans of releases.

Releases are indices into the list that is stored without a name. Nothing of the sources themselves is kept.
"""

import json
import re
import sys
import zipfile
import zlib
from pathlib import Path

from packaging.version import Version

OUT = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data" / "sources.bin"
ROOT = "sglang/srt/"
LEFT_OUT = (
    "compilation/", "configs/", "debug_utils/", "dllm/", "function_call/", "hardware_backend/", "kv_canary/", "layers/",
    "models/", "multimodal/", "parser/",
)  # fmt: skip
"""Folders whose lines are not kept, for size; tracebacks that pass here pass through the scheduler as well."""
FUNCTION = re.compile(r"^[ \t]*(?:async )?def (\w+)\(", re.MULTILINE)


def main() -> None:
    """Read every wheel, oldest first, and write the file."""
    wheels = sorted(Path(sys.argv[1]).glob("sglang-*.whl"), key=_version)
    names = [str(_version(wheel)) for wheel in wheels]
    texts: dict[str, list[tuple[int, int, bytes]]] = {}
    functions: dict[str, dict[str, list[list[int]]]] = {}
    for index, wheel in enumerate(wheels):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if not member.startswith(ROOT) or not member.endswith(".py") or member.startswith(ROOT + "test/"):
                    continue
                name = member[len(ROOT) :]
                source = archive.read(member).decode("utf-8", "replace")
                for function in set(FUNCTION.findall(source)):
                    _extend(functions.setdefault(name, {}).setdefault(function, []), index)
                if name.startswith(LEFT_OUT):
                    continue
                sums = bytes(line_sum(line) for line in source.split("\n"))
                versions = texts.setdefault(name, [])
                if versions and versions[-1][1] == index - 1 and versions[-1][2] == sums:
                    versions[-1] = (versions[-1][0], index, sums)
                else:
                    versions.append((index, index, sums))
    parts = {"": json.dumps(names).encode()}
    for name, versions in sorted(texts.items()):
        head = json.dumps([[first, last, len(sums)] for first, last, sums in versions], separators=(",", ":"))
        parts[name] = head.encode() + b"\n" + b"".join(sums for _, _, sums in versions)
    for folder in sorted({name.partition("/")[0] for name in functions}):
        part = {
            name: dict(sorted(found.items()))
            for name, found in sorted(functions.items())
            if name.partition("/")[0] == folder
        }
        parts[f"{folder}:functions"] = json.dumps(part, separators=(",", ":")).encode()
    write(parts)
    print(f"{len(names)} releases, {len(texts)} files, {OUT.stat().st_size:,} bytes")


def write(parts: dict[str, bytes]) -> None:
    """A line with ``{name: [offset, size]}``, then the compressed parts; no zip, whose module costs more to import."""
    packed = {name: zlib.compress(data, 9) for name, data in parts.items()}
    index: dict[str, list[int]] = {}
    at = 0
    for name, data in packed.items():
        index[name] = [at, len(data)]
        at += len(data)
    head = json.dumps(index, separators=(",", ":")).encode()
    OUT.write_bytes(head + b"\n" + b"".join(packed.values()))


def line_sum(line: str) -> int:
    """One byte for the text of a line; 0 for an empty one."""
    text = line.strip()
    return zlib.crc32(text.encode()) % 255 + 1 if text else 0


def _extend(spans: list[list[int]], index: int) -> None:
    if spans and spans[-1][1] == index - 1:
        spans[-1][1] = index
    else:
        spans.append([index, index])


def _version(wheel: Path) -> Version:
    return Version(wheel.name.split("-")[1])


if __name__ == "__main__":
    main()
