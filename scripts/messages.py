"""Makes ``sgldoctor/knowledge/data/messages.jsonl`` from the full list of texts that SGLang can print.

    python scripts/messages.py FULL.json WHEELS

FULL.json holds ``releases`` and ``messages`` (``kind``, ``text`` or ``test``, ``present`` as ranges of releases,
``where``), read from the syntax trees of each wheel. Kept is what tells something in a log: texts with a literal part
of at least 12 characters, holes written ``{…}``, releases as indices, the first place that raises it. The first line
names the releases; the others begin with what must stand in a log for their text, and are sorted, so that a look-up
parses only the lines that may fit.

A text that is put together in a variable first is not seen in the syntax tree of the call. So a range goes on as long
as the longest literal part still stands in the same file, looked up in WHEELS, a folder of ``sglang-*.whl``: a release
too many narrows less, a release too few makes a wrong claim.
"""

import json
import sys
import zipfile
from functools import cache, lru_cache
from pathlib import Path

HOLE = "{…}"
LITERAL = 12
OUT = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data" / "messages.jsonl"


def main() -> None:
    """Write the subset, one message a line."""
    full = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    place = {release: index for index, release in enumerate(full["releases"])}
    rows = []
    for entry in full["messages"]:
        text = entry.get("text") or entry.get("test") or ""
        if max(map(len, text.split(HOLE))) < LITERAL:
            continue
        spans = [[place[first], place[last] if last else len(place) - 1] for first, last in entry["present"]]
        kind = "assert" if entry["kind"] == "assert" and "text" not in entry else entry["kind"]
        longest = max((part.strip() for part in text.split(HOLE)), key=len)
        files = dict.fromkeys(where.partition(":")[0] for where in entry["where"])
        spans = _widened(spans, longest, [*files], full["releases"])
        rows.append([longest, kind, text if text != longest else "", spans, entry["where"][0]])
    lines = sorted(
        (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows), key=lambda line: line.encode()
    )
    head = json.dumps({"source": full["source"], "releases": full["releases"]}, ensure_ascii=False)
    OUT.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    print(f"{len(rows)} of {len(full['messages'])} texts, {OUT.stat().st_size:,} bytes")


def _widened(spans: list[list[int]], literal: str, files: list[str], releases: list[str]) -> list[list[int]]:
    """The ranges with the releases before and after that hold the literal in one of the files; -1 for "still there"."""
    there = {index for first, last in spans for index in range(first, last + 1)}
    for step in (1, -1):
        for start in sorted(there):
            index = start + step
            while 0 <= index < len(releases) and index not in there and _holds(releases[index], files, literal):
                there.add(index)
                index += step
    found: list[list[int]] = []
    for index in sorted(there):
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    if found[-1][1] == len(releases) - 1:
        found[-1][1] = -1
    return found


def _holds(release: str, files: list[str], literal: str) -> bool:
    return any(literal in _text(release, file) for file in files)


@lru_cache(maxsize=4096)
def _text(release: str, file: str) -> str:
    archive = _archive(release)
    try:
        return archive.read(f"sglang/srt/{file}").decode("utf-8", "replace")
    except KeyError:
        return ""


@cache
def _archive(release: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(Path(sys.argv[2]).glob(f"sglang-{release}-*.whl")))


if __name__ == "__main__":
    main()
