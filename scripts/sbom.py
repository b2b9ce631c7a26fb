"""Write the bill of materials of a plain installation of sgldoctor: CycloneDX 1.6, the same bytes each time.

    python scripts/sbom.py [-o FILE]

Components are what the installed sgldoctor requires, with what that requires in turn, as installed in this environment:
name, version, licence, and the digest of the RECORD, which holds the digest of every file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

OURS = "sgldoctor"


def closure(name: str) -> dict[str, Distribution]:
    """A distribution and all that it requires here, without extras, by normalised name."""
    found: dict[str, Distribution] = {}
    todo = [name]
    while todo:
        key = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if key not in found:
            found[key] = distribution(key)
            needs = [Requirement(line) for line in found[key].requires or ()]
            todo += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def component(name: str, held: Distribution) -> dict[str, Any]:
    """One distribution as CycloneDX has it."""
    about = held.metadata
    licence = about.get("License-Expression") or about.get("License") or ""
    listed = [row.rpartition(" :: ")[2] for row in about.get_all("Classifier") or () if row.startswith("License ::")]
    said = licence if 0 < len(licence) < 60 else ", ".join(listed)
    reference = f"pkg:pypi/{name}@{held.version}"
    out: dict[str, Any] = {
        "type": "library", "bom-ref": reference, "name": name, "version": held.version, "purl": reference,
    }  # fmt: skip
    if said:
        out["licenses"] = [{"license": {"name": said}}]
    record = held.read_text("RECORD")
    if record and name != OURS:  # our own RECORD tells of this checkout
        out["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(record.encode()).hexdigest()}]
    return out


def bill() -> dict[str, Any]:
    """The whole document; without a time or a serial number, so that equal installations give equal bytes."""
    parts = closure(OURS)
    made = {name: component(name, held) for name, held in sorted(parts.items())}
    ours = made.pop(OURS)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**ours, "type": "application"}},
        "components": list(made.values()),
    }


def main() -> None:
    """Write it to a file or to standard output."""
    made = argparse.ArgumentParser(description="Write the bill of materials (CycloneDX).")
    made.add_argument("-o", "--output", type=Path)
    asked = made.parse_args()
    text = json.dumps(bill(), indent=1, ensure_ascii=False) + "\n"
    if asked.output:
        asked.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
