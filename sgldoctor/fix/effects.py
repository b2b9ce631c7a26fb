"""Actions other than packages: done with the journal in between, and taken back from it alone.

What each kind does is its own module's (:mod:`sgldoctor.actions.kinds`). Packages are the transaction's
(:mod:`~sgldoctor.fix.transaction`), flags are the launch file's (:mod:`~sgldoctor.fix.launchfile`).
"""

from __future__ import annotations

from sgldoctor.actions import kind
from sgldoctor.actions.base import Action, Data, Ground
from sgldoctor.errors import FixError
from sgldoctor.typed import Any


def prepare(action: Action, ground: Ground) -> dict[str, Any]:
    """What the journal must hold for the way back, as plain values with the key ``do``."""
    return {"do": action.do, **action.prepare(ground)}


def apply(action: Action, data: Data, ground: Ground) -> None:
    """Do it, and see that it holds; raises FixError with the reason where it fails."""
    action.apply(data, ground)
    because = action.verify(data, ground)
    if because:
        raise FixError(because)


def undo(data: Data, ground: Ground) -> str:
    """Take an action back; returns what a person should know, ``""`` if nothing. Also right where it never happened."""
    done = _known(data)
    if done is None:
        return f"this version does not know how to take back {data['do']!r}: it is left as it is"
    return done.undo(data, ground)


def finish(data: Data) -> None:
    """What is only done once the repair is proven: an emptied cache is really deleted."""
    done = _known(data)
    if done is not None:
        done.finish(data)


def _known(data: Data) -> type[Action] | None:
    """The kind of what a journal holds; None where a newer doctor wrote it."""
    try:
        return kind(str(data["do"]))
    except KeyError:
        return None
