"""Recipes to fixes: which of them apply here, what they do, and what of them is only advice.

A fix of which anything is unknown, or fails its validation, is not dropped: it becomes advice (safety ``manual``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sgldoctor.actions import kind
from sgldoctor.actions.base import ANYWHERE, Action, Place
from sgldoctor.actions.context import Context, Pin, Refused, Unresolved
from sgldoctor.actions.kinds.install import Install
from sgldoctor.actions.kinds.manual import Manual
from sgldoctor.facts import Facts
from sgldoctor.rules.schema import Finding, FixRecipe
from sgldoctor.typed import Any, NamedTuple

SHOWN_RELEASES = 6
"""How many ranges of releases are shown, the newest ones, where a log does not tell which release wrote it."""
HIDDEN = (("pin",), ("successor",), ("nearest",), ("best",))
"""What a fix without its only parameter is not worth showing for, where the rule has another one."""
IN_PLACE = "'sgldoctor check --fix', run in that environment, reads the version there and installs it."


class Fix(NamedTuple):
    """One way to repair a finding.

    Attributes:
        title: what it does, in one line.
        safety: ``safe``, ``unsafe`` or ``manual`` (only shown).
        actions: what is done, in order.
        note: what the reader should know: the recipe's own note, the releases it is for, why it is only advice.
        unresolved: placeholders whose value is not known.
    """

    title: str
    safety: str
    actions: tuple[Action, ...]
    note: str = ""
    unresolved: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fix as the report's contract has it."""
        return {
            "title": self.title,
            "safety": self.safety,
            "actions": [action.to_json() for action in self.actions],
            **({"note": self.note} if self.note else {}),
            **({"unresolved": list(self.unresolved)} if self.unresolved else {}),
        }


def fixes(finding: Finding, facts: Facts, pin: Pin) -> tuple[Fix, ...]:
    """The fixes of a finding, as its rule lists them, without those that are for another release of SGLang.

    ``pin`` is asked for ``{pin:NAME}`` and for bare names in recipes.
    """
    context = Context(finding.params, facts, pin, _place(facts), str(facts.value("sglang", "version") or ""))
    found = (_fix(recipe, context) for recipe in finding.rule.fixes)
    return tuple(fix for fix in found if fix is not None)


def telling(found: tuple[Fix, ...]) -> tuple[Fix, ...]:
    """Without fixes that name nothing ("install the wheel that ships it"), if another fix of the rule says more."""
    return tuple(fix for fix in found if fix.unresolved not in HIDDEN or len(fix.actions) > 1) or found


def _place(facts: Facts) -> Place:
    """Where the commands of this report run: the interpreter probed, with uv where it lacks pip or uv is at hand."""
    # A log may say something of a Python, too: only a probe says how it was chosen.
    probed = next((row for row in facts.rows("python") if row.get("chosen") and row.get("executable")), None)
    if probed is None:
        return ANYWHERE
    from sgldoctor.fix.tools import word_for_uv

    python = str(probed["executable"])
    has_pip = any(row.get("name") == "pip" for row in facts.rows("packages"))
    # What a snapshot saw elsewhere is repaired there: where uv lies here says nothing.
    here = word_for_uv(os.environ) if os.path.exists(python) else ""
    uv = here or ("" if has_pip else "uv")
    return Place(python, uv, bool(facts.value("host", "root")))


def _releases(when: dict[str, str]) -> str:
    """The releases of a condition in words."""
    if "defect" not in when:
        return f"SGLang {when['sglang']}"
    from sgldoctor.knowledge.defects import defect

    wanted = when["defect"]
    there = defect(wanted.removeprefix("!")).range
    return f"other releases than {there}" if wanted.startswith("!") else there


def _fix(recipe: FixRecipe, context: Context) -> Fix | None:
    from sgldoctor.derive.when import holds

    valid = holds(recipe.when, context.facts)
    if valid is False:
        return None
    notes = [f"For {_releases(recipe.when)}; the release is not known here."] if valid is None else []
    title, _ = context.filled(recipe.title)
    formed: list[Action] = []
    unresolved: list[str] = []
    safety = recipe.safety
    waiting: list[tuple[dict[str, Any], str]] = []
    at = 0
    for table in recipe.actions:
        try:
            formed.append(kind(table["do"]).form(table, context))
        except Refused as refusal:
            missing = refusal.missing if isinstance(refusal, Unresolved) else []
            lone = _lone_pin(table, missing, context)
            if lone:
                at = at if waiting else len(formed)
                waiting.append((table, lone))
                continue
            safety = "manual"
            unresolved += [name for name in missing if name not in unresolved]
            shown = f"{table['do'].replace('-', ' ')}: {refusal.shown}" if missing else refusal.shown
            pins = [name[4:] for name in missing if name.startswith("pin:")]
            if pins and len(pins) == len(missing):
                shown = _belongs(table, pins)
                notes.append(IN_PLACE)
            else:
                notes.append(f"Only advice: {refusal.because}.")
            formed.append(Manual(shown))
    if waiting:
        told = _by_release(waiting, context, notes)
        if len({action.releases for action in told}) != 1:  # else they agree, whichever release wrote the log
            safety = "manual"
            unresolved += [f"pin:{name}" for _, name in waiting]
        advice: list[Action] = [Manual(_belongs(table, [name])) for table, name in waiting]
        formed[at:at] = told or advice
    if recipe.note:
        notes.insert(0, context.filled(recipe.note)[0])
    return Fix(title, safety, tuple(formed), " ".join(dict.fromkeys(notes)), tuple(unresolved))


def _belongs(table: dict[str, Any], pins: Sequence[str]) -> str:
    return f"{table['do']} {', '.join(pins)}, in the version that belongs to the installed SGLang and torch"


def _lone_pin(table: dict[str, Any], missing: Sequence[str], context: Context) -> str:
    """The only thing that an install lacks, if that is a pin which follows from the release, and that is not known."""
    if table["do"] != "install" or context.sglang or len(missing) != 1 or not missing[0].startswith("pin:"):
        return ""
    from sgldoctor.derive.variants import variants

    return missing[0][4:] if variants((missing[0][4:],), context.facts) else ""


def _by_release(waiting: Sequence[tuple[dict[str, Any], str]], context: Context, notes: list[str]) -> list[Install]:
    """What each release asks for, newest last: one install for each table and range of releases that agree in all."""
    from sgldoctor.derive.variants import variants

    found = variants(tuple(name for _, name in waiting), context.facts)
    formed: list[Install] = []
    for variant in found[-SHOWN_RELEASES:]:
        for (table, name), wanted in zip(waiting, variant.requirements, strict=True):
            own = wanted.partition("==")[0]
            try:
                action = Install.form(table, context._replace(pin=dict.fromkeys((name, own), wanted).get))
            except Refused:
                return []
            formed.append(action._replace(releases=variant.range))
    if len(found) > SHOWN_RELEASES:
        notes.append("Older releases: name yours with --sglang.")
    notes.append(IN_PLACE)
    return formed
