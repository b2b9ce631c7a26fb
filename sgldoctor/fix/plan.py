"""From the fixes of all findings to one plan: one package transaction, then other actions, and what stays undone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from sgldoctor.actions.base import ADVICE, LAUNCH, PACKAGES, SYSTEM, Action
from sgldoctor.actions.context import Pin
from sgldoctor.actions.kinds.install import Install
from sgldoctor.actions.kinds.uninstall import Uninstall
from sgldoctor.facts import Facts
from sgldoctor.fix.recipe import Fix
from sgldoctor.fix.steps import Sharers, Step, exact, name_of, steps
from sgldoctor.rules.schema import Finding
from sgldoctor.typed import NamedTuple

FIXABLE = ("error",)
DONE = "that is so here already, and nothing of it is damaged: the log is of another environment, or of an earlier day"


class Change(NamedTuple):
    """One line of the plan's table; ``now`` and ``then`` are versions, ``-`` for absent.

    ``size`` is that of the wheel to fetch at most, in bytes, 0 where it is not known: it may be in the cache.
    """

    name: str
    now: str
    then: str
    why: str
    size: int = 0


class Left(NamedTuple):
    """A fix that is not applied: its title, why not, and what a person may do instead."""

    title: str
    because: str
    advice: tuple[str, ...]


class Plan(NamedTuple):
    """What is going to be done.

    Attributes:
        steps: the package transaction, in order.
        changes: what it changes, for the table.
        others: variables, files and the rest, after the packages.
        left: what remains undone.
        notes: decisions that a reader should know: conflicts settled by pins, files shared by two wheels.
        targets: ``(rule, subject)`` of every finding that must be gone afterwards.
        why: titles of the fixes that are applied.
        launch: the launch line as the fixes for flags want it, ``""`` where there is none; it is shown, never applied.
    """

    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    others: tuple[Action, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]
    targets: tuple[tuple[str, str], ...]
    why: tuple[str, ...]
    launch: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.steps and not self.others


class Chosen(NamedTuple):
    """The fix taken for a finding."""

    finding: Finding
    fix: Fix


def make(
    findings: Sequence[Finding],
    fixes_of: Callable[[Finding], Sequence[Fix]],
    facts: Facts,
    pin: Pin,
    *,
    unsafe: bool = False,
    root: bool = False,
    severities: Sequence[str] = FIXABLE,
    prefer: Sequence[str] = (),
    sharers: Sharers | None = None,
) -> Plan:
    """Choose one fix for each cause, merge their package actions, and say what is left and why.

    Args:
        findings: of the report; only causes of one of ``severities`` are repaired.
        fixes_of: the fixes of a finding, best first: the first one that may be applied is taken.
        facts: for what is installed and which wheels share files.
        pin: settles two fixes that want different versions of one package.
        unsafe: whether fixes marked unsafe were asked for.
        root: whether actions that need root can be done.
        severities: severities to repair.
        prefer: slugs of rules that win a conflict which no pin settles.
        sharers: reads which distributions share files; None where the environment is not at hand.
    """
    have = _installed(facts)
    barred = partial(_barred, torch=have.get("torch", ""), unsafe=unsafe, root=root)
    chosen: list[Chosen] = []
    left: list[Left] = []
    flags: list[Action] = []
    for finding in findings:
        if finding.role == "cause" and finding.severity in severities:
            taken = _choose(finding, fixes_of(finding), barred)
            if isinstance(taken, Chosen) and _of_log(finding) and done(taken.fix, have, facts):
                taken = Left(taken.fix.title, DONE, _advice(taken.fix))
            if isinstance(taken, Left):
                left.append(taken)
                first = next((fix for fix in fixes_of(finding) if fix.safety != "manual"), None)
                flags += [action for action in first.actions if action.scope == LAUNCH] if first else []
            else:
                chosen.append(taken)
    passed = [
        finding.title
        for finding in findings
        if finding.role == "cause" and finding.severity == "warning" and "warning" not in severities
        and isinstance(_choose(finding, fixes_of(finding), barred), Chosen)
    ]  # fmt: skip
    notes: list[str] = [f"warnings are repaired with --strict only: {'; '.join(passed)}"] if passed else []
    there = {finding.rule.slug for finding in findings}
    notes += [f"--prefer {slug}: that rule has found nothing here" for slug in prefer if slug not in there]
    refused = _conflicts(chosen, pin, prefer, notes)
    left += [
        Left(entry.fix.title, refused[entry.finding.rule.slug], _advice(entry.fix))
        for entry in chosen
        if entry.finding.rule.slug in refused
    ]
    chosen = [entry for entry in chosen if entry.finding.rule.slug not in refused]
    chosen = _with_torch(chosen, facts, left)
    actions = [action for entry in chosen for action in entry.fix.actions]
    found = steps(actions, have, facts, sharers, notes)
    others = _others(chosen)
    return Plan(
        found, _changes(found, have, chosen), others, tuple(dict.fromkeys(left)), tuple(dict.fromkeys(notes)),
        tuple(dict.fromkeys((entry.finding.rule.slug, entry.finding.subject) for entry in chosen)),
        tuple(dict.fromkeys(entry.fix.title for entry in chosen)), _launch([*flags, *others], facts),
    )  # fmt: skip


def _launch(flags: Sequence[Action], facts: Facts) -> str:
    line = str(facts.value("launch", "command") or "")
    if not flags or not line:
        return ""
    from sgldoctor.fix.launchline import rewritten

    new = rewritten(line, flags, str(facts.value("sglang", "version") or ""))
    return new if new != line else ""


def needs_root(action: Action) -> bool:
    """Whether only root can do it."""
    return action.scope == SYSTEM


def _choose(finding: Finding, fixes: Sequence[Fix], barred: Callable[[Fix], str]) -> Chosen | Left:
    """The first fix that may be applied, or why there is none."""
    reasons: list[tuple[str, Fix]] = []
    for fix in fixes:
        because = barred(fix)
        if not because:
            return Chosen(finding, fix)
        reasons.append((because, fix))
    if not reasons:
        return Left(finding.title, "no repair is known for it", ())
    because, fix = reasons[0]
    return Left(fix.title, because, _advice(fix))


def _of_log(finding: Finding) -> bool:
    """Whether nothing but a log speaks for it."""
    return bool(finding.evidence) and all(entry.line for entry in finding.evidence)


def done(fix: Fix, have: dict[str, str], facts: Facts) -> bool:
    """Whether a fix of packages would only write again what is there, and the examination finds no fault in that."""
    if not facts.known("record.damaged") or not facts.known("loader.missing"):
        return False
    troubled = {str(row["name"]) for row in facts.rows("record.damaged")}
    for name, columns in (
        ("libraries.unresolved", ("provider", "owner")),
        ("libraries.corrupt", ("owner",)),
        ("symbols.undefined", ("provider", "owner")),
    ):
        troubled |= {str(row[column]) for row in facts.rows(name) for column in columns if row.get("kind") != "no-gpu"}
    for action in fix.actions:
        if isinstance(action, Uninstall):
            if any(name in have for name in action.packages):
                return False
        elif isinstance(action, Install):
            for text in action.packages:
                name = name_of(text)
                version = have.get(name, "")
                if name in troubled or exact(text) not in (version, version.partition("+")[0]) or not version:
                    return False
        else:
            return False
    return bool(fix.actions)


def _barred(fix: Fix, *, torch: str, unsafe: bool, root: bool) -> str:
    """Why a fix may not be applied; ``torch`` is the version that is installed."""
    if fix.safety == "manual" or any(action.scope == ADVICE for action in fix.actions):
        return "it is advice: a person has to do it"
    if any(action.scope == LAUNCH for action in fix.actions):
        return "the launch line is yours to change"
    if any(needs_root(action) for action in fix.actions):
        if not root:
            return "it needs root"
        if not unsafe:
            return "it changes the system: say --unsafe to have it done"
    if fix.safety == "unsafe" and not unsafe:
        return "it is marked unsafe: say --unsafe to have it done"
    if not unsafe and any(_other_torch(text, torch) for text in _requirements(fix)):
        return "it needs the torch that belongs here, which is not there: say --unsafe to have that done, too"
    return "" if fix.actions else "it has nothing to apply"


def _other_torch(text: str, torch: str) -> bool:
    """Whether a requirement is one of torch and the installed one does not meet it, whatever its build."""
    wanted = exact(text)
    return name_of(text) == "torch" and bool(wanted) and wanted.partition("+")[0] != torch.partition("+")[0]


def _requirements(fix: Fix) -> list[str]:
    return [text for action in fix.actions if isinstance(action, Install) for text in action.packages]


def _advice(fix: Fix) -> tuple[str, ...]:
    return tuple(action.command() or action.describe() for action in fix.actions)


def _installed(facts: Facts) -> dict[str, str]:
    from sgldoctor.derive.needs import installed

    return {name: str(row["version"]) for name, row in installed(facts).items()}


def _wanted(entry: Chosen) -> list[tuple[Install, str]]:
    return [(action, text) for action in entry.fix.actions if isinstance(action, Install) for text in action.packages]


def _conflicts(chosen: list[Chosen], pin: Pin, prefer: Sequence[str], notes: list[str]) -> dict[str, str]:
    """Rules whose fix is refused, with the reason. Fixes that give way are rewritten in ``chosen``."""
    refused: dict[str, str] = {}
    by_name: dict[str, list[tuple[Chosen, str]]] = {}
    for entry in chosen:
        for _, text in _wanted(entry):
            by_name.setdefault(name_of(text), []).append((entry, text))
    for name, wants in by_name.items():
        texts = list(dict.fromkeys(text for _, text in wants if re.search(r"[<>=!~]", text)))
        winner = texts[0] if texts else wants[0][1]
        if len(texts) > 1:
            pinned = pin(name)
            preferred = next((text for entry, text in wants if entry.finding.rule.slug in prefer), None)
            who = " and ".join(f"{entry.finding.rule.slug} wants {text}" for entry, text in wants if text in texts)
            if preferred is not None:
                winner = preferred
                notes.append(f"{who}: {winner} is preferred as asked")
            elif pinned in texts:
                winner = str(pinned)
                notes.append(f"{who}: {winner} is what the environment's own requirements pin")
            else:
                for entry, _ in wants:
                    refused[entry.finding.rule.slug] = f"{who}: choose with --prefer RULE"
                continue
        _rewrite(chosen, name, winner)
    return refused


def _with_torch(chosen: list[Chosen], facts: Facts, left: list[Left]) -> list[Chosen]:
    """Without fixes that would take away the CUDA wheels of a torch which is wrong and stays."""
    off = any(row.get("name") == "torch" for row in facts.rows("packages.unpinned"))
    if not off or any(name_of(text) == "torch" for entry in chosen for _, text in _wanted(entry)):
        return chosen
    its_own = {str(row["unwanted"]) for row in facts.rows("packages.mixed_cuda")}
    kept = []
    for entry in chosen:
        gone = [name for action in entry.fix.actions if isinstance(action, Uninstall) for name in action.packages]
        if its_own & set(gone):
            left.append(Left(entry.fix.title, "torch has to be put back first, which is not done", _advice(entry.fix)))
        else:
            kept.append(entry)
    return kept


def _rewrite(chosen: list[Chosen], name: str, winner: str) -> None:
    for position, entry in enumerate(chosen):
        actions = tuple(
            action._replace(packages=tuple(winner if name_of(text) == name else text for text in action.packages))
            if isinstance(action, Install)
            else action
            for action in entry.fix.actions
        )
        chosen[position] = entry._replace(fix=entry.fix._replace(actions=actions))


def _changes(steps: Sequence[Step], have: dict[str, str], chosen: Sequence[Chosen]) -> tuple[Change, ...]:
    why: dict[str, str] = {}
    for entry in chosen:
        for action in entry.fix.actions:
            if isinstance(action, Install | Uninstall):
                for text in action.packages:
                    why.setdefault(name_of(text), entry.finding.title)
    rows: dict[str, Change] = {}
    for step in steps:
        for text in step.packages:
            name = name_of(text)
            now = have.get(name, "-")
            then = "-" if step.verb == "uninstall" else exact(text) or text[len(name) :] or "newest"
            if then == now:
                then += " (reinstalled)" if step.reinstall or name in rows else ""
            other = "nothing that stays asks for it" if then == "-" else "its files go with another package"
            rows[name] = Change(name, now, then, why.get(name, other))
    return tuple(rows.values())


def _others(chosen: Sequence[Chosen]) -> tuple[Action, ...]:
    found = [action for entry in chosen for action in entry.fix.actions if action.scope != PACKAGES]
    return tuple(dict.fromkeys(found))
