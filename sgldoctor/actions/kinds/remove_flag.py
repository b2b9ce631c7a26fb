"""``remove-flag``: a flag of the launch line that has to go."""

from __future__ import annotations

from sgldoctor.actions.base import LAUNCH, Action
from sgldoctor.actions.context import Context
from sgldoctor.actions.kinds.set_flag import flag
from sgldoctor.typed import Any, NamedTuple


class _RemoveFlag(NamedTuple):
    flag: str


class RemoveFlag(_RemoveFlag, Action):
    """Take a flag, with its values, out of the launch line."""

    __slots__ = ()
    do = "remove-flag"
    scope = LAUNCH
    keys = ("flag",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> RemoveFlag:
        """A flag that the release does not have is just the one to remove: no look at its list."""
        return cls(flag(str(table["flag"]), context))

    def describe(self) -> str:
        """Which flag."""
        return f"start the server without {self.flag}"

    def to_json(self) -> dict[str, Any]:
        """``flag`` and ``text``."""
        return {"do": self.do, "flag": self.flag, "text": self.describe()}
