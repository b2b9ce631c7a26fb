"""Adds what a distribution requires, from the METADATA of its wheel, to ``companions`` of the knowledge of releases.

    python scripts/companions.py ENVIRONMENT DISTRIBUTION...

ENVIRONMENT is a virtual environment in which SGLang is installed. For ``cuda-toolkit``, which has a hundred lines, only
those of the extras that a known torch asks for are kept.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "sgldoctor/knowledge/data/sglang-releases.json"


def main(folder: str, *names: str) -> None:
    """Read each distribution and write the data back as it was laid out: one entry a line."""
    data = json.loads(DATA.read_text())
    (site,) = Path(folder).glob("lib/python3*/site-packages")
    for found in distributions(path=[str(site)]):
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        if name in names:
            lines = _asked(name, found.requires or [], data["companions"])
            version = re.sub(
                r"(\.\d+\.\d+)\.0$", r"\1", found.version
            )  # torch asks for 13.0.3, the wheel says 13.0.3.0
            data["companions"][f"{name}=={version}"] = {"file": "METADATA", "requires_dist": lines}
    data["companions"] = dict(sorted(data["companions"].items()))
    DATA.write_text(_laid_out(data))


def _asked(name: str, lines: list[str], companions: dict[str, Any]) -> list[str]:
    extras: set[str] = set()
    for entry in companions.values():
        for line in entry["requires_dist"]:
            match = re.match(re.escape(name) + r"\[([^\]]*)\]", line)
            extras |= set(match[1].split(",")) if match else set()
    named = {line: re.search(r"extra == ['\"]([^'\"]*)", line) for line in lines}
    return [line for line, match in named.items() if not extras or (match and match[1] in extras)]


def _laid_out(data: dict[str, Any]) -> str:
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
