"""``install``: requirements, in the version that belongs into this environment."""

from __future__ import annotations

from sgldoctor.actions import validate
from sgldoctor.actions.base import ANYWHERE, PACKAGES, Action, Place, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.actions.packages import installer, require_known, templates
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any, NamedTuple

_LITERAL_NAME = lazy(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9,._-]*\])?\s*(?:$|[<>=!~])")


class _Install(NamedTuple):
    packages: tuple[str, ...]
    deps: bool = True
    reinstall: bool = False
    verify_by: tuple[tuple[str, str], ...] = ()
    place: Place = ANYWHERE
    releases: str = ""


class Install(_Install, Action):
    """Install requirements; ``reinstall`` writes the files anew even where the version is already right.

    ``releases`` says for which releases of SGLang they are right, where a log does not tell which one wrote it.
    """

    __slots__ = ()
    do = "install"
    scope = PACKAGES
    keys = ("packages",)
    further = ("deps", "reinstall", "verify")

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> Install:
        """Bare names get the version that belongs into this environment."""
        found: list[str] = []
        for template in templates(table["packages"], context):
            text = context.text(template)
            if _LITERAL_NAME.fullmatch(template):
                text = context.pin(template) or text
            checked = validate.requirement(text)
            if checked is None:
                raise Refused("a package name or version is not valid", "install the package that the message names")
            require_known(checked[0], template, context)
            found.append(checked[1])
        verify = {str(key): context.filled(str(text))[0] for key, text in dict(table.get("verify", {})).items()}
        return cls(
            tuple(dict.fromkeys(found)), bool(table.get("deps", True)), bool(table.get("reinstall", False)),
            tuple(verify.items()), context.place,
        )  # fmt: skip

    def describe(self) -> str:
        """What is installed, and how."""
        how = "reinstall" if self.reinstall else "install"
        which = f" (for {self.releases})" if self.releases else ""
        return f"{how} {', '.join(self.packages)}" + ("" if self.deps else " and nothing else") + which

    def command(self, place: Place | None = None) -> str:
        """The line for uv or pip."""
        where = place or self.place
        words = installer(where, "install")
        if self.reinstall:
            words.append("--reinstall" if where.uv else "--force-reinstall")
        if not self.deps:
            words.append("--no-deps")
        return quote(*words, *self.packages) + (f"  # {self.releases}" if self.releases else "")

    def to_json(self) -> dict[str, Any]:
        """``packages``, ``deps``, ``reinstall``, ``verify`` and ``releases`` where there are any, and ``command``."""
        return {
            "do": self.do, "packages": list(self.packages), "deps": self.deps, "reinstall": self.reinstall,
            **({"verify": dict(self.verify_by)} if self.verify_by else {}),
            **({"releases": self.releases} if self.releases else {}), "command": self.command(),
        }  # fmt: skip
