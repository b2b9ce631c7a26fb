"""Makes ``sgldoctor/knowledge/data/pin-variants.json`` from ``sglang-releases.json``: run it after that has changed.

    python scripts/variants.py

For each distribution that a repair may have to pin, the ranges of releases and what they pin, so that a log alone can
be answered without reading the requirements of all releases. For x86_64 and the Python that is assumed of a log.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sgldoctor.derive.variants import joined, pinned
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases

DATA = Path(__file__).resolve().parent.parent / "sgldoctor/knowledge/data/pin-variants.json"


def names() -> list[str]:
    """Everything that some release, or a torch of one, pins exactly; NVIDIA wheels also without their CUDA suffix."""
    data = releases.load("sglang-releases.json")
    lines = [line for entry in data["companions"].values() for line in entry["requires_dist"]]
    for version in releases.versions():
        found = releases.release(version)
        lines += [*found.pins, *found.extras.get("runtime-common", ()), *found.extras.get("srt", ())] if found else []
    pattern = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*\(?==")
    exact = {releases.normalise(match[1]) for line in lines if (match := pattern.match(line))}
    return ["kernel", *sorted(exact | {re.sub(r"-cu\d+$", "", name) for name in exact if name.startswith("nvidia-")})]


def build() -> dict[str, Any]:
    """The whole file."""
    table = {
        name: [
            [variant.first, variant.last, *variant.requirements]
            for variant in joined({version: (pinned(name, version, Facts()),) for version in releases.versions()})
        ]
        for name in names()
    }
    return {
        "source": "scripts/variants.py, from sglang-releases.json",
        "releases": list(releases.versions()),
        "names": {name: ranges for name, ranges in table.items() if ranges},
    }


if __name__ == "__main__":
    text = json.dumps(build(), separators=(",", ":"))
    DATA.write_text(text.replace('"]],', '"]],\n') + "\n")
