"""Environment variables: renamed, removed, misspelt, unparsable, out of range, or naming what is not there.

Pure: works the same on the rows of a probe and on those that a pasted log or a launch line gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sgldoctor.derive import settings
from sgldoctor.facts import Facts, Row

OURS = ("SGLANG_", "SGL_")
_NAME = r"(?P<name>SGL(?:ANG)?_[A-Z0-9_]{1,80})"
# The wordings of srt/environ.py (0.5.3..0.5.23), then those of warnings elsewhere.
_WARNED = (
    rf"Environment variable '?{_NAME}'?(?: \(in ms\))? (?:is|will be|has been) deprecated[^\n]{{0,400}}",
    rf"{_NAME} (?:is|has been|and \w{{1,80}} are) (?:deprecated|removed|no longer supported)[^\n]{{0,400}}",
)


def derive(facts: Facts) -> Facts:
    """The facts ``environment.*``, each where what it needs is known."""
    found = Facts()
    values = {str(row.get("name")): str(row.get("value") or "") for row in facts.rows("environment")}
    if facts.known("environment") or facts.known("environment.warned"):
        found.put("environment.renamed", _renamed(facts, values), "derived")
    if facts.known("environment"):
        # what is known of every variable is read only where one of SGLang's is set
        at = _at(facts) if any(name.startswith("SGLANG_") for name in values) else None
        found.put("environment.invalid", settings.invalid(facts, values, at), "derived")
        found.put("environment.range", settings.beyond(values, at, _release(facts)), "derived")
        found.put("environment.proxy", settings.proxies(values), "derived")
        if facts.known("interfaces"):
            found.put("environment.interface", settings.interfaces(facts, values), "derived")
        found.put("environment.toolkit", settings.toolkit(facts, values), "derived")
    shadows = [
        {"folder": row.get("folder", ""), "problem": "shadows", "library": row.get("library", "")}
        for row in facts.rows("libraries.shadowed")
        if row.get("via") == "LD_LIBRARY_PATH"
    ]
    if shadows:
        found.put("environment.library_path", shadows, "derived")
    return found


def warned(texts: Iterable[tuple[str, int]]) -> list[Row]:
    """Rows of ``environment.warned`` from what a log says, as (text, line): which variables SGLang complains of."""
    rows: list[Row] = []
    for text, line in texts:
        if "SGL" not in text:
            continue
        for pattern in _WARNED:
            found = re.search(pattern, text)
            if found:
                rows.append({"name": found["name"], "says": found.group().strip(), "line": line})
                break
    return rows


def _release(facts: Facts) -> str:
    return str(facts.value("sglang", "version") or "")


def _at(facts: Facts) -> int | None:
    """The index of the release, None where it is not known."""
    release = _release(facts)
    if not release:
        return None
    from sgldoctor.knowledge.variables import place

    return place(release)


def _renamed(facts: Facts, values: dict[str, str]) -> list[Row]:
    ours = {name: value for name, value in values.items() if name.startswith(OURS)}
    warned = [row for row in facts.rows("environment.warned") if str(row.get("name", "")).startswith(OURS)]
    if not ours and not warned:
        return []
    lines = {str(row.get("name")): row["line"] for row in facts.rows("environment") if "line" in row}
    rows: list[Row] = []
    said: dict[str, str] = {}
    for entry in warned:
        said.setdefault(str(entry["name"]), str(entry.get("says") or ""))
        lines.setdefault(str(entry["name"]), entry.get("line"))
    candidates = _candidates(facts, said)
    for name in dict.fromkeys([*ours, *said]):
        row = _one(_release(facts), name, ours.get(name), candidates)
        if row is None:
            continue
        if lines.get(name) is not None:
            row["line"] = lines[name]
        _overwritten(row, name, ours)
        rows.append(row)
    return rows


def _candidates(facts: Facts, said: dict[str, str]) -> list[int]:
    """Indices of the releases that this may be: within ``log.releases``, and printing every warning that was seen."""
    from sgldoctor.derive.variables import prints
    from sgldoctor.knowledge.variables import place, releases

    first = place(str(facts.value("log.releases", "first") or ""))
    last = place(str(facts.value("log.releases", "last") or ""))
    every = range(len(releases()))
    # Where the ends contradict each other, or the warnings do, they prove nothing.
    left = [at for at in every if (first is None or first <= at) and (last is None or at <= last)] or list(every)
    for name, says in said.items():
        left = [at for at in left if says and prints(name, says, at)] or left
    return left


def _one(release: str, name: str, value: str | None, candidates: list[int]) -> Row | None:
    from sgldoctor.derive.variables import among, explain_variable
    from sgldoctor.knowledge.variables import meaning, place

    if place(release) is None:
        return among(name, value, candidates)
    row = explain_variable(name, value, release)
    if row is None and len(meaning(name)) == 1:
        return _misspelt(name, value, release)
    return row


def _misspelt(name: str, value: str | None, release: str) -> Row | None:
    """A variable that no release knows, one letter or two from exactly one that this release reads."""
    from sgldoctor.knowledge.variables import knowledge, place, reads

    known, at = knowledge().variables, place(release)
    if name in known or at is None:
        return None
    import difflib

    # Numbers must agree: ..._V2 and ..._V3, or _64 and _128, are two names and not one misspelt.
    numbers = re.findall(r"\d+", name)
    candidates = [one for one in known if reads(one, at) and re.findall(r"\d+", one) == numbers]
    near = difflib.get_close_matches(name, candidates, n=2, cutoff=0.93)
    if len(near) != 1 or len(name) < 12:
        return None
    return {
        "name": name,
        "value": value or "",
        "successor": near[0],
        "successor_value": value or "",
        "kind": "misspelt",
        "works": False,
        "says": "",
        "note": f"No release of SGLang knows it; SGLang {release} reads {near[0]}.",
        "releases": "..",
        "release": release,
    }


def _overwritten(row: Row, name: str, ours: dict[str, str]) -> None:
    """Say so where SGLang's copying destroys a variable that is set beside the old one."""
    from sgldoctor.knowledge.variables import SAME, place

    at = place(str(row["release"])) if row["release"] else None
    if at is None:
        return
    from sgldoctor.derive.variables import start

    for target, transform in start({name: SAME}, at)[0].items():
        if target != name and target in ours and transform.apply(ours.get(name, "")) != ours[target]:
            row["note"] += f" It also overwrites {target}={ours[target]}."
