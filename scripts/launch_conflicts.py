"""Fills in ``launch-conflicts.json`` of the knowledge from which lines of SGLang each entry comes.

    python scripts/launch_conflicts.py WHEEL_DIR

WHEEL_DIR holds one ``sglang-*.whl`` of every release in ``server-args.json``. An entry says how its check reads
(``says``, or ``sign`` where the check has no text of its own: a line of the source, without ``self.`` and its like).
That is looked for in the files of argument checks and in the file that ``where`` names. Written is ``source``: for the
first and the last release of each span the file below ``sglang/srt``, the line and its text, which
``tests/derive/test_conflicts.py`` holds against ``sources.bin``. Told is every end of a span without such a line.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"
ROOT = "sglang/srt/"
CHECKS = re.compile(r"(?:server_args|arg_groups/\w+)\.py$")
OWNERS = re.compile(r"\b(?:self|cfg|server_args|args|view)\.")
LEAST = 5
"""Words of a message that must stand on one line; messages are broken where they are long."""

Found = tuple[str, int, str]


def lines_of(wheel: zipfile.ZipFile, more: set[str]) -> list[Found]:
    """File, number and text of every line of the files that hold checks, and of those in ``more``."""
    out: list[Found] = []
    for name in sorted(wheel.namelist()):
        file = name.removeprefix(ROOT)
        if file == name or not (CHECKS.match(file) or file in more):
            continue
        text = wheel.read(name).decode("utf-8", "replace")
        out += [(file, number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return out


def found(entry: dict[str, Any], lines: list[Found]) -> Found | None:
    """The line on which the check of an entry stands, by its sign or by as many words of its text as one line has."""
    own = set(re.findall(r"[\w/]+\.py", entry["where"]))
    lines = [one for one in lines if one[0] in own] + [one for one in lines if one[0] not in own]
    code = entry.get("sign") or ([entry["says"].removeprefix("assert ")] if entry["says"].startswith("assert ") else [])
    if code:
        plain = [OWNERS.sub("", sign) for sign in code]
        return next((one for sign in plain for one in lines if sign in OWNERS.sub("", one[2])), None)
    words = entry["says"].replace("{…}", "\0").split()
    for length in range(len(words), min(LEAST, len(words)) - 1, -1):
        for start in range(len(words) - length + 1):
            part = " ".join(words[start : start + length])
            if "\0" in part:
                continue
            held = next((one for one in lines if part in one[2].replace("`", "")), None)
            if held:
                return held
    return None


def main() -> None:
    """Read every release, and write the table anew."""
    releases: list[str] = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))["releases"]
    path = DATA / "launch-conflicts.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    entries: list[dict[str, Any]] = table["conflicts"]
    more = {file for entry in entries for file in re.findall(r"[\w/]+\.py", entry["where"])}
    for entry in entries:
        entry["source"] = []
    for release in releases:
        ending = [e for e in entries for span in e["present"] if release in (span[0], span[1] or releases[-1])]
        if not ending:
            continue
        (wheel,) = Path(sys.argv[1]).glob(f"sglang-{release}-*.whl")
        lines = lines_of(zipfile.ZipFile(wheel), more)
        for entry in ending:
            place = found(entry, lines)
            if place:
                entry["source"].append([release, *place])
            else:
                print(f"{entry['name']}: no line in {release}")
    text = f'{{\n"source": {json.dumps(table.get("source", ""), ensure_ascii=False)},\n"conflicts": [\n'
    text += ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n}\n"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
