"""``set-flag``: a flag of the launch line. ``fix/launchline.py`` and ``fix/launchfile.py`` write it where asked to."""

from __future__ import annotations

from sgldoctor.actions import validate
from sgldoctor.actions.base import LAUNCH, Action, quote
from sgldoctor.actions.context import Context, Refused, Unresolved
from sgldoctor.template import names
from sgldoctor.typed import Any, NamedTuple


def flag(template: str, context: Context) -> str:
    """A flag, as its grammar has it."""
    found = context.text(template)
    if not validate.FLAG.fullmatch(found):
        raise Refused("the flag is not valid", "change the flag that the message names")
    return found


class _SetFlag(NamedTuple):
    flag: str
    value: str | None = None
    instead: str = ""


class SetFlag(_SetFlag, Action):
    """Give a flag of the launch line, with a value or (``None``) without.

    With ``instead``, it takes the place of that flag, and of its values where it has none of its own.
    """

    __slots__ = ()
    do = "set-flag"
    scope = LAUNCH
    keys = ("flag",)
    further = ("value", "instead", "verify")

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> SetFlag:
        """A flag and a value that the release takes, where it is known."""
        told, value = context.text(str(table["flag"])), None
        if "value" in table:
            given = str(table["value"])
            # A switch has no value: an empty one of the finding is none.
            if not (names(given) == [given[1:-1]] and context.params.get(given[1:-1]) == ""):
                value = validate.value(context.text(given))
                if value is None:
                    raise Refused("the value is not valid", "change the flag that the message names")
        if names(str(table["flag"])) and value is None:
            told, _, rest = told.partition(" ")  # SGLang names some successors with their value: --backend triton
            value = rest or None
        wanted = flag(told.replace("{", ""), context)
        if value is not None and validate.value(value) is None:
            raise Refused("the value is not valid", f"set {wanted}")
        instead = flag(str(table["instead"]), context) if "instead" in table else ""
        problem = validate.flag_problem(wanted, value, context.sglang, instead=instead)
        if problem and value is None and names(str(table.get("value", ""))):
            raise Unresolved(names(str(table["value"])), wanted)
        if problem:
            raise Refused(problem, cls(wanted, value, instead).describe())
        return cls(wanted, value, instead)

    @property
    def text(self) -> str:
        """The flag as it is typed."""
        return self.flag if self.value is None else f"{self.flag} {quote(self.value)}"

    def describe(self) -> str:
        """Where it belongs."""
        return f"start the server with {self.text}" + (f" instead of {self.instead}" if self.instead else "")

    def to_json(self) -> dict[str, Any]:
        """``flag``, ``value``, ``text``, and ``instead`` where there is one."""
        instead = {"instead": self.instead} if self.instead else {}
        return {"do": self.do, "flag": self.flag, "value": self.value, "text": self.text, **instead}
