"""``manual``: advice, with a command that is shown and never run."""

from __future__ import annotations

from sgldoctor.actions import validate
from sgldoctor.actions.base import ADVICE, Action, Place
from sgldoctor.actions.context import Context
from sgldoctor.template import names
from sgldoctor.typed import Any, NamedTuple


class _Manual(NamedTuple):
    text: str
    shown: str = ""


class Manual(_Manual, Action):
    """Advice. ``shown`` is a command to show; it is never run."""

    __slots__ = ()
    do = "manual"
    scope = ADVICE
    keys = ("text",)
    further = ("command",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> Manual:
        """Advice is text: placeholders may stay unknown, and nothing of it is ever run."""
        text, _ = context.filled(str(table["text"]))
        template = str(table.get("command", ""))
        shown, missing = context.filled(template)
        harmless = all(validate.WORD.fullmatch(context.filled("{" + name + "}")[0]) for name in names(template))
        return cls(text, shown if harmless and not missing else "")

    def describe(self) -> str:
        """The advice."""
        return self.text

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """The command to show, if there is one."""
        return self.shown

    def to_json(self) -> dict[str, Any]:
        """``text`` and, if there is one, ``command``."""
        return {"do": self.do, "text": self.text, **({"command": self.shown} if self.shown else {})}
