"""``sgldoctor undo``: take back a repair."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import FixError, UsageError
from sgldoctor.report.text import clean
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.fix.journal import Entry

EPILOG = """examples:
  sgldoctor undo --list                        what was repaired, when, and how it ended
  sgldoctor undo                               take back the last repair of the active environment, after asking
  sgldoctor undo --yes                         the same without a question
  sgldoctor undo 20261124-021500-3f2a          take back this one, of whichever environment or file
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    from sgldoctor.cli import fix

    made = common.parser(
        "undo", "Take back a repair: the versions, variables and files noted before it.", EPILOG, common.PLAIN
    )
    made.add_argument("id", metavar="ID", nargs="?", help="the repair, as --list names it (default: the last one)")
    made.add_argument("--list", action="store_true", help="list the repairs")
    made.add_argument("--dry-run", action="store_true", help="only say what would be done")
    made.add_argument("--yes", action="store_true", help="do not ask (without a terminal nothing is asked)")
    common.environment(made)
    fix.add_installer(made)
    args = made.parse_args(arguments)
    from sgldoctor.fix import journal
    from sgldoctor.folders import state_folder

    folder = state_folder(os.environ)
    if args.id == "":  # an empty variable of a script: the last repair is not what it asked for
        raise UsageError("'' is no repair; 'sgldoctor undo --list' shows them")
    if args.list and args.id:
        raise UsageError("--list shows all repairs: leave out the ID")
    if args.list:
        return _list(journal.read(folder), args.format)
    prefix = "" if args.id else common.target(args).prefix
    entry = journal.undoable(folder, prefix, args.id or "")
    if entry.begun.get("file"):
        return _file(folder, entry, args)
    return environment(folder, entry, args, agreed=_agreed)


def environment(
    folder: str, entry: Entry, args: Namespace, *, agreed: Callable[[Entry, Sequence[str], Namespace], bool]
) -> int:
    """Take back a repair of an environment, finished or not; returns the exit status.

    Args:
        folder: of the journal.
        entry: the repair.
        args: with the options of the installer and ``format``.
        agreed: asked before anything changes, with what would be done.

    Raises:
        FixError: it cannot be taken back, or not wholly; the journal stays open then.
    """
    from sgldoctor.cli import fix
    from sgldoctor.fix import install, preflight, snapshot, transaction
    from sgldoctor.probe.environments import find

    target = find(entry.python, None, None, os.environ)
    if target.prefix != entry.prefix:
        raise FixError(f"{entry.python} is not the interpreter of {entry.prefix} any more")
    if entry.begun.get("stamp", 0) != snapshot.stamp(target.prefix):
        raise FixError(f"{target.prefix} was made anew since {entry.id}: what was there before is not its former state")
    installer = None
    if entry.begun.get("steps"):
        installer = install.choose(target, fix.settings(args), "pip" in snapshot.take(target).packages)
    work = transaction.Work(target, installer, folder, entry.id, -1)
    steps, lost = transaction.steps_back(work, entry)
    lines = [f"{step.verb} {', '.join(step.packages)}" for step in steps]
    lines += [f"cannot be brought back by an installer: {name}" for name in lost]
    lines += [f"take back: {line['data']['do']}" for line in entry.events if line.get("event") == "action"]
    if args.dry_run:
        text = "\n".join([f"{entry.id}: {entry.why}", *(lines or ["nothing differs"])])
        return _told(entry, "dry run: nothing was changed", lines, (), args.format, text)
    if not agreed(entry, lines, args):
        return 1
    lock = preflight.lock(folder, target.prefix)
    say = (lambda text: common.write(clean(text) + "\n")) if args.format == "human" else (lambda _: None)
    try:
        notes = transaction.back(work._replace(lock=lock), entry, "undone", say)
    finally:
        os.close(lock)
    text = "\n".join([*(f"note: {note}" for note in notes), f"{entry.id} is taken back: {entry.why}"])
    return _told(entry, "undone", lines, notes, args.format, text)


def _agreed(entry: Entry, lines: Sequence[str], args: Namespace) -> bool:
    """Whether a person at a terminal agrees to what would be done; elsewhere the command itself says so."""
    if args.yes or not common.can_ask(args):
        return True
    common.write(clean("\n".join([f"{entry.id}: {entry.why}", *(lines or ["nothing differs"])])) + "\n")
    if common.agreed(args, "Take it back?"):
        return True
    common.write("nothing was changed\n")
    return False


def _told(entry: Entry, result: str, done: Sequence[str], notes: Sequence[str], form: str, text: str) -> int:
    """What was done, for a person or as one JSON object; always status 0."""
    if form == "json":
        import json

        row = {"id": entry.id, "result": result, "prefix": entry.prefix, "why": entry.begun.get("why", []),
               "done": list(done), "notes": list(notes)}  # fmt: skip
        text = json.dumps(row, indent=1)
        common.write(text + "\n")
    else:
        common.write(clean(text) + "\n")
    return 0


def _file(folder: str, entry: Entry, args: Namespace) -> int:
    """Put back a file that ``launch --fix`` has written."""
    from sgldoctor.actions.base import Ground
    from sgldoctor.fix import effects, journal, preflight

    form = args.format
    what = [f"take back: {entry.prefix} as it was before"]
    if args.dry_run:
        return _told(entry, "dry run: nothing was changed", what, (), form, f"{entry.id}: {entry.why}\n{what[0]}")
    if not _agreed(entry, what, args):
        return 1
    lock = preflight.lock(folder, entry.prefix)
    try:
        ground = Ground("", os.environ, entry.id)
        done = [line["data"] for line in entry.events if line.get("event") == "action"]
        notes = [note for data in reversed(done) if (note := effects.undo(data, ground))]
        if notes:
            raise FixError("; ".join(notes))
        journal.append(folder, {"id": entry.id, "event": "undone", "touched": []})
    finally:
        os.close(lock)
    return _told(entry, "undone", what, (), form, f"{entry.id} is taken back: {entry.prefix} is as it was before")


def _list(found: list[Entry], form: str) -> int:
    if form == "json":
        import json

        rows = [
            {"id": entry.id, "time": entry.begun.get("time"), "prefix": entry.prefix, "why": entry.begun.get("why", []),
             "end": entry.end or "unfinished"}
            for entry in found
        ]  # fmt: skip
        common.write(json.dumps(rows, indent=1) + "\n")
        return 0
    for entry in found:
        common.write(clean(f"{entry.id}  {entry.end or 'UNFINISHED':<11}  {entry.prefix}  {entry.why}") + "\n")
    if not found:
        common.write("no repairs\n")
    return 0
