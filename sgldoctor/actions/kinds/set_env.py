"""``set-env``: a variable, in the environment's own file of variables, which ``sgldoctor env`` prints."""

from __future__ import annotations

from sgldoctor.actions import files, validate, variables
from sgldoctor.actions.base import VARIABLES, Action, Data, Ground, Place, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.template import names
from sgldoctor.typed import Any, NamedTuple


class Variable(Action):
    """What ``set-env`` and ``unset-env`` share: a line in the file of variables, None for one to be taken away."""

    __slots__ = ()
    scope = VARIABLES

    @property
    def line(self) -> tuple[str, str | None]:
        """The variable and its value."""
        raise NotImplementedError

    def script(self, place: Place) -> list[str]:  # noqa: ARG002
        """Not by itself: it would be lost with the shell that runs the script, so all variables come together."""
        return []

    def check(self, ground: Ground) -> str:
        """The file must be one that may be written."""
        return files.check(variables.path_of(ground.prefix, ground.environ))

    def prepare(self, ground: Ground) -> dict[str, Any]:
        """``path``, ``name``, and what the file said of it."""
        path = variables.path_of(ground.prefix, ground.environ)
        held = variables.load(path)
        name = self.line[0]
        return {"path": path, "name": name, "had": name in held, "before": held.get(name)}

    def apply(self, data: Data, ground: Ground) -> None:
        """Write the file anew."""
        held = variables.load(data["path"])
        held.update([self.line])
        variables.save(data["path"], ground.prefix, held)

    def verify(self, data: Data, ground: Ground) -> str:  # noqa: ARG002
        """Read it back."""
        said = self.line in variables.load(data["path"]).items()
        return "" if said else f"{data['path']} does not say {self.describe()}"

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:
        """Only this variable: others may have come since."""
        held = variables.load(data["path"])
        if data["had"]:
            held[data["name"]] = data["before"]
        else:
            held.pop(data["name"], None)
        variables.save(data["path"], ground.prefix, held)
        return ""


def variable(table: dict[str, Any], context: Context) -> str:
    """The name; one from a log must be known to SGLang or to the environment."""
    template = str(table["name"])
    name = context.text(template)
    allowed = validate.LOGGED_VARIABLE if names(template) else validate.VARIABLE
    if not allowed.fullmatch(name):
        raise Refused("the variable's name is not valid", "change the variable that the message names")
    if names(template) and not validate.known_variable(name):
        held = {str(row.get("name")) for row in context.facts.rows("environment")}
        if name not in held:
            raise Refused(f"no release of SGLang knows {name}", f"change the variable {name}")
    return name


class _SetEnv(NamedTuple):
    name: str
    value: str


class SetEnv(_SetEnv, Variable):
    """Set a variable, in the file that ``sgldoctor env`` prints."""

    __slots__ = ()
    do = "set-env"
    keys = ("name", "value")

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> SetEnv:
        """A name that may be set, and a value of harmless characters."""
        name = variable(table, context)
        value = validate.value(context.text(str(table["value"])))
        if value is None:
            raise Refused("the value is not valid", f"set {name}")
        return cls(name, value)

    @property
    def line(self) -> tuple[str, str | None]:
        """The variable and its value."""
        return self.name, self.value

    def describe(self) -> str:
        """The assignment."""
        return f"set {self.name}={self.value}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """An ``export`` line."""
        return f"export {self.name}={quote(self.value)}"

    def to_json(self) -> dict[str, Any]:
        """``name``, ``value`` and ``command``."""
        return {"do": self.do, "name": self.name, "value": self.value, "command": self.command()}
