"""Build ``sgldoctor.pyz``: the doctor in one file, for any Python from 3.10 on, with nothing installed.

    python scripts/pyz.py [-o dist/sgldoctor.pyz] [--no-download]

In it are the package, the compiled rules, and the pure-Python distributions that it uses, taken from the environment
that runs this script with their licences; one that is not installed there (tomli, above Python 3.10) is downloaded by
pip. The same sources and distributions give the same bytes: names sorted, one time stamp (``SOURCE_DATE_EPOCH``), fixed
modes. At its first start it unpacks itself into the user's cache folder, so that programs and compiled modules are real
files; where that cannot be written, into a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import stat
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENDORED = ("nvidia-ml-py", "packaging", "rich", "tomli")
"""MIT (rich, tomli), BSD (nvidia-ml-py), Apache or BSD (packaging). Of rich, console and text are used: no pygments."""
_LEFT_OUT = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
_OLDEST = 315532800  # 1980-01-01, the first day that a zip file can hold

MAIN = '''"""Unpacks sgldoctor, once, and runs it."""

import os
import sys

DIGEST = "{digest}"


def unpacked():
    """The folder with everything in it; made at the first start."""
    import zipfile

    archive = os.path.dirname(os.path.abspath(__file__))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    parent = os.path.join(base, "sgldoctor")
    folder = os.path.join(parent, "pyz-" + DIGEST)
    if os.path.isdir(folder) and (not hasattr(os, "getuid") or os.stat(folder).st_uid == os.getuid()):
        return folder
    import tempfile

    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        part = tempfile.mkdtemp(prefix=".pyz-", dir=parent)
    except OSError:
        part = parent = ""
    if not parent:
        import atexit
        import shutil

        part = folder = tempfile.mkdtemp(prefix="sgldoctor-")
        atexit.register(shutil.rmtree, part, True)
    with zipfile.ZipFile(archive) as held:
        held.extractall(part)
    if parent:
        try:
            os.rename(part, folder)
        except OSError:  # another start was first
            import shutil

            shutil.rmtree(part, True)
            if not os.path.isdir(folder):
                raise
    return folder


if __name__ == "__main__":
    if sys.version_info < (3, 10):
        sys.exit("sgldoctor: needs Python 3.10 or newer to run, and this is %d.%d; it examines any environment: "
                 "python3.12 sgldoctor.pyz check --python %s" % (sys.version_info[:2] + (sys.executable,)))
    try:
        sys.path[0] = unpacked()
    except OSError as error:
        sys.exit("sgldoctor: cannot unpack itself: %s" % error)
    from sgldoctor.__main__ import main

    sys.exit(main())
'''


def own() -> dict[str, bytes]:
    """The package and its compiled rules."""
    sys.path.insert(0, ROOT)
    from sgldoctor.rules.lint import lint_folder
    from sgldoctor.rules.load import compile_folder

    rules = os.path.join(ROOT, "rules")
    problems = lint_folder(rules)
    if problems:
        raise SystemExit("rules that do not pass the linter:\n" + "\n".join(problems))
    found = {"LICENSE": _read(os.path.join(ROOT, "LICENSE"))}
    for parent, folders, names in os.walk(os.path.join(ROOT, "sgldoctor")):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = os.path.join(parent, name)
            if name != "_rules.py" and not name.endswith(".pyc"):
                found[os.path.relpath(path, ROOT).replace(os.sep, "/")] = _read(path)
    text = '"""All built-in rules, compiled by the build from rules/."""\n\nRULES = (\n'
    text += "".join(f"    {part!r},\n" for part in compile_folder(rules)) + ")\n"
    found["sgldoctor/_rules.py"] = text.encode()
    return found


def vendored(name: str, *, download: bool) -> dict[str, bytes]:
    """The files of a distribution: pure Python and its metadata; raises SystemExit where it cannot be had."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        if not download:
            print(f"left out, since it is not installed: {name}", file=sys.stderr)
            return {}
        return _downloaded(name)
    found = {}
    for file in distribution.files or ():
        path = str(file).replace(os.sep, "/")
        if _wanted(path):
            found[path] = _read(str(distribution.locate_file(file)))
    return found


def _wanted(path: str) -> bool:
    if path.startswith("..") or path.endswith((".pyc", ".pyi")) or "__pycache__" in path or path == "example.py":
        return False
    if path.endswith((".so", ".pyd")):
        raise SystemExit(f"{path}: not pure Python")
    return os.path.basename(path) not in _LEFT_OUT


def _downloaded(name: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        pure = ["--only-binary", ":all:", "--platform", "any", "--python-version", "3.10", "--no-deps"]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            *pure,
            "-d",
            folder,
            name,
        ]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{name}: cannot be downloaded; --no-download leaves it out")
        (wheel,) = os.listdir(folder)
        with zipfile.ZipFile(os.path.join(folder, wheel)) as held:
            return {path: held.read(path) for path in held.namelist() if _wanted(path) and not path.endswith("/")}


def write(path: str, files: dict[str, bytes]) -> str:
    """Write the archive; returns its digest."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    files = {**files, "__main__.py": MAIN.replace("{digest}", digest.hexdigest()[:16]).encode()}
    stamp = time.gmtime(max(_OLDEST, int(os.environ.get("SOURCE_DATE_EPOCH", _OLDEST))))[:6]
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, stamp)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(entry, files[name])
    os.chmod(path, 0o755)  # noqa: S103 - a program for everybody
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def main() -> None:
    """Build it."""
    made = argparse.ArgumentParser(description="Build sgldoctor.pyz.")
    made.add_argument("-o", "--output", default=os.path.join(ROOT, "dist", "sgldoctor.pyz"))
    made.add_argument("--no-download", action="store_true", help="leave out what is not installed")
    args = made.parse_args()
    files = own()
    for name in VENDORED:
        for path, data in vendored(name, download=not args.no_download).items():
            if path in files:
                raise SystemExit(f"{path}: twice")
            files[path] = data
    print(write(args.output, files), args.output)


if __name__ == "__main__":
    main()
