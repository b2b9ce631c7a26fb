"""Makes ``sgldoctor/knowledge/data/messages.jsonl`` from the full list of texts that SGLang can print.

    python scripts/messages.py FULL.json

FULL.json holds ``releases`` and ``messages`` (``kind``, ``text`` or ``test``, ``present`` as ranges of releases,
``where``), read from the syntax trees of each wheel. Kept is what tells something in a log: texts with a literal part
of at least 12 characters, holes written ``{…}``, releases as indices, the first place that raises it. The first line
names the releases; the others begin with what must stand in a log for their text, and are sorted, so that a look-up
parses only the lines that may fit.
"""

import json
import sys
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
        spans = [[place[first], place[last] if last else -1] for first, last in entry["present"]]
        kind = "assert" if entry["kind"] == "assert" and "text" not in entry else entry["kind"]
        longest = max((part.strip() for part in text.split(HOLE)), key=len)
        rows.append([longest, kind, text if text != longest else "", spans, entry["where"][0]])
    lines = sorted(
        (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows), key=lambda line: line.encode()
    )
    head = json.dumps({"source": full["source"], "releases": full["releases"]}, ensure_ascii=False)
    OUT.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    print(f"{len(rows)} of {len(full['messages'])} texts, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
