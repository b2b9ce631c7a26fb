"""What changed for users between two releases of SGLang, and which of our rules and hand-kept data it touches.

Compares two releases within the data files of the knowledge; ``scripts/update.py`` prints it after a new release.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import tomllib

HOLE = "{…}"
LISTED = 40
"""Lines of a section that are shown; the rest is counted."""


class Knowledge:
    """The data files, asked by release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arguments = self.read("server-args.json")
        self.order = {release: at for at, release in enumerate(self.arguments["releases"])}

    def read(self, name: str) -> Any:
        """A data file."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def inside(self, spans: list[list[str | None]], release: str) -> bool:
        """Whether a release lies in one of the ranges."""
        at = self.order[release]
        return any(
            self.order.get(str(first), 0) <= at and (last is None or at <= self.order.get(last, -1))
            for first, last in spans
        )

    def flags(self, release: str) -> dict[str, dict[str, Any]]:
        """Option to its row in a release."""
        return {
            name: row
            for name, entry in self.arguments["flags"].items()
            for row in entry["history"]
            if self.inside([[row["since"], row["until"]]], release)
        }

    def texts(self, release: str) -> dict[str, str]:
        """Message to the place that says it, in a release."""
        with open(self.folder / "messages.jsonl", encoding="utf-8") as stream:
            at = json.loads(next(stream))["releases"].index(release)
            rows = [json.loads(line) for line in stream]
        return {
            text or literal: where
            for literal, _, text, spans, where in rows
            if any(first <= at and (last < 0 or at <= last) for first, last in spans)
        }


def report(data: Path, rules: Path, old: str, new: str) -> str:
    """All of it, as Markdown."""
    known = Knowledge(data)
    before, after = known.texts(old), known.texts(new)
    out = [f"# SGLang {old} to {new}"]
    for title, lines in (
        ("Options", options(known, old, new)),
        ("Variables", variables(known, old, new)),
        ("Pins", pins(known, old, new)),
        ("Checks of the arguments", refusals(known, old, new)),
        ("Defects known here", defects(known, old, new)),
        ("Rules whose texts vanished or changed", rules_touched(rules, before, after)),
        ("Kept by hand: look whether it still holds", by_hand(known, before, after, old)),
    ):
        more = [f"- and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        out += ["", f"## {title}", "", *([f"- {line}" for line in lines[:LISTED]] or ["nothing"]), *more]
    return "\n".join(out)


def options(known: Knowledge, old: str, new: str) -> list[str]:
    """Options that came, went, or mean something else."""
    was, now = known.flags(old), known.flags(new)
    out = [f"gone: `{name}`" for name in was.keys() - now.keys()]
    for name in was.keys() & now.keys():
        one, other = was[name], now[name]
        if one.get("default") != other.get("default"):
            out.append(f"default: `{name}`: {one.get('default')} → {other.get('default')}")
        lost, found = (
            [value for value in a.get("choices") or () if value not in (b.get("choices") or ())]
            if isinstance(a.get("choices"), list) and isinstance(b.get("choices"), list) else []
            for a, b in ((one, other), (other, one))
        )  # fmt: skip
        if lost or found:
            out.append(f"choices: `{name}`: " + ", ".join([f"-{one}" for one in lost] + [f"+{one}" for one in found]))
        if other.get("deprecated") and not one.get("deprecated"):
            out.append(f"deprecated: `{name}`: {other['deprecated'].get('says') or 'without a word'}")
        if one["type"] != other["type"]:
            out.append(f"type: `{name}`: {one['type']} → {other['type']}")
    out += [
        f"new: `{name}` ({now[name]['type']}, default {now[name].get('default')})" for name in now.keys() - was.keys()
    ]
    return sorted(
        out, key=lambda line: ("gone default choices type deprecated new".split().index(line.split(":")[0]), line)
    )


def variables(known: Knowledge, old: str, new: str) -> list[str]:
    """Variables that came, went, got another default, or are announced as deprecated."""
    data = known.read("env-vars.json")
    out = []
    for name, entry in data["variables"].items():
        was, now = (known.inside(entry["read"], one) or known.inside(entry["declared"], one) for one in (old, new))
        if was != now:
            out.append(f"{'new' if now else 'gone'}: `{name}`" + (f" ({entry['area']})" if now else ""))
        elif now:
            first, last = (_declared(known, entry, one) for one in (old, new))
            if first and last and first != last:
                out.append(f"default: `{name}`: {first} → {last}")
    out += [
        f"deprecated: {one['says']}"
        for one in data["deprecated"]
        if known.inside(one["present"], new) and not known.inside(one["present"], old)
    ]
    return sorted(out, key=lambda line: ("gone default deprecated new".split().index(line.split(":")[0]), line))


def _declared(known: Knowledge, entry: dict[str, Any], release: str) -> str:
    rows = [row for row in entry["history"] if known.order[row["since"]] <= known.order[release]]
    return str(rows[-1]["default"]) if rows else ""


def pins(known: Knowledge, old: str, new: str) -> list[str]:
    """What the METADATA asks for otherwise: Python, the kernel, every watched pin."""
    releases = known.read("sglang-releases.json")["releases"]
    one, other = releases[old], releases[new]
    out = [
        f"{key}: {one[key]} → {other[key]}" for key in ("requires_python", "wheel", "kernel") if one[key] != other[key]
    ]
    for name in sorted(one["pins"].keys() | other["pins"].keys()):
        if one["pins"].get(name) != other["pins"].get(name):
            said = [entry["pins"].get(name, "absent") or "any" for entry in (one, other)]
            out.append(f"{name}: {said[0]} → {said[1]}")
    extras = sorted(one["extras"].keys() ^ other["extras"].keys())
    return out + [f"extra {extra}: " + ("new" if extra in other["extras"] else "gone") for extra in extras]


def refusals(known: Knowledge, old: str, new: str) -> list[str]:
    """What SGLang's own checks of the arguments refuse, or no longer do."""
    data = known.read("launch-refusals.json")
    found: dict[str, set[str]] = {old: set(), new: set()}
    for row in data["refusals"]:
        spans, _, _, where, message = row.split("\t")
        for release, texts in found.items():
            at = data["releases"].index(release)
            if any(int(first) <= at <= int(last) for first, last in (span.split("-") for span in spans.split(","))):
                texts.add(f"{message} ({where})")
    return [f"new: {text}" for text in sorted(found[new] - found[old])] + [
        f"gone: {text}" for text in sorted(found[old] - found[new])
    ]


def defects(known: Knowledge, old: str, new: str) -> list[str]:
    """Which known defects the release cures, or has again."""
    data = known.read("defects.json")
    order = {release: at for at, release in enumerate(data["releases"])}

    def stands(spans: list[list[str]], release: str) -> bool:
        return any(order[first] <= order[release] <= order[last] for first, last in spans)

    out = []
    for name, entry in data["defects"].items():
        was, now = stands(entry["spans"], old), stands(entry["spans"], new)
        if was != now:
            out.append(f"{name}: " + ("there again" if now else "cured"))
    return out


def rules_touched(rules: Path, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Rules with a text of SGLang that the new release no longer says, and what it says there instead.

    One line for each text, with all rules that wait for it.
    """
    waiting: dict[str, list[str]] = {}
    for path in sorted(rules.rglob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("log", ()):
            fits = partial(_fits, entry)
            was = [text for text in before if fits(text)]
            if not was or any(fits(text) for text in after):
                continue
            named = waiting.setdefault(was[0], [])
            rule = f"{path.parent.name}/{path.stem}"
            if rule not in named:
                named.append(rule)
    out = []
    for text, names in waiting.items():
        there = [one for one, where in after.items() if where == before[text] and one not in before]
        near = get_close_matches(text, there, 1, 0.4) or get_close_matches(
            text, [one for one in after if one not in before], 1, 0.7
        )
        now = f"now “{_short(near[0])}”" if near else "vanished"
        out.append(f"{', '.join(names)}: “{_short(text)}” ({before[text]}): {now}")
    return out


def _fits(entry: dict[str, Any], text: str) -> bool:
    """Whether a message is one that a rule waits for: its anchor, and its pattern with digits in the holes."""
    anchors = entry["anchor"] if isinstance(entry["anchor"], list) else [entry["anchor"]]
    if not any(anchor in text for anchor in anchors):
        return False
    pattern = entry.get("pattern")
    return not pattern or bool(re.search(pattern, text.replace(HOLE, "7"))) or HOLE in text


def by_hand(known: Knowledge, before: dict[str, str], after: dict[str, str], old: str) -> list[str]:
    """Entries of the files that people keep whose text, test or option has left SGLang."""
    out = []
    now = {name for row in known.flags(known.arguments["releases"][-1]).values() for name in row["names"]}
    for file, key in (("launch-conflicts.json", "conflicts"), ("limits.json", "limits"), ("limits.json", "notices")):
        for entry in known.read(file)[key]:
            text = entry.get("test") or entry.get("says") or ""
            label = entry.get("name") or entry.get("old")
            if known.inside(entry["present"], old) and entry["present"][-1][1] is None:
                if text and text in before and text not in after:
                    out.append(f"{file}: {label}: “{_short(text)}” vanished")
                gone = [flag for flag in entry.get("flags", ()) if flag not in now]
                if gone:
                    out.append(f"{file}: {label}: no option {', '.join(gone)}")
    had = {name for row in known.flags(old).values() for name in row["names"]}
    needs = known.read("launch-packages.json")["needs"]
    out += [f"launch-packages.json: no option {entry['flag']}" for entry in needs if entry["flag"] in had - now]
    for was, then in known.read("flag-successors.json")["flags"].items():
        if then in had - now:
            out.append(f"flag-successors.json: {was}: its successor {then} is gone")
    return out


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 90 else flat[:89] + "…"
