r"""Coverage-guided fuzzing of what reads files of others: whatever the bytes, an answer in time or one clear error.

    pip install atheris
    python tests/fuzz/readers.py elf|wheel|launch|snapshot CORPUS [-max_total_time=600]

CORPUS is a folder that grows; the first run begins with ``tests/fuzz/seeds-READER``, where what was found and mended
stays; ``tests/fuzz/test_readers.py`` reads it again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import lru_cache

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))
SECONDS = 5.0
"""What one input of a few KB may take, under instrumentation and on a busy machine."""


@lru_cache(maxsize=1)
def folder() -> str:
    """A folder for the files of this process."""
    import atexit

    made = tempfile.mkdtemp(prefix="sgldoctor-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _written(name: str, data: bytes) -> str:
    path = os.path.join(folder(), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)
    return path


def elf(data: bytes) -> None:
    """A shared object: everything that the loader's simulation and the symbol check ask of it."""
    from sgldoctor.probe.elf import BadElf, Elf, gnu_hash

    path = _written("x.so", data)
    try:
        held = Elf(path, "x86_64")
    except BadElf:
        return
    for name in ("needed", "soname", "rpath", "runpath", "version_needs", "version_offers", "symbol_count"):
        try:
            value = getattr(held, name)
            if callable(value):
                value()
        except BadElf:
            pass
    for ask in (lambda: list(held.undefined()), lambda: held.exports(b"main", gnu_hash(b"main"))):
        try:
            ask()
        except BadElf:
            pass
    held.release()


def wheel(data: bytes) -> None:
    """What an installer leaves behind: METADATA, RECORD, direct_url.json and a .pth, each after a zero byte."""
    from sgldoctor.derive import derive
    from sgldoctor.facts import Facts
    from sgldoctor.probe.packages import packages
    from sgldoctor.probe.target import Target

    site = os.path.join(folder(), "site")
    shutil.rmtree(site, ignore_errors=True)
    parts = [*data.split(b"\0"), b"", b"", b""]
    for name, part in zip(("METADATA", "RECORD", "direct_url.json", "INSTALLER"), parts, strict=False):
        _written(f"site/torch-2.9.1.dist-info/{name}", part)
    _written("site/torch/version.py", parts[1])
    target = Target("/", "", os.path.dirname(site), (site,), "3.11", {}, "fuzz", "venv")
    facts = packages(target)
    derive(facts)
    assert isinstance(facts, Facts)
    assert not [entry for entry in facts.unknown if "failed: " in entry.because], facts.unknown


def launch(data: bytes) -> None:
    """A launch line, or a file that may hold some: the first byte chooses which kind."""
    from sgldoctor.derive import derive
    from sgldoctor.errors import DoctorError
    from sgldoctor.launch import command, files

    names = {b"d": "Dockerfile", b"s": "x.service", b"j": "x.json", b"b": "x.sh", b"y": "x.yaml"}
    text = data[1:].decode("utf-8", "surrogateescape")
    try:
        if data[:1] in names:
            found = [files.facts_of(one) for one in files.find(text, names[data[:1]])]
        else:
            found = [command.facts(one) for one in command.parse_all(text)]
    except DoctorError:
        return
    for facts in found[:3]:
        derive(facts)
        assert not [entry for entry in facts.unknown if "failed: " in entry.because], facts.unknown


def snapshot(data: bytes) -> None:
    """A snapshot: read, judged and shown."""
    from sgldoctor import recheck
    from sgldoctor.errors import DoctorError
    from sgldoctor.pipeline import Asked, Options
    from sgldoctor.report import as_json, human

    path = _written("x.json", data)
    try:
        report = recheck.check(path, Asked(), Options())
    except DoctorError:
        return
    human.render(report, 100, 1)
    json.loads(as_json.render(report))


READERS: dict[str, Callable[[bytes], None]] = {"elf": elf, "wheel": wheel, "launch": launch, "snapshot": snapshot}


def examine(reader: str, data: bytes) -> None:
    """Read ``data``; raises AssertionError, or whatever escapes, where a promise is broken."""
    begin = time.process_time()
    with redirect_stdout(io.StringIO()):
        READERS[reader](data)
    assert time.process_time() - begin < SECONDS, "too slow"


def main() -> None:
    """Instrument the package, prepare the corpus and fuzz."""
    import atheris

    words = sys.argv[1:]
    if len(words) < 2 or words[0] not in READERS or words[1].startswith("-"):
        sys.exit(__doc__)
    reader, corpus = words[:2]
    os.makedirs(corpus, exist_ok=True)
    seeds = os.path.join(HERE, f"seeds-{reader}")
    for name in os.listdir(seeds) if not os.listdir(corpus) else ():
        shutil.copy(os.path.join(seeds, name), corpus)
    with atheris.instrument_imports(include=["sgldoctor"]):
        from sgldoctor import derive, launch, pipeline, probe, recheck  # noqa: F401
        from sgldoctor.launch import command, files  # noqa: F401
        from sgldoctor.probe import elf, packages, record  # noqa: F401
    atheris.Setup([sys.argv[0], *words[1:], "-rss_limit_mb=2048"], lambda data: examine(reader, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
