"""``launch --fix``: the line, or the file that holds it, as the fixes want it; shown as a difference, then written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from sgldoctor.actions.base import LAUNCH, VARIABLES, Action
from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import FixError
from sgldoctor.fix.plan import Left
from sgldoctor.fix.recipe import Fix
from sgldoctor.launch.files import Located
from sgldoctor.report.model import PROBLEMS, Report, key
from sgldoctor.report.redact import redact
from sgldoctor.report.text import clean
from sgldoctor.rules.schema import Finding
from sgldoctor.typed import Any, NamedTuple

Judge = Callable[[Sequence[Located]], list[Report]]
"""One report for each line."""


class Wanted(NamedTuple):
    """What the fixes want of the lines: actions by number of the line, titles, what is left, what must be gone."""

    actions: dict[int, tuple[Action, ...]]
    why: tuple[str, ...]
    left: tuple[Left, ...]
    targets: frozenset[tuple[int, str]]


def wanted(reports: Sequence[Report], *, unsafe: bool, strict: bool) -> Wanted:
    """The first fix of each cause that changes nothing but flags and variables and may be applied."""
    actions: dict[int, tuple[Action, ...]] = {}
    why: list[str] = []
    left: list[Left] = []
    targets: set[tuple[int, str]] = set()
    for number, report in enumerate(reports):
        for finding in report.findings:
            severities = ("error", "warning") if strict else ("error",)
            if finding.role != "cause" or finding.severity not in severities:
                continue
            fixes = report.fixes.get(key(finding), ())
            fix = next((one for one in fixes if not _barred(one, unsafe=unsafe)), None)
            if fix is None:
                left.append(_left(finding, fixes))
                continue
            actions[number] = tuple(dict.fromkeys((*actions.get(number, ()), *fix.actions)))
            why.append(fix.title)
            targets.add((number, key(finding)))
    return Wanted(actions, tuple(dict.fromkeys(why)), tuple(dict.fromkeys(left)), frozenset(targets))


def _barred(fix: Fix, *, unsafe: bool) -> str:
    if fix.safety == "manual" or not fix.actions:
        return "it is advice: a person has to do it"
    if not all(action.scope in (LAUNCH, VARIABLES) for action in fix.actions):
        return "it is not in the launch line: 'sgldoctor check --fix' repairs the environment"
    if fix.safety == "unsafe" and not unsafe:
        return "it is marked unsafe: say --unsafe to have it done"
    return ""


def _left(finding: Finding, fixes: Sequence[Fix]) -> Left:
    if not fixes:
        return Left(finding.title, "no repair is known for it", ())
    advice = tuple(action.command() or action.describe() for action in fixes[0].actions)
    return Left(fixes[0].title, _barred(fixes[0], unsafe=False), advice)


def line(report: Report, reports: Sequence[Report], lines: Sequence[Located], args: Namespace) -> int:
    """Show a line that was given as words as it should be; returns the exit status of the line as it is."""
    from sgldoctor.fix.launchline import rewritten

    asked = wanted(reports, unsafe=args.unsafe, strict=args.strict)
    # Secrets are out of the text already; variables stand in front of it again.
    settings = " ".join(f"{name}={value}" for name, value in _settings(lines[0]))
    text = f"{settings} {lines[0].command.text}".strip()
    release = str(reports[0].facts.value("launch", "sglang") or "")
    new = rewritten(text, asked.actions.get(0, ()), release) if asked.actions else ""
    if args.format == "json":
        return common.emit(report._replace(fixed={"result": "shown", "line": redact(new), **_told(asked)}), args)
    status = common.emit(report, args)
    if args.format == "human":
        common.write("\n" + _lines(asked))
        common.write(clean(f"launch line:\n  {redact(new)}\n") if new else "Nothing to change by itself.\n")
    return status


def _settings(located: Located) -> list[tuple[str, str]]:
    from sgldoctor.actions.base import quote
    from sgldoctor.report.redact import redact_value

    return [(name, quote(redact_value(name, value)) if known else value)
            for name, value, known in located.command.environment]  # fmt: skip


def file(report: Report, reports: Sequence[Report], args: Namespace, judge: Judge) -> int:
    """Rewrite the file that holds the lines; returns the exit status: 0 only if it was written and is sound then.

    Raises:
        FixError: the file cannot be changed, or what would be written does not prove itself; nothing was changed.
    """
    from sgldoctor.actions import files as writing
    from sgldoctor.fix.launchfile import found, rewritten

    asked = wanted(reports, unsafe=args.unsafe, strict=args.strict)
    if args.format == "human":
        common.emit(report, args)
    if not asked.actions:
        return _end(report, args, {"result": "nothing to apply", **_told(asked)}, _lines(asked) + "Nothing to apply.\n")
    path = writing.followed(os.path.abspath(args.file))
    old = writing.read(path)
    if old is None:
        raise FixError(f"{args.file} is gone; nothing was changed")
    release = str(reports[0].facts.value("launch", "sglang") or "")
    new = rewritten(old, args.file, asked.actions, os.environ, release)
    after = judge(found(new, args.file, os.environ))
    _prove(reports, after, asked)
    difference = _difference(old, new, args.file)
    told = {"file": args.file, "diff": redact(difference), **_told(asked)}
    if args.format == "human":
        common.write("\n" + _lines(asked) + clean(redact(difference)))
    if args.dry_run:
        return _end(report, args, {"result": "dry run: nothing was changed", **told}, "dry run: nothing was changed\n")
    if not args.yes and not common.agreed(args):
        why = "not confirmed: nothing was changed (--yes agrees beforehand)"
        return _end(report, args, {"result": why, **told}, why + "\n")
    name, backup = _write(path, old, new, asked.why)
    from sgldoctor.preflight import together

    sound = together(after, common.options(args))
    results = [{**action.to_json(), "result": "done"} for one in asked.actions.values() for action in one]
    done = {"result": "verified", "id": name, "backup": backup, "results": results, **told}
    text = f"{args.file} is written, the former one is {backup}; 'sgldoctor undo {name}' takes it back.\n"
    if args.format == "human":
        if sound.causes:
            common.write("Afterwards:\n\n")
            common.emit(sound, args)
        common.write(text)
        return 0 if args.exit_zero else sound.exit_status
    return common.emit(sound._replace(fixed=done), args)


def _write(path: str, old: str, new: str, why: Sequence[str]) -> tuple[str, str]:
    """Write the file, after the journal and a copy of the former one; returns the repair's id and the copy's path."""
    from sgldoctor.actions import files as writing
    from sgldoctor.fix import journal, preflight
    from sgldoctor.folders import state_folder

    because = writing.check(path)
    if because:
        raise FixError(f"{because}; nothing was changed")
    folder = state_folder(os.environ)
    lock = preflight.lock(folder, path)
    try:
        if writing.read(path) != old:
            raise FixError(f"{path} was changed by somebody else meanwhile; nothing was changed: try again")
        name = journal.new_id()
        backup = f"{path}.sgldoctor-{name}"
        data = {"do": "write-file", "path": path, "before": old, "after": new, "backup": backup}
        journal.append(folder, {"id": name, "event": "begin", "prefix": path, "python": "", "file": path,
                                "why": list(why), "steps": [], "moves": [],
                                "before": {"site": "", "packages": {}, "leftovers": []}})  # fmt: skip
        journal.append(folder, {"id": name, "event": "action", "data": data})
        writing.write(backup, old, os.stat(path).st_mode & 0o777)
        writing.write(path, new)
        journal.append(folder, {"id": name, "event": "verified", "touched": []})
    finally:
        os.close(lock)
    return name, backup


def _prove(before: Sequence[Report], after: Sequence[Report], asked: Wanted) -> None:
    """Raise FixError unless all that was aimed at is gone and no error is new."""
    if len(before) != len(after):
        raise FixError("the file would hold another number of launch lines; nothing was changed")
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        known = {key(finding) for finding in old.findings}
        present = {key(finding): finding.title for finding in new.findings}
        still = [title for name, title in present.items() if (number, name) in asked.targets]
        added = [
            finding.title
            for finding in new.findings
            if finding.severity == "error" and finding.role == "cause" and key(finding) not in known
        ]
        if still or added:
            because = "; ".join([*(f"still there: {one}" for one in still), *(f"new: {one}" for one in added)])
            raise FixError(f"the change would not prove itself, nothing was changed: {because}")


def _difference(old: str, new: str, name: str) -> str:
    from difflib import unified_diff

    shown = name.lstrip("/")
    lines = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{shown}", f"b/{shown}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _told(asked: Wanted) -> dict[str, Any]:
    left = [{"title": one.title, "because": one.because, "advice": list(one.advice)} for one in asked.left]
    return {"actions": [action.to_json() for one in asked.actions.values() for action in one], "left": left}


def _lines(asked: Wanted) -> str:
    out = [f"  {title}" for title in asked.why]
    for one in asked.left:
        out.append(f"  not done: {one.title}: {one.because}")
        out += [f"    {line}" for advice in one.advice for line in advice.splitlines()]
    return redact(clean("\n".join([*(["Plan:"] if out else []), *out]) + ("\n" if out else "")))


def _end(report: Report, args: Namespace, fixed: dict[str, Any], text: str) -> int:
    if args.format == "json":
        return common.emit(report._replace(fixed=fixed), args)
    common.write(text)
    sys.stdout.flush()
    return 0 if args.exit_zero or report.status != PROBLEMS else report.exit_status
