"""``unset-env``: a variable to be taken away, which the environment's own file of variables says."""

from __future__ import annotations

from sgldoctor.actions.base import Place
from sgldoctor.actions.context import Context
from sgldoctor.actions.kinds.set_env import Variable, variable
from sgldoctor.typed import Any, NamedTuple


class _UnsetEnv(NamedTuple):
    name: str


class UnsetEnv(_UnsetEnv, Variable):
    """Take a variable away."""

    __slots__ = ()
    do = "unset-env"
    keys = ("name",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> UnsetEnv:
        """A name that may be taken away."""
        return cls(variable(table, context))

    @property
    def line(self) -> tuple[str, str | None]:
        """The variable, without a value."""
        return self.name, None

    def describe(self) -> str:
        """The name."""
        return f"unset {self.name}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """An ``unset`` line."""
        return f"unset {self.name}"

    def to_json(self) -> dict[str, Any]:
        """``name`` and ``command``."""
        return {"do": self.do, "name": self.name, "command": self.command()}
