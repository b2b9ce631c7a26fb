"""A plan as text, as JSON, and as a script that a person can read and run elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.actions.base import VARIABLES, Place, quote
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.plan import Change, Plan
from sgldoctor.fix.sizes import shown
from sgldoctor.report.redact import redact
from sgldoctor.report.text import clean
from sgldoctor.typed import Any

ENV_FILE = "sgldoctor-env.sh"
"""Where a script leaves the variables."""


def table(plan: Plan, moves: Sequence[Move] | None = None) -> list[str]:
    """The plan, line by line; ``moves`` is what the installer says that it would do."""
    lines: list[str] = []
    rows = changes(plan, moves)
    if rows:
        cells = [("package", "now", "then", "download", "why")]
        cells += [(row.name, row.now, row.then, shown(row.size), row.why) for row in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        columns = [column for column in range(4) if column != 3 or any(row.size for row in rows)]
        lines += [
            "  " + "  ".join([*(f"{row[column]:<{widths[column]}}" for column in columns), row[4]]) for row in cells
        ]
        if sum(row.size for row in rows) and len(rows) > 1:
            lines.append(f"  at most {shown(sum(row.size for row in rows))} to download; what is in the cache is not")
    lines += [f"  {line}" for action in plan.others for line in action.describe().splitlines()]
    lines += [f"  note: {note}" for note in plan.notes]
    for entry in plan.left:
        lines.append(f"  not done: {entry.title}: {entry.because}")
        lines += [f"    {line}" for advice in entry.advice for line in advice.splitlines()]
    if plan.launch:
        lines.append(f"  launch line: {plan.launch}")
    return [redact(clean(line.rstrip())) for line in lines]


def changes(plan: Plan, moves: Sequence[Move] | None = None) -> list[Change]:
    """The table's rows: what was asked for, then what the installer moves besides.

    Where the installer was asked, what it would leave alone is no change.
    """
    if moves is None:
        return list(plan.changes)
    touched = {move.name for move in moves}
    rows = {change.name: change for change in plan.changes if change.name in touched}
    for move in moves:
        asked = rows.get(move.name)
        if asked is None:
            if move.now != move.then:
                rows[move.name] = Change(move.name, move.now or "-", move.then or "-", "required by the others")
        elif move.then and not asked.then.startswith(move.then):
            rows[move.name] = asked._replace(then=move.then)
    for move in moves:
        if move.name in rows and move.size:
            rows[move.name] = rows[move.name]._replace(size=move.size)
    return list(rows.values())


def to_json(plan: Plan, moves: Sequence[Move] | None = None) -> dict[str, Any]:
    """The plan for the report's key ``fixed``."""
    return {
        "changes": [change._asdict() for change in changes(plan, moves)],
        "actions": [action.to_json() for action in plan.others],
        "notes": list(plan.notes),
        **({"launch": plan.launch} if plan.launch else {}),
        "left": [{"title": entry.title, "because": entry.because, "advice": list(entry.advice)} for entry in plan.left],
    }


def script(plan: Plan, installer: Installer | None, place: Place) -> str:
    """A POSIX shell script that does what the plan does, to read, and to run where the doctor is not."""
    lines = ["#!/bin/sh", "# Made by sgldoctor: read it before you run it.", "set -eu"]
    lines += [f"# {_comment(title)}" for title in plan.why]
    for step in plan.steps:
        words = installer.words(step) if installer is not None else _generic(step)
        lines.append(quote(*words))
    for action in plan.others:
        lines += action.script(place) or ([] if action.scope == VARIABLES else [f"# {_comment(action.describe())}"])
    settings = [action.command(place) for action in plan.others if action.scope == VARIABLES]
    if settings:
        lines.append(f"# Variables: source ./{ENV_FILE} in the shell that starts the server.")
        lines.append(f"printf '%s\\n' {quote(*settings)} > {ENV_FILE}")
    if plan.launch:
        lines.append(f"# launch line: {_comment(plan.launch)}")
    for entry in plan.left:
        lines.append(f"# not done: {_comment(entry.title)}: {_comment(entry.because)}")
        lines += [f"#   {_comment(line)}" for advice in entry.advice for line in advice.splitlines()]
    return redact(clean("\n".join(lines) + "\n"))


def _generic(step: Any) -> list[str]:
    words = ["python3", "-m", "pip", step.verb, *(["-y"] if step.verb == "uninstall" else [])]
    if step.verb == "install":
        words += ["--force-reinstall"] if step.reinstall else []
        words += [] if step.deps else ["--no-deps"]
    return [*words, *step.packages]


def _comment(text: str) -> str:
    return " ".join(clean(text).split())
