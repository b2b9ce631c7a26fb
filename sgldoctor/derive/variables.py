"""What becomes of one environment variable in a release: followed through SGLang's own copying, then judged.

``srt/environ.py`` runs first in every process: it copies renamed variables, then ``SGL_X`` to ``SGLANG_X``. Spawned
workers inherit the result and run it again. Whether the value arrives, unchanged in meaning, at a variable that the
release reads is what counts; the warnings often say something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sgldoctor.facts import Row
from sgldoctor.knowledge.variables import (
    COPIES,
    SAME,
    Notice,
    Transform,
    ever,
    inside,
    knowledge,
    meaning,
    notices,
    place,
    prefixed,
    reads,
    releases,
)
from sgldoctor.typed import NamedTuple

Carried = dict[str, Transform]
"""Variable to what its value is made of the user's value by."""


class Verdict(NamedTuple):
    """What one release does with a variable; ``kind`` is ``""`` where there is nothing to say."""

    kind: str
    works: bool | None
    successor: str
    transform: Transform
    says: tuple[str, ...]
    note: str


def start(carried: Carried, at: int) -> tuple[Carried, list[str]]:
    """One run of ``environ.py`` of release ``at``: the variables afterwards, and what is printed."""
    after = dict(carried)
    says: list[str] = []

    def told(names: Iterable[str]) -> list[Notice]:
        return [one for name in names for one in notices(name, at) if one.start and one.kind != "alias"]

    for one in told(carried):
        if one.new and one.kind in COPIES:
            says.append(one.says)
            after[one.new] = after[one.old].then(COPIES[one.kind])
    says += [one.says for one in told(after) if not one.new]
    if at >= knowledge().prefix_since:
        for name in [name for name in after if prefixed(name)]:
            says.append(knowledge().prefix_says.format(old=name, new=prefixed(name)))
            after[prefixed(name)] = after[name]
    return after, says


def arrivals(carried: Carried, at: int) -> Carried:
    """What the variables that release ``at`` reads get, aliases included."""
    found = {name: transform for name, transform in carried.items() if reads(name, at)}
    for name, transform in carried.items():
        for one in notices(name, at):
            if one.kind == "alias" and one.new not in carried and reads(one.new, at):
                found[one.new] = transform
    return found


def judge(name: str, at: int) -> Verdict:
    """What release ``at`` does with ``name``."""
    wanted = meaning(name)
    parent, says = start({name: SAME}, at)
    child, _ = start(parent, at)
    says += [one.says for one in notices(name, at) if not one.start or one.kind == "alias"]
    here, there = arrivals(parent, at), arrivals(child, at)
    release = releases()[at]
    readers = [other for other in wanted if reads(other, at)]
    printed = tuple(dict.fromkeys(says))

    def right(found: Carried) -> list[str]:
        return [other for other, transform in found.items() if wanted.get(other) == transform]

    def wrong(found: Carried) -> list[str]:
        return [other for other, transform in found.items() if other in wanted and wanted[other] != transform]

    announced = notices(name, at)
    harmful = next((one for one in announced if one.kind == "harmful"), None)
    if harmful:
        return Verdict(
            "harmful", False, _flag(harmful.says), SAME, printed, f"SGLang {release} refuses to start with it."
        )
    if name in readers:
        return _read_itself(name, at, printed)
    best = _successor(name, readers, here, there, at)
    if wrong(there):
        other = wrong(there)[0]
        note = f"SGLang {release} copies the value unchanged into {other}, which means the opposite"
        return Verdict(
            "inverted", False, best, wanted[best], printed, f"{note}: it does the reverse of what was meant."
        )
    if right(here):
        other = right(here)[0]
        flag = next((_flag(one.says) for one in notices(other, at) if one.kind == "flag"), "")
        if flag:
            note = f"SGLang {release} still copies it to {other}, which {flag} replaces."
            return Verdict("flag", True, flag, SAME, printed, note)
        way = "copies it, with the meaning kept, to" if wanted[other] != SAME else "still copies it to"
        note = f"SGLang {release} {way} {other}."
        return Verdict(_kind(wanted[other]), True, other, wanted[other], printed, note)
    if right(there):
        other = right(there)[0]
        via = [step for step in parent if step not in (name, other)]
        note = (
            f"SGLang {release} honours it in spawned processes only, by luck: the parent copies it to "
            f"{', '.join(via) or other}, which the child turns into {other}."
        )
        return Verdict(_kind(wanted[other]), True, other, wanted[other], printed, note)
    if best:
        return _elsewhere(name, best, wanted[best], at, printed)
    return _nowhere(name, at, printed)


def _kind(transform: Transform) -> str:
    return "inverted" if transform.inverted else "milliseconds" if transform.factor != 1.0 else "renamed"


def _successor(name: str, readers: list[str], here: Carried, there: Carried, at: int) -> str:
    """The name to set instead, of those that the release reads: one that it copies to, else a current-style one."""
    del name, at
    return min(
        readers, key=lambda one: (one not in here, one not in there, not one.startswith("SGLANG_"), one), default=""
    )


def _read_itself(name: str, at: int, says: tuple[str, ...]) -> Verdict:
    """The release reads the variable under this very name; is there anything to say against it?"""
    release = releases()[at]
    nothing = Verdict("", True, "", SAME, says, "")
    if not says:
        return nothing
    for one in notices(name, at):
        flag = _flag(one.says)
        if one.kind == "flag" or (flag and not one.new):
            return Verdict(
                "flag", True, flag, SAME, says, f"SGLang {release} still reads it; {flag or 'a flag'} replaces it."
            )
        if one.new:
            kind = _kind(COPIES.get(one.kind, SAME))
            transform = COPIES.get(one.kind, SAME)
            note = f"SGLang {release} still reads it, and {one.new} replaces it."
            return Verdict(kind, True, one.new, transform, says, note)
        return Verdict("removed", True, "", SAME, says, f"SGLang {release} warns of it and nothing replaces it.")
    other = prefixed(name)
    if not other:
        return nothing
    # The copy goes from old to new only: whoever sets the new name alone is not heard where the old one is read.
    some = f"reads {name} and {other} in different places" if reads(other, at) else f"reads {name}, and never {other}"
    note = f"SGLang {release} {some}: obeying its warning would turn the setting off. Leave it as it is."
    return Verdict("misadvised", True, "", SAME, says, note)


def _elsewhere(name: str, best: str, transform: Transform, at: int, says: tuple[str, ...]) -> Verdict:
    """Nothing arrives, but another variable has the meaning."""
    release = releases()[at]
    named = prefixed(name)
    if says and named and named != best and any(named in text for text in says) and not reads(named, at):
        how = f"only copies it to {named}, which nothing reads: neither name has any effect"
    elif says:
        how = "warns of it and does not use its value"
    else:
        how = "ignores it without a word"
    kind = _kind(transform) if _honoured(name, at) else "inert"
    return Verdict(kind, False, best, transform, says, f"SGLang {release} {how}; it reads {best}.")


def _nowhere(name: str, at: int, says: tuple[str, ...]) -> Verdict:
    """No variable of this meaning is read by the release."""
    release, known = releases()[at], releases()
    group = meaning(name)
    flagged = [one for other in group for one in ever(other) if one.kind == "flag" and one.present[0][0] <= at]
    if flagged:
        flag = _flag(flagged[-1].says)
        return Verdict(
            "flag", False, flag, SAME, says, f"SGLang {release} does not use it; {flag or 'a flag'} replaces it."
        )
    runs = sorted(run for other in group if other in knowledge().variables for run in knowledge().variables[other].read)
    before = [last for _, last in runs if last < at]
    after = [first for first, _ in runs if first > at]
    if before:
        note = f"SGLang {release} does not read it; the last release that did is {known[max(before)]}."
        return Verdict("removed", False, "", SAME, says, note)
    if after:
        return Verdict(
            "inert", False, "", SAME, says, f"SGLang {release} does not read it; {known[min(after)]} is the first."
        )
    if any(inside(knowledge().variables[other].declared, at) for other in group if other in knowledge().variables):
        # C++ or Rust might: our data is of Python only.
        note = f"SGLang {release} declares it, but nothing in its Python reads it."
        return Verdict("inert", None, "", SAME, says, note)
    if ever(name):
        return Verdict("removed", False, "", SAME, says, f"SGLang {release} does not read it.")
    return Verdict("", True, "", SAME, says, "")


def _honoured(name: str, at: int) -> bool:
    """Whether a release up to ``at`` let the value of ``name`` through with its meaning."""
    wanted = meaning(name)
    for earlier in range(at, -1, -1):
        child, _ = start(start({name: SAME}, earlier)[0], earlier)
        if any(wanted.get(other) == transform for other, transform in arrivals(child, earlier).items()):
            return True
    return False


def _flag(text: str) -> str:
    """The first command-line flag that a text names."""
    found = re.search(r"--[a-z][a-z0-9-]{1,60}(?:=[a-z][a-z0-9_]{0,40})?", text)
    return found.group() if found else ""


def explain_variable(name: str, value: str | None = None, release: str | None = None, says: str = "") -> Row | None:
    """A row of ``environment.renamed`` for one variable, None where nothing is to be said of it.

    Args:
        name: the variable.
        value: its value; None where only a warning names it. An inverted switch is then taken as switched on, since
            that is what everybody does with a variable called ``..._DISABLE_...``.
        release: of SGLang; None or ``""`` where it is not known: then the releases that print ``says`` are looked at.
        says: a warning that was seen.
    """
    at = place(release) if release else None
    if at is None:
        return among(name, value, [place for place in range(len(releases())) if not says or prints(name, says, place)])
    verdict = judge(name, at)
    return _row(name, value, verdict, _range(name, verdict, at), releases()[at]) if verdict.kind else None


def prints(name: str, says: str, at: int) -> bool:
    """Whether release ``at`` would print ``says`` (or the part of it that was seen) for this variable."""
    return any(says in text or text in says for text in judge(name, at).says)


def among(name: str, value: str | None, candidates: Sequence[int]) -> Row | None:
    """As :func:`explain_variable`, where the release is only known to be one of these.

    None where the newest of them has nothing against the variable: then it is most likely meant as it stands.
    """
    verdicts = [(at, judge(name, at)) for at in candidates]
    if not verdicts or not verdicts[-1][1].kind:
        return None
    groups: list[tuple[int, int, Verdict]] = []
    for at, one in verdicts:
        if groups and groups[-1][1] == at - 1 and _alike(groups[-1][2], one):
            groups[-1] = (groups[-1][0], at, one)
        else:
            groups.append((at, at, one))
    newest = groups[-1][2]
    row = _row(name, value, newest, _span(candidates[0], candidates[-1]), "")
    if len({one.works for _, _, one in groups}) > 1:
        row["works"] = None
    parts = []
    for first, last, one in groups:
        text = one.note.replace(f"SGLang {releases()[last]} ", "", 1).rstrip(".") or "takes it as it is"
        instead = f"; set {one.successor} there" if one.successor and not one.works else ""
        parts.append(f"SGLang {_span(first, last)} {text}{instead if len(groups) > 1 else ''}.")
    row["note"] = " ".join(parts)
    return row


def _alike(one: Verdict, other: Verdict) -> bool:
    return (one.kind, one.works, one.successor) == (other.kind, other.works, other.successor)


def _span(first: int, last: int) -> str:
    known = releases()
    if first == last:
        return known[first]
    return f"{'' if first == 0 else known[first]}..{'' if last == len(known) - 1 else known[last]}"


def _range(name: str, verdict: Verdict, at: int) -> str:
    """The releases around ``at`` of which the same holds."""
    first = last = at
    while first > 0 and _alike(judge(name, first - 1), verdict):
        first -= 1
    while last < len(releases()) - 1 and _alike(judge(name, last + 1), verdict):
        last += 1
    return _span(first, last)


def _row(name: str, value: str | None, verdict: Verdict, span: str, release: str) -> Row:
    transform, successor = verdict.transform, verdict.successor
    if not successor or successor.startswith("-"):
        given = ""
    elif value is None:
        given = "0" if transform.inverted else ""
    else:
        given = transform.apply(value)
    return {
        "name": name,
        "value": value or "",
        "successor": successor,
        "successor_value": given,
        "kind": verdict.kind,
        "works": verdict.works,
        "says": "; ".join(verdict.says),
        "note": verdict.note,
        "releases": span,
        "release": release,
    }
