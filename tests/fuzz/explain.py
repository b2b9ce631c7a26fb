r"""Coverage-guided fuzzing of ``explain``: whatever the bytes, no crash, no hang, nothing of a terminal echoed.

    pip install atheris
    python tests/fuzz/explain.py CORPUS [-max_total_time=3600] [-timeout=20]

CORPUS is a folder that grows; the first run begins with the fixtures of all rules and with ``tests/fuzz/seeds``. The
first byte of an input chooses how it is read: as a small log, or as a large one in small blocks by both engines, which
must keep the same. What was found and mended stays in ``tests/fuzz/seeds`` and is read again by
``tests/log/test_fuzz_seeds.py``.
"""

from __future__ import annotations

import glob
import io
import os
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.rules.base import RuleBase

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 5.0
"""What one input of a few KB may take, under instrumentation and on a busy machine."""


def examine(data: bytes) -> None:
    """Read ``data`` as a log and render what is found; raises AssertionError where a promise is broken."""
    from sgldoctor import log, pipeline
    from sgldoctor.errors import InputError
    from sgldoctor.log import search
    from sgldoctor.log.engine_py import ENOUGH, templates
    from sgldoctor.report import as_json, human

    mode, data = data[:1], data[1:]
    rules = _rules()
    anchors, words = rules.literals(), rules.witnesses()
    if mode in (b"L", b"M"):
        whole, search.WHOLE = search.WHOLE, 64
        try:
            size = 97 if mode == b"L" else 1021
            wanted = dict.fromkeys(words, ENOUGH)
            kept = search.select(_cut(data, size), anchors, words)
            once = search.select([data], anchors, words, templates(search.needed(anchors), wanted))
        finally:
            search.WHOLE = whole
        assert kept.total == once.total, (kept.total, once.total)
    begin = time.process_time()
    try:
        reading = log.read(["-"], anchors, words, stdin=io.BytesIO(data))
    except InputError:
        return  # damaged gzip or zstd data
    total = data.count(b"\n") + 1
    packed = data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\xfe\xff"))
    for order, event in enumerate(reading.events):
        assert event.order == order
        assert packed or 1 <= event.line <= event.end <= total, event
        assert len(event.text) < 20_000
    report = pipeline.conclude("explain", reading.facts, reading.events, rules, pipeline.Options())
    for text in (human.render(report, 100, 1), as_json.render(report)):
        bad = [char for char in text if _controls(char)]
        assert not bad, f"control characters echoed: {bad[:5]!r}"
    for fixes in report.fixes.values():
        for action in (action for fix in fixes if fix.safety != "manual" for action in fix.actions):
            command = str(action.to_json().get("command", ""))
            assert not set(command) & set("\n`\x1b"), f"unvalidated text in an action: {command!r}"
    assert time.process_time() - begin < SECONDS, "too slow"


def _controls(char: str) -> bool:
    code = ord(char)
    return (
        (code < 32 and char not in "\n\t") or 127 <= code < 160 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    )


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@lru_cache(maxsize=1)
def _rules() -> RuleBase:
    from sgldoctor.rules.load import load

    return load()


def _begin(corpus: str) -> None:
    """Fill an empty corpus with the fixtures and with what was found before."""
    os.makedirs(corpus, exist_ok=True)
    if os.listdir(corpus):
        return
    top = os.path.dirname(os.path.dirname(HERE))
    for path in glob.glob(os.path.join(top, "fixtures", "*", "*.log")):
        with open(path, "rb") as stream:
            data = stream.read(6000)
        name = f"{os.path.basename(os.path.dirname(path))}-{os.path.basename(path)}"
        with open(os.path.join(corpus, name), "wb") as stream:
            stream.write(b"S" + data)
    for path in glob.glob(os.path.join(HERE, "seeds", "*")):
        with open(path, "rb") as stream:
            data = stream.read()
        with open(os.path.join(corpus, os.path.basename(path)), "wb") as stream:
            stream.write(data)


def _dictionary(path: str) -> str:
    """A dictionary for the fuzzer: what the reader and the rules look for, and what wraps a line."""
    from sgldoctor.log import search

    words = {anchor.encode() for anchor in _rules().anchors} | set(search.STRUCTURE)
    words |= {
        b"\r\n", b"\x1b[31m", b"\x1b]0;", b"[rank3]: ", b"(WorkerDict pid=1) ", b"> ", b"```", b"| ERROR | stderr | ",
        b"[1,1]<stderr>:", b"[2026-02-03 10:12:10 TP0] ", b"E0129 10:06:27.604085 3472 x.cpp:1] ", b"#14 17.66 ",
        b"During handling of the above exception, another exception occurred:", b"  + Exception Group ", b"  |",
        b'\n"""\n', b"usage: x", b'{"log":"', b"server_args=ServerArgs(", b"\xff\xfe", b"\\n",
    }  # fmt: skip
    with open(path, "w", encoding="ascii") as stream:
        stream.writelines('"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"\n' for word in sorted(words))
    return path


def main() -> None:
    """Instrument the package, prepare the corpus and fuzz."""
    import atheris

    with atheris.instrument_imports(include=["sgldoctor"]):
        from sgldoctor import log, pipeline  # noqa: F401
        from sgldoctor.report import as_json, human  # noqa: F401
    corpus = next((entry for entry in sys.argv[1:] if not entry.startswith("-")), "")
    if not corpus:
        sys.exit(__doc__)
    _begin(corpus)
    words = _dictionary(f"{corpus.rstrip('/')}.dict")
    atheris.Setup([*sys.argv, f"-dict={words}", "-max_len=6000", "-rss_limit_mb=2048"], examine)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
