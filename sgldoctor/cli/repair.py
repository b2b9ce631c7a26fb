"""Carrying out ``--fix``: plan, ask, apply, prove, or take back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial

from sgldoctor.actions import variables
from sgldoctor.actions.base import Ground, Place, quote
from sgldoctor.cli import common
from sgldoctor.cli.fix import Again, settings
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import DoctorError, FixError
from sgldoctor.fix import hashes, install, journal, preflight, sharing, sizes, snapshot, transaction
from sgldoctor.fix import plan as planning
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.plan import Plan
from sgldoctor.fix.steps import Step, name_of
from sgldoctor.fix.tools import word_for_uv
from sgldoctor.fix.transaction import Work
from sgldoctor.fix.verify import Verdict, verify
from sgldoctor.folders import state_folder
from sgldoctor.probe.target import Target
from sgldoctor.report import plan as show
from sgldoctor.report.model import EXIT, PROBLEMS, UNKNOWN, Report, key
from sgldoctor.typed import Any, NamedTuple


class Prepared(NamedTuple):
    """A plan that the installer has agreed to; ``installer`` is None where there are no packages to change."""

    plan: Plan
    installer: Installer | None
    moves: tuple[Move, ...]
    before: snapshot.State
    warnings: tuple[str, ...]


def repair(report: Report, target: Target, args: Namespace, again: Again) -> int:
    """Repair what ``report`` found in ``target``; returns the exit status.

    Args:
        report: the examination; its causes of severity error are repaired (warnings too with ``--strict``).
        target: the environment to change.
        args: with the options of :func:`add_options`.
        again: examines once more; given the target with the variables as they are after the repair.

    Raises:
        FixError: refused before anything changed, or taken back.
    """
    quiet = args.format != "human"
    plan = _plan(report, target, args)
    if args.format == "shell":
        sys.stdout.write(_script(plan, target, report, args))
        return 0 if args.exit_zero else report.exit_status
    if plan.empty:
        if not _go_on(target, args, quiet, "keep it as it is"):
            return 1
        _close_unfinished(report, target, args)
        note = {"result": "nothing to apply", **show.to_json(plan)}
        status = common.emit(report._replace(fixed=note), args)
        head = "Nothing that the doctor may repair by itself." if report.causes else "Nothing to repair."
        _say_plan(head, plan, None, (), quiet)
        return status
    if not quiet:
        common.emit(report, args)
    if not target.live:
        raise FixError("an unpacked image (--root) is only examined: run the commands of the report inside it")
    if not _go_on(target, args, quiet, "finish it"):
        return 1
    prepared = _prepare(plan, target, report, args)
    _say_plan("Plan:", prepared.plan, prepared.moves, prepared.warnings, quiet)
    if args.dry_run:
        return _stop(report, args, prepared, "dry run: nothing was changed", quiet)
    if not args.yes and not common.agreed(args):
        return _stop(report, args, prepared, "not confirmed: nothing was changed (--yes agrees beforehand)", quiet)
    return _carry_out(report, target, args, again, prepared, quiet)


def _plan(report: Report, target: Target, args: Namespace) -> Plan:
    from sgldoctor.derive.pins import pin

    severities = ("error", "warning") if args.strict else planning.FIXABLE
    return planning.make(
        report.findings, lambda finding: report.fixes.get(key(finding), ()), report.facts,
        lambda name: pin(name, report.facts), unsafe=args.unsafe, root=_is_root(), severities=severities,
        prefer=args.prefer, sharers=partial(sharing.sharers, target),
    )  # fmt: skip


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _script(plan: Plan, target: Target, report: Report, args: Namespace) -> str:
    installer = install.choose(target, settings(args), _has_pip(report)) if plan.steps else None
    word = word_for_uv(target.environ)
    if installer is not None and target.live:
        installer = install.placed(installer, plan.steps)
    if installer is not None and installer.kind == "uv":
        installer = installer._replace(argv=(word, "pip"))  # to be run elsewhere: "uv" rather than where it lies here
    python = installer.python if installer is not None else target.python
    return show.script(plan, installer, Place(python, word, _is_root()))


def _has_pip(report: Report) -> bool:
    return any(row.get("name") == "pip" for row in report.facts.rows("packages"))


def _prepare(plan: Plan, target: Target, report: Report, args: Namespace) -> Prepared:
    """Everything that can be found out before anything is touched; raises FixError for what forbids the repair."""
    before = snapshot.take(target)
    installer = None
    moves: tuple[Move, ...] = ()
    warnings: list[str] = []
    if plan.steps:
        if "sglang" not in before.packages and not any(name_of(text) == "sglang" for step in plan.steps
                                                       for text in step.packages):  # fmt: skip
            raise FixError(
                f"SGLang is not installed in the environment of {target.python}: nothing is installed there. Name the "
                "environment of the server with --python or --venv"
            )
        installer = install.choose(target, settings(args), _has_pip(report))
        preflight.refuse(target, report.facts, installer, before)
        installer, steps = hashes.pinned(installer, plan.steps, state_folder(target.environ))
        plan = plan._replace(steps=steps)
        installer = install.constrained(installer, plan.steps, report.facts, state_folder(target.environ))
        installer = install.placed(installer, plan.steps)
        versions = {name: entry.version for name, entry in before.packages.items()}
        moves = install.resolve(installer, plan.steps, versions)
        plan, installer, moves = _with_sharers(plan, moves, target, installer, versions)
        preflight.refuse_moves(moves, before)
        if not args.unsafe:
            preflight.refuse_torch(moves, plan.steps)
        moves = sizes.sized(installer, moves, state_folder(target.environ))
        warnings += hashes.no_way_back(installer, moves)
        warnings += [
            f"process {pid} uses this environment: restart it afterwards ({command})"
            for pid, command in preflight.users(target)
        ]
    ground = Ground(target.prefix, target.environ, "")
    for action in plan.others:
        because = action.check(ground)
        if because:
            raise FixError(f"cannot {action.describe()}: {because}; nothing was changed")
    return Prepared(plan, installer, moves, before, tuple(warnings))


def _with_sharers(
    plan: Plan, moves: tuple[Move, ...], target: Target, installer: Installer, versions: dict[str, str]
) -> tuple[Plan, Installer, tuple[Move, ...]]:
    """Also reinstall what shares files with a distribution that only the installer's answer says is replaced."""
    named = {name_of(text) for step in plan.steps for text in step.packages}
    moved = {move.name for move in moves}
    replaced = [move.name for move in moves if move.name not in named and move.now and move.then != move.now]
    pairs = [pair for pair in sharing.sharers(target, (), replaced) if pair[0] not in moved and pair[0] in versions]
    if not pairs:
        return plan, installer, moves
    step = Step("install", tuple(dict.fromkeys(f"{name}=={versions[name]}" for name, _ in pairs)), False, True)
    installer, steps = hashes.pinned(installer, (*plan.steps, step), state_folder(target.environ))
    more = install.resolve(installer, (step,), versions)
    changes = [
        planning.Change(move.name, move.now, f"{move.then} (reinstalled)", "its files go with another package")
        for move in more
    ]
    notes = [f"{name} shares files with {other}, which is replaced: it is reinstalled" for name, other in pairs]
    plan = plan._replace(steps=steps, changes=(*plan.changes, *changes), notes=(*plan.notes, *notes))
    return plan, installer, (*moves, *more)


def _carry_out(report: Report, target: Target, args: Namespace, again: Again, prepared: Prepared, quiet: bool) -> int:
    folder = state_folder(target.environ)
    lock = preflight.lock(folder, target.prefix)
    try:
        work = Work(target, prepared.installer, folder, journal.new_id(), lock)
        if prepared.plan.steps and snapshot.take(target) != prepared.before:
            raise FixError("the environment was changed by somebody else meanwhile; nothing was changed: try again")
        try:
            results = transaction.apply(work, prepared.plan, prepared.moves, prepared.before, _speaker(quiet))
        except (FixError, KeyboardInterrupt) as error:
            because = str(error) or "interrupted"
            try:
                done = _roll_back(work, quiet, because)
            except FixError as second:
                raise FixError(f"the repair failed: {because}\nTaking it back failed, too: {second}") from error
            ended = "nothing had been changed yet" if done is None else "it was taken back"
            raise FixError(f"the repair failed; {ended}\n{because}") from error
        held = variables.load(variables.path_of(target.prefix, target.environ))
        try:
            after = again(target._replace(environ=variables.applied(target.environ, held)))
        except (DoctorError, KeyboardInterrupt) as error:
            raise FixError(
                f"the repair was applied, but could not be proven: {str(error) or 'interrupted'}\n"
                f"'sgldoctor undo {work.id}' takes it back"
            ) from error
        verdict = verify(report.findings, after.findings, prepared.plan.targets, (report.facts, after.facts))
        return _conclude(work, report, after, verdict, prepared, results, args, quiet)
    finally:
        os.close(lock)


def _conclude(
    work: Work, report: Report, after: Report, verdict: Verdict, prepared: Prepared, results: list[dict[str, Any]],
    args: Namespace, quiet: bool,
) -> int:  # fmt: skip
    fixed = {
        "id": work.id, **show.to_json(prepared.plan, prepared.moves), "results": results,
        "gone": list(verdict.gone), "unseen": list(verdict.unseen), "still": list(verdict.still),
        "new": list(verdict.new),
    }  # fmt: skip
    if verdict.proven:
        result = "applied" if verdict.unseen else "verified"
        entry = transaction.entry_of(work.folder, work.id)
        transaction.finish(work, entry, "kept" if verdict.unseen else "verified", healthy=after.status != PROBLEMS)
        status = common.emit(after._replace(fixed={"result": result, **fixed}), args)
        if verdict.unseen:
            _speaker(quiet)(f"Applied. Only the next start can prove: {'; '.join(verdict.unseen)}")
            status = status or (0 if args.exit_zero else EXIT[UNKNOWN])
        _speaker(quiet)(
            f"{'Repaired and verified' if not verdict.unseen else 'Nothing got worse'}; "
            f"'sgldoctor undo {work.id}' takes it back."
        )
        if any(action.do.endswith("-env") for action in prepared.plan.others):
            named = f" --python {quote(work.target.python)}" if work.target.chosen.startswith("--") else ""
            _speaker(quiet)(f"Variables are set by: source <(sgldoctor env{named})")
        return status
    because = "; ".join(
        [f"still there: {title}" for title in verdict.still]
        + [f"new: {title}" for title in verdict.new]
        + ([f"violated requirements: {verdict.pins[0]} before, {verdict.pins[1]} after"]
           if verdict.pins[1] > verdict.pins[0] else [])
    )  # fmt: skip
    notes = _roll_back(work, quiet, because) or []
    fixed |= {"result": "rolled back", "because": because, "notes": notes}
    status = common.emit(report._replace(fixed=fixed), args)
    _speaker(quiet)(f"The repair did not prove itself and was taken back: {because}")
    return status or 1


def _roll_back(work: Work, quiet: bool, because: str) -> list[str] | None:
    """Take a repair back; returns what a person should know, None where nothing had been changed."""
    entry = next((entry for entry in journal.read(work.folder) if entry.id == work.id), None)
    if entry is None:
        return None  # not even the first line of the journal could be written: nothing was begun
    if transaction.untouched(work, entry):
        journal.append(work.folder, {"id": work.id, "event": "rolled-back"})
        return None
    _speaker(quiet)(f"taking it back: {because.splitlines()[0] if because else 'interrupted'}")
    return transaction.back(work, entry, "rolled-back", _speaker(quiet), everything=True)


def _stop(report: Report, args: Namespace, prepared: Prepared, why: str, quiet: bool) -> int:
    fixed = {"result": why, **show.to_json(prepared.plan, prepared.moves), "warnings": list(prepared.warnings)}
    if quiet:
        return common.emit(report._replace(fixed=fixed), args)
    common.write(why + "\n")
    return 0 if args.exit_zero else report.exit_status


def _speaker(quiet: bool) -> Callable[[str], None]:
    """Progress goes to standard output for people, to standard error where that holds a report for machines."""
    stream = sys.stderr if quiet else sys.stdout

    def say(text: str) -> None:
        from sgldoctor.report.redact import redact
        from sgldoctor.report.text import clean

        stream.write(redact(clean(text)) + "\n")
        stream.flush()

    return say


def _say_plan(head: str, plan: Plan, moves: tuple[Move, ...] | None, warnings: tuple[str, ...], quiet: bool) -> None:
    if quiet:
        return
    lines = [*show.table(plan, moves), *(f"  warning: {warning}" for warning in warnings)]
    for line in ["", head, *lines]:
        _speaker(quiet)(line)


def _go_on(target: Target, args: Namespace, quiet: bool, what: str) -> bool:
    """Tell of an earlier repair that was interrupted; False where a person does not want to go on with a new one.

    A person at a terminal is asked: go on (``what``), take it back, which is done here, or leave all as it is.
    """
    folder = state_folder(target.environ)
    entry = journal.unfinished(folder, target.prefix) if target.live else None
    if entry is None:
        return True
    _speaker(quiet)(
        f"An earlier repair of this environment was interrupted ({entry.id}: {entry.why}). "
        f"'sgldoctor undo {entry.id}' takes it back; a repair now finishes it."
    )
    if args.yes or args.dry_run or not common.can_ask(args):
        return True
    said = common.answer(f"f: {what}, t: take it back, anything else: leave all as it is [f/t/N]")
    if said in ("t", "take it back"):
        from sgldoctor.cli import undo

        undo.environment(folder, entry, args, agreed=lambda *_: True)
        return False
    if said not in ("f", what):
        common.write("nothing was changed\n")
        return False
    return True


def _close_unfinished(report: Report, target: Target, args: Namespace) -> None:
    """Where nothing is wrong any more, an interrupted repair is over: it had done all, or somebody else has."""
    folder = state_folder(target.environ)
    entry = journal.unfinished(folder, target.prefix) if target.live else None
    broken = any(finding.role == "cause" and finding.severity == "error" for finding in report.findings)
    if entry is not None and not broken and not args.dry_run and (args.yes or common.can_ask(args)):
        journal.append(folder, {"id": entry.id, "event": "kept"})
