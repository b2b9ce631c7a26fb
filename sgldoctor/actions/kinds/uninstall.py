"""``uninstall``: distributions that are in the way."""

from __future__ import annotations

from sgldoctor.actions import validate
from sgldoctor.actions.base import ANYWHERE, PACKAGES, Action, Place, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.actions.packages import installer, require_known, templates
from sgldoctor.typed import Any, NamedTuple


class _Uninstall(NamedTuple):
    packages: tuple[str, ...]
    place: Place = ANYWHERE


class Uninstall(_Uninstall, Action):
    """Remove distributions."""

    __slots__ = ()
    do = "uninstall"
    scope = PACKAGES
    keys = ("packages",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> Uninstall:
        """Names only: whatever version is there goes."""
        found: list[str] = []
        for template in templates(table["packages"], context):
            checked = validate.requirement(context.text(template))
            if checked is None:
                raise Refused("a package name is not valid", "uninstall the package that the message names")
            require_known(checked[0], template, context)
            found.append(checked[0])
        return cls(tuple(dict.fromkeys(found)), context.place)

    def describe(self) -> str:
        """What is removed."""
        return f"uninstall {', '.join(self.packages)}"

    def command(self, place: Place | None = None) -> str:
        """The line for uv or pip."""
        where = place or self.place
        return quote(*installer(where, "uninstall"), *([] if where.uv else ["-y"]), *self.packages)

    def to_json(self) -> dict[str, Any]:
        """``packages`` and ``command``."""
        return {"do": self.do, "packages": list(self.packages), "command": self.command()}
