"""What every kind of action is and can do: :class:`Action`. The kinds are modules of :mod:`~sgldoctor.actions.kinds`.

An action is a value, and none of them ever goes through a shell. Before anything is done, ``prepare`` says what the way
back needs; that goes to the journal first, and ``undo`` works from it alone, in another process and also where the
action never happened.
"""

# ruff: noqa: ARG002, ARG003  one signature for all kinds

from __future__ import annotations

from collections.abc import Mapping

from sgldoctor.errors import FixError
from sgldoctor.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sgldoctor.actions.context import Context

PACKAGES = "packages"
"""What an action changes: the distributions of the environment, all planned and moved together (``fix/steps.py``)."""
LAUNCH = "launch line"
"""The command that starts the server, which is its author's to change (``fix/launchline.py``, ``launch --fix``)."""
VARIABLES = "variables"
"""The environment's own file of variables."""
FILES = "files"
"""Files of the user."""
SYSTEM = "system"
"""The machine: needs root, and ``--unsafe``."""
ADVICE = "advice"
"""Nothing: a person has to do it."""
SCOPES = (PACKAGES, LAUNCH, VARIABLES, FILES, SYSTEM, ADVICE)


class Place(NamedTuple):
    """Where a command is to run: the interpreter as the target sees it (``""`` in a pasted log), and the uv to use.

    ``uv`` is the word to type for uv, ``""`` for pip. ``root`` says that the reader is root, so that no sudo is shown.
    """

    python: str = ""
    uv: str = ""
    root: bool = False


ANYWHERE = Place()


class Ground(NamedTuple):
    """Where actions take place: the environment's prefix, the user's variables, the identity of the repair."""

    prefix: str
    environ: Mapping[str, str]
    id: str


Data = Mapping[str, Any]
"""What the journal holds of an action: plain values, with its kind under ``do``."""


class Action:
    """One step of a fix. The defaults are those of advice, and of what is carried out elsewhere (packages, flags).

    Attributes:
        do: the kind, as rules write it; its module has the same name.
        scope: what it changes, one of :data:`SCOPES`; the planner decides by it who may carry it out.
        keys: what a rule must write.
        further: what a rule may write besides.
    """

    __slots__ = ()
    do = ""
    scope = ADVICE
    keys: tuple[str, ...] = ()
    further: tuple[str, ...] = ("verify",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> Action:
        """The action of one table of a recipe, its placeholders filled and all that enters it validated.

        Raises:
            Refused: (:mod:`sgldoctor.actions.context`) why there is none; it becomes advice.
        """
        raise NotImplementedError(cls.__name__)

    def describe(self) -> str:
        """What it does, one sentence without a full stop."""
        raise NotImplementedError(type(self).__name__)

    def command(self, place: Place | None = None) -> str:
        """What a person would type, ready for a POSIX shell; ``""`` where there is no such command."""
        return ""

    def script(self, place: Place) -> list[str]:
        """The lines of a shell script that does it; empty where it is not done by one line after the other."""
        line = self.command(place)
        return [line] if line else []

    def to_json(self) -> dict[str, Any]:
        """Keys as in the report's contract, beginning with ``do``."""
        raise NotImplementedError(type(self).__name__)

    def check(self, ground: Ground) -> str:
        """Why the action cannot be done, ``""`` if it can."""
        return ""

    def prepare(self, ground: Ground) -> dict[str, Any]:
        """What the way back needs, as plain values."""
        return {}

    def apply(self, data: Data, ground: Ground) -> None:
        """Do it; raises FixError with the reason where it fails."""
        raise FixError(f"{self.do} is not done by the doctor")

    def verify(self, data: Data, ground: Ground) -> str:
        """Why it does not hold after it was done, ``""`` if it does."""
        return ""

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:
        """Take it back; returns what a person should know, ``""`` if nothing."""
        return ""

    @classmethod
    def finish(cls, data: Data) -> None:
        """What is only done once the repair is proven."""


def quote(*words: str) -> str:
    """The words as one shell line."""
    import shlex

    return " ".join(shlex.quote(word) for word in words)


def carried_out(argv: list[str], seconds: float) -> None:
    """Run a program, whose exit status is the proof; raises FixError with its last words where it is not 0."""
    from sgldoctor.probe.run import run

    ran = run(argv, seconds=seconds)
    if ran.status != 0:
        said = (ran.stderr or ran.stdout).strip().splitlines()[-3:]
        raise FixError(f"{' '.join(argv)}: {ran.because or ' '.join(said) or f'exit status {ran.status}'}")
