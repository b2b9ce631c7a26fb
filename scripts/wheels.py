"""Released wheels of SGLang, as the other scripts here read them: nothing in them is imported.

A folder holds one ``sglang-*.whl`` of every release to be known; :func:`fetch` fills it from the package index.
"""

from __future__ import annotations

import ast
import email
import email.message
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.version import Version

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"
SOURCE_TREE = re.compile(r"[^/]+/(?:python/)?(sglang/.+)")


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter's pip. Folders of wheels that a machine offers stay out: they hold other builds."""
    settings = {**os.environ, "PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=settings)


def published(package: str) -> list[Version]:
    """Every final version that the package index lists, oldest first; SystemExit where it does not answer."""
    done = pip("index", "versions", package)
    listed = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if not listed:
        raise SystemExit(f"the package index lists no versions of {package}: {done.stderr.strip()[-300:]}")
    return sorted(Version(version.strip()) for version in listed[1].split(","))


def metadata_of(package: str, version: str) -> dict[str, Any] | None:
    """The METADATA of a distribution as pip reports it, without installing it; None where it cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        pip(
            "install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary=:all:",
            "--report", str(report), f"{package}=={version}",
        )  # fmt: skip
        if not report.exists():
            return None
        (item,) = json.loads(report.read_text(encoding="utf-8"))["install"]
        return {"file": item["download_info"]["url"].rsplit("/", 1)[1], "metadata": item["metadata"]}


UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, KeyError, StopIteration, IndexError)
"""What a file that is no archive, or not of this kind, raises."""


class Wheel:
    """One wheel of SGLang on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = path.name.split("-")[1]
        self._archive = zipfile.ZipFile(path)

    @cached_property
    def names(self) -> frozenset[str]:
        """Its members."""
        return frozenset(self._archive.namelist())

    @cached_property
    def metadata(self) -> email.message.Message:
        """Its METADATA."""
        return email.message_from_string(self.text(self._dist_info("METADATA")))

    @cached_property
    def tag(self) -> str:
        """Its compatibility tag: ``py3-none-any``."""
        return self.path.stem.split("-", 2)[2]

    @cached_property
    def built(self) -> str:
        """The day on which it was built: the date of its METADATA."""
        year, month, day, *_ = self._archive.getinfo(self._dist_info("METADATA")).date_time
        return f"{year:04}-{month:02}-{day:02}"

    def _dist_info(self, name: str) -> str:
        return next(member for member in sorted(self.names) if member.endswith(f".dist-info/{name}"))

    def text(self, name: str) -> str:
        """The text of a member."""
        return self._archive.read(name).decode("utf-8", "replace")

    def tree(self, name: str) -> ast.Module | None:
        """A module's syntax tree; None where the file is absent, or newer than the grammar of this Python."""
        if name not in self.names:
            return None
        try:
            return ast.parse(self.text(name))
        except SyntaxError:
            return None

    def modules(self, prefix: str = "sglang/") -> list[str]:
        """The names of its Python files."""
        return sorted(name for name in self.names if name.startswith(prefix) and name.endswith(".py"))


def known() -> list[str]:
    """The releases that flags, variables, pins and messages are kept for, oldest first."""
    releases: list[str] = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))["releases"]
    return releases


def complete_from(releases: list[str]) -> Version:
    """The release after which none is left out; the two oldest known ones stand for the lines before."""
    return Version(releases[min(2, len(releases) - 1)])


def located(folder: Path, release: str) -> Path | None:
    """The wheel of a release in a folder."""
    return next(iter(sorted(folder.glob(f"sglang-{release}-*.whl"))), None)


def fetch(folder: Path, release: str) -> Path:
    """The wheel of a release, downloaded where the folder lacks it; SystemExit where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    found = located(folder, release)
    if found is None:
        done = pip("download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder), f"sglang=={release}")
        found = located(folder, release)
        if found is None:
            raise SystemExit(f"sglang {release}: no wheel for this Python: {done.stderr.strip()[-300:]}")
    return found


def opened(folder: Path) -> list[Wheel]:
    """The wheels of all known releases in a folder, and of others from the line that is kept whole; oldest first."""
    releases = known()
    oldest = complete_from(releases)
    wheels = [Wheel(path) for path in folder.glob("sglang-*.whl")]
    kept = [wheel for wheel in wheels if wheel.version in releases or Version(wheel.version) > oldest]
    missing = set(releases) - {wheel.version for wheel in kept}
    if missing:
        raise SystemExit(f"{folder}: no wheel of {', '.join(sorted(missing, key=Version))}")
    return sorted(kept, key=lambda wheel: Version(wheel.version))


def repacked(sdist: Path, folder: Path) -> Path:
    """A source distribution laid out as a wheel in a folder, which is all that the scripts read."""
    with tarfile.open(sdist) as archive:
        files = {member.name: member for member in archive.getmembers() if member.isfile()}
        about = next((name for name in files if re.fullmatch(r"[^/]+/PKG-INFO", name)), None)
        if about is None:
            raise SystemExit(f"{sdist}: no source distribution: it has no PKG-INFO")
        content = {}
        for name, member in files.items():
            inside = SOURCE_TREE.fullmatch(name)
            stream = archive.extractfile(member)
            if stream and (inside or name == about):
                content[inside[1] if inside else "METADATA"] = stream.read()
    version = email.message_from_bytes(content["METADATA"])["Version"]
    path = folder / f"sglang-{version}-py3-none-any.whl"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in content.items():
            wheel.writestr(f"sglang-{version}.dist-info/METADATA" if name == "METADATA" else name, data)
    path.write_bytes(held.getvalue())
    return path


def spans(present: list[bool], releases: list[str]) -> list[list[str | None]]:
    """Runs of consecutive releases as ``[first, last]``; last is None while it goes on."""
    out: list[list[str | None]] = []
    for here, release, before in zip(present, releases, [False, *present], strict=False):
        if here and not before:
            out.append([release, release])
        elif here:
            out[-1][1] = release
    if present and present[-1]:
        out[-1][1] = None
    return out


def write_json(name: str, data: dict[str, Any]) -> None:
    """Write a data file with one entry a line, so that it greps and diffs well."""

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{dump(one)}: {dump(entry)}" for one, entry in value.items())
            parts.append(f"{dump(key)}: {{\n{rows}\n}}")
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
            rows = ",\n".join(dump(one) for one in value)
            parts.append(f"{dump(key)}: [\n{rows}\n]")
        else:
            parts.append(f"{dump(key)}: {dump(value)}")
    (DATA / name).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    print(f"{name}: {(DATA / name).stat().st_size:,} bytes")
