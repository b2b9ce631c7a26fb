"""Applying a plan, and the way back: each step announced in the journal before it is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from sgldoctor.actions.base import Ground
from sgldoctor.errors import FixError
from sgldoctor.fix import cached, effects, hashes, install, journal, sharing, snapshot
from sgldoctor.fix.install import Installer, Move
from sgldoctor.fix.journal import Entry
from sgldoctor.fix.marks import marks
from sgldoctor.fix.plan import Plan
from sgldoctor.fix.snapshot import State
from sgldoctor.fix.steps import Step, name_of
from sgldoctor.probe.run import Ran
from sgldoctor.probe.target import Target
from sgldoctor.typed import Any, NamedTuple

Say = Callable[[str], None]


class Work(NamedTuple):
    """What a repair needs: target, installer, the journal's folder, its identity, the descriptor of the lock."""

    target: Target
    installer: Installer | None
    folder: str
    id: str
    lock: int

    @property
    def ground(self) -> Ground:
        """Where its other actions take place."""
        return Ground(self.target.prefix, self.target.environ, self.id)


def apply(work: Work, plan: Plan, moves: Sequence[Move], before: State, say: Say) -> list[dict[str, Any]]:
    """Carry out a plan; returns one result for each step and action: ``do``, what, ``result``.

    Raises:
        FixError: something failed. What was done until then is in the journal; :func:`back` takes it back.
    """
    results: list[dict[str, Any]] = []
    if work.installer is not None:
        cached.fetch(work.installer, plan.steps, moves, work.folder, work.lock)
    journal.append(
        work.folder,
        {
            "id": work.id, "event": "begin", "prefix": work.target.prefix, "python": work.target.python,
            "stamp": snapshot.stamp(work.target.prefix),
            "why": list(plan.why), "steps": [step.to_json() for step in plan.steps],
            "moves": [list(move) for move in moves], "before": before.to_json(),
            "marks": marks(work.target, _names(plan.steps, moves)),
        },
    )  # fmt: skip
    for number, step in enumerate(plan.steps, 1):
        say(f"{step.verb} {', '.join(step.packages)}")
        journal.append(work.folder, {"id": work.id, "event": "step", "number": number, **step.to_json()})
        ran = _take(work, step)
        status = ran.status if ran.status is not None else ran.because
        journal.append(work.folder, {"id": work.id, "event": "done", "number": number, "status": status})
        results.append(
            {"do": step.verb, "packages": list(step.packages), "result": "done" if status == 0 else "failed"}
        )
        if status != 0:
            raise FixError(f"{step.verb} of {', '.join(step.packages)} failed:\n{install.last_words(ran)}")
    for action in plan.others:
        say(action.describe())
        data = effects.prepare(action, work.ground)
        journal.append(work.folder, {"id": work.id, "event": "action", "data": data})
        effects.apply(action, data, work.ground)
        results.append({**action.to_json(), "result": "done"})
    return results


def _names(steps: Sequence[Step], moves: Sequence[Move]) -> list[str]:
    return list(dict.fromkeys([*(name_of(text) for step in steps for text in step.packages), *(m.name for m in moves)]))


def _take(work: Work, step: Step) -> Ran:
    if work.installer is None:
        raise FixError("no installer was chosen")
    if step.reinstall and work.installer.kind == "uv":
        ran = cached.reinstall(work.installer, step, work.target, work.lock)
        if ran is not None:
            return ran
    return install.run(work.installer, work.installer.words(step), install.APPLY_SECONDS, (work.lock,))


def back(work: Work, entry: Entry, event: str, say: Say, *, everything: bool = False) -> list[str]:
    """Take a repair back, finished or not; returns what a person should know.

    Args:
        work: the way to install; its ``id`` is that of ``entry``.
        entry: the repair as the journal has it.
        event: what to write into the journal in the end: ``undone`` or ``rolled-back``.
        say: told what is being done.
        everything: whether all that differs from before goes back (at once, when nobody else can have changed
            anything), or only what the repair touched.

    Raises:
        FixError: the former versions cannot be had; the journal stays open, so that a later try is possible.
    """
    if work.installer is not None and not hashes.required(work.installer):
        # What was there before may be just what a constraint forbids.
        free = work.installer._replace(settings=work.installer.settings._replace(constraints=()))
        work = work._replace(installer=free)
    notes: list[str] = []
    for line in reversed(entry.events):
        if line.get("event") == "action":
            note = effects.undo(line["data"], work.ground)
            if note:
                notes.append(note)
    before = snapshot.from_json(entry.begun["before"])
    if entry.begun.get("steps"):
        _tidy(work.target, before, snapshot.take(work.target))
        only = None if everything else entry.touched
        steps, lost = steps_back(work, entry, everything=everything)
        notes += [f"{name} cannot be brought back by an installer" for name in lost]
        if work.installer is not None:
            installer = hashes.handed_on(work.installer, steps, work.folder)
            work = work._replace(installer=install.placed(installer, steps))
        for step in steps:
            say(f"{step.verb} {', '.join(step.packages)}")
            ran = _take(work, step)
            if ran.status != 0:
                raise FixError(
                    f"taking back {entry.id} failed at: {step.verb} {', '.join(step.packages)}\n"
                    f"{install.last_words(ran)}\nTry again with 'sgldoctor undo {entry.id}'"
                )
        differs = snapshot.back(before, snapshot.take(work.target), only)
        if differs.uninstall or differs.install:
            named = ", ".join([*differs.uninstall, *differs.install])
            raise FixError(f"{entry.id} is not wholly taken back; differing: {named}")
    journal.append(work.folder, {"id": entry.id, "event": event})
    return notes


def steps_back(work: Work, entry: Entry, *, everything: bool = False) -> tuple[list[Step], tuple[str, ...]]:
    """The steps from what is installed now to what was before a repair, and what no installer can bring back."""
    target = work.target
    before = snapshot.from_json(entry.begun["before"])
    if not entry.begun.get("steps"):
        return [], ()
    only = None if everything else entry.touched
    now = snapshot.take(target)
    difference = snapshot.back(before, now, only)
    wanted = {name_of(text): text for text in difference.install}
    pairs = sharing.sharers(target, difference.uninstall, [name for name in wanted if name in now.packages])
    interrupted = [name for name, same in _of_steps(entry, target).items() if not same]
    for name in [*interrupted, *(name for name, _ in pairs)]:
        held = before.packages.get(name)
        if held is not None and name in now.packages and not held.editable:
            wanted.setdefault(name, snapshot.requirement(name, held))
    steps = []
    if difference.uninstall:
        steps.append(Step("uninstall", difference.uninstall))
    if wanted:
        steps.append(Step("install", tuple(wanted.values()), deps=False, reinstall=True))
    return steps, difference.lost


def untouched(work: Work, entry: Entry) -> bool:
    """Whether a repair that failed had changed nothing yet: all that it is about is there, with the files of before."""
    if any(line.get("event") == "action" for line in entry.events):
        return False
    names = _of_steps(entry, work.target)
    return all(names.values()) and steps_back(work, entry, everything=True) == ([], ())


def _of_steps(entry: Entry, target: Target) -> dict[str, bool]:
    """Distributions of a step that has begun and not ended well, and whether the files of each are just as before.

    A download that fails comes before anything is changed; otherwise files may be half there.
    """
    ended = {line.get("number") for line in entry.events if line.get("event") == "done" and line.get("status") == 0}
    open_steps = [line for line in entry.events if line.get("event") == "step" and line.get("number") not in ended]
    if not open_steps:
        return {}
    names = [name_of(text) for line in open_steps for text in line.get("packages", [])]
    names += [str(move[0]) for move in entry.begun.get("moves", [])]
    noted = entry.begun.get("marks") or {}
    now = marks(target, noted)
    return {name: name in now and now[name] == noted.get(name) for name in names}


def _tidy(target: Target, before: State, now: State) -> None:
    """Remove what a killed installer left half done: ``~name`` folders, and dist-info folders without a RECORD.

    Without a RECORD neither pip nor uv can remove or replace a distribution; only what was not there before goes.
    """
    import shutil

    doomed = [os.path.join(now.site, name) for name in now.leftovers if name not in before.leftovers]
    broken = {name for name, entry in now.packages.items() if not entry.whole}
    broken -= {name for name, entry in before.packages.items() if not entry.whole}
    doomed += [folder for folder, name in sharing.dist_infos(target) if name in broken]
    for path in doomed:
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        else:
            shutil.rmtree(path, ignore_errors=True)


def finish(work: Work, entry: Entry, event: str, *, healthy: bool = False) -> None:
    """Close a repair in the journal; what waited for the proof is done now."""
    for line in entry.events:
        if line.get("event") == "action":
            effects.finish(line["data"])
    # What an interrupted repair has begun is finished where all is well now: it is open no more, and can be undone.
    for earlier in journal.read(work.folder) if healthy else ():
        if earlier.prefix == entry.prefix and not earlier.end and earlier.id != entry.id:
            journal.append(work.folder, {"id": earlier.id, "event": "kept", "by": entry.id})
    before = snapshot.from_json(entry.begun["before"])
    touched = {*entry.touched}
    try:
        touched.update(snapshot.changed(before, snapshot.take(work.target)))
    except FixError:  # what was named beforehand has to do: the repair itself is done and proved
        pass
    journal.append(work.folder, {"id": entry.id, "event": event, "touched": sorted(touched)})


def entry_of(folder: str, name: str) -> Entry:
    """The journal's view of a repair that is under way."""
    return next(entry for entry in journal.read(folder) if entry.id == name)
