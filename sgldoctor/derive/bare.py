"""SGLang without what it requires: one fault, and not one for each of a hundred packages."""

from __future__ import annotations

from sgldoctor.derive import needs
from sgldoctor.derive.requirement import EARLY
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases


def derive(facts: Facts) -> Facts:
    """``packages.bare``, where torch and more than half of what SGLang itself asks for are absent."""
    out = Facts()
    wanted = {need.name: need for need in needs.of("sglang", facts)}
    absent = {str(row["name"]) for row in facts.rows("packages.missing") if row["name"] in wanted}
    row = needs.installed(facts).get("sglang")
    if row is None or row.get("editable") or "torch" not in absent or 2 * len(absent) <= len(wanted):
        return out
    version = str(row["version"])
    found = releases.release(version)
    early = [need.pin for need in wanted.values() if EARLY.search(need.specifier) and need.name in absent]
    out.put(
        "packages.bare",
        [
            {
                "name": "sglang",
                "version": version,
                "missing": len(absent),
                "required": len(wanted),
                "pin": releases.server(found) if found else f"sglang=={version}",
                "also": early,
                "text": f"sglang {version} requires {len(wanted)} packages, {len(absent)} of which are not installed",
            }
        ],
        "derived",
    )
    return out
