"""The options of ``--fix`` and of the installer; what they do is in :mod:`sgldoctor.cli.repair`, imported when used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace, Parser
from sgldoctor.errors import FixError, UsageError
from sgldoctor.report.model import Report
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.fix.install import Settings
    from sgldoctor.probe.target import Target

FORMATS = (*common.FORMATS, "shell")
"""Formats of a command that can repair: with ``shell`` the plan is shown as a script."""
Again = Callable[["Target"], Report]
"""Examines once more: given the target with the variables as they are after the repair."""


def add_options(made: Parser) -> None:
    """Add ``--fix`` and the options that go with it."""
    group = made.add_argument_group("repair")
    group.add_argument("--fix", action="store_true", help="plan, ask, apply, and prove it by examining again")
    group.add_argument("--dry-run", action="store_true", help="with --fix: show the plan, change nothing")
    group.add_argument("--yes", action="store_true", help="with --fix: do not ask")
    group.add_argument("--unsafe", action="store_true", help="with --fix: also what is marked unsafe")
    group.add_argument(
        "--prefer",
        metavar="RULE",
        action="append",
        default=[],
        help="with --fix: this rule wins where repairs disagree",
    )
    add_installer(made)


def add_installer(made: Parser) -> None:
    """Add the options that choose and steer the installer."""
    group = made.add_argument_group("installer (the user's own settings of pip and uv count as well)")
    group.add_argument("--installer", choices=("auto", "uv", "pip"), default="auto", help="default: uv if it is there")
    group.add_argument("--find-links", metavar="DIR", action="append", default=[], help="also take wheels from here")
    group.add_argument("--no-index", action="store_true", help="take wheels from --find-links only")
    group.add_argument("--constraint", metavar="FILE", action="append", default=[], help="a constraint file")
    group.add_argument("--break-system-packages", action="store_true", help="change an environment of the system, too")


def settings(args: Namespace) -> Settings:
    """What the options say about the installer; raises UsageError for files that are not there."""
    from sgldoctor.fix.install import Settings

    places = []
    for place in args.find_links:
        if "://" not in place:
            if not os.path.exists(place):
                raise UsageError(f"--find-links {place}: no such folder")
            place = os.path.abspath(place)
        places.append(place)
    for path in args.constraint:
        if not os.path.isfile(path):
            raise UsageError(f"--constraint {path}: no such file")
    constraints = tuple(os.path.abspath(path) for path in args.constraint)
    return Settings(args.installer, tuple(places), args.no_index, constraints, args.break_system_packages)


def check_options(args: Namespace) -> None:
    """Raise UsageError where options for a repair are given without ``--fix``, or do not go together."""
    if not args.fix and (args.dry_run or args.yes or args.unsafe or args.prefer or args.format == "shell"):
        raise UsageError("--dry-run, --yes, --unsafe, --prefer and --format shell go with --fix")
    steered = args.installer != "auto" or args.find_links or args.no_index or args.constraint
    if not args.fix and (steered or args.break_system_packages):
        raise UsageError("the options of the installer (--installer, --find-links, --no-index, ...) go with --fix")
    if args.fix:
        settings(args)  # complains of files that are not there, also where nothing is to be repaired
    if args.format == "shell" and not args.dry_run:
        raise UsageError("--format shell shows a plan and changes nothing: say --dry-run as well")


def tell_unfinished(target: Target) -> None:
    """Say on standard error where an earlier repair of this environment was interrupted, and what can be done."""
    from sgldoctor.folders import state_folder

    folder = state_folder(target.environ)
    if not target.live or not os.path.exists(os.path.join(folder, "journal.jsonl")):
        return
    from sgldoctor.fix import journal
    from sgldoctor.report.redact import redact
    from sgldoctor.report.text import clean

    entry = journal.unfinished(folder, target.prefix)
    if entry is not None:
        text = f"an earlier repair of this environment was interrupted ({entry.id}: {entry.why})"
        print(
            f"sgldoctor: {redact(clean(text))}\n'sgldoctor undo {entry.id}' takes it back, 'sgldoctor check --fix' "
            "finishes it",
            file=sys.stderr,
        )


def repair(report: Report, target: Target, args: Namespace, again: Again) -> int:
    """Repair what ``report`` found in ``target``; see :func:`sgldoctor.cli.repair.repair`. Returns the exit status.

    A repair that is refused or taken back leaves the problems: status 1 in every format, with the reason.
    """
    from sgldoctor.cli.repair import repair as carry_out

    try:
        return carry_out(report, target, args, again)
    except FixError as error:
        if args.format == "json":
            common.emit(report._replace(fixed={"result": "failed", "because": str(error)}), args)
        print(f"sgldoctor: {error}", file=sys.stderr)
        return 1
