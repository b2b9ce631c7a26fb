"""``system-package``: packages of the Linux distribution, as root. They are not taken back."""

from __future__ import annotations

from sgldoctor.actions.base import ANYWHERE, SYSTEM, Action, Data, Ground, Place, carried_out, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.actions.packages import templates
from sgldoctor.lazy import lazy
from sgldoctor.template import names
from sgldoctor.typed import Any, NamedTuple

_NAME = lazy(r"[a-z0-9][a-z0-9.+-]{1,80}")


class _SystemPackage(NamedTuple):
    packages: tuple[str, ...]
    tool: str = "apt-get"
    place: Place = ANYWHERE


class SystemPackage(_SystemPackage, Action):
    """Install packages of the Linux distribution; needs root. ``tool`` is ``apt-get`` or ``dnf``."""

    __slots__ = ()
    do = "system-package"
    scope = SYSTEM
    keys = ("packages",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> SystemPackage:
        """Names, sonames (translated by the knowledge), or ``debian:NAME`` and ``fedora:NAME`` for one family only."""
        from sgldoctor.knowledge.libraries import system_package

        distribution = str(context.facts.value("host", "distribution") or "").lower()
        fedora = any(
            word in distribution for word in ("fedora", "red hat", "rocky", "alma", "centos", "amazon", "oracle")
        )
        family, tool = ("fedora", "dnf") if fedora else ("debian", "apt-get")
        found: list[str] = []
        for template in templates(table["packages"], context):
            text = context.text(template)
            prefix, _, rest = text.partition(":")
            if prefix in ("debian", "fedora"):
                if prefix != family:
                    continue
                text = rest
            elif ".so" in text:
                text = system_package(text).get(family, "")
            if not _NAME.fullmatch(text) or (names(template) and not _known(text)):
                raise Refused("the system package is not known", "install the system package that ships this library")
            found.append(text)
        if not found:
            raise Refused(f"no package of this distribution ({family}) is known", "install the system package by hand")
        return cls(tuple(dict.fromkeys(found)), tool, context.place)

    def describe(self) -> str:
        """Which packages."""
        return f"install the system package{'s' if len(self.packages) > 1 else ''} {', '.join(self.packages)} (as root)"

    def command(self, place: Place | None = None) -> str:
        """The distribution's own installer, with sudo where the reader is not root."""
        sudo = [] if (place or self.place).root else ["sudo"]
        return quote(*sudo, self.tool, "install", "-y", *self.packages)

    def to_json(self) -> dict[str, Any]:
        """``packages`` and ``command``."""
        return {"do": self.do, "packages": list(self.packages), "command": self.command()}

    def check(self, ground: Ground) -> str:
        """The distribution's installer has to be there."""
        import shutil

        return "" if shutil.which(self.tool, path=ground.environ.get("PATH")) else f"{self.tool} is not on PATH"

    def prepare(self, ground: Ground) -> dict[str, Any]:  # noqa: ARG002
        """``packages`` and ``tool``."""
        return {"packages": list(self.packages), "tool": self.tool}

    def apply(self, data: Data, ground: Ground) -> None:  # noqa: ARG002
        """One call of the installer, whose exit status is the proof."""
        carried_out([self.tool, "install", "-y", *self.packages], 1800)

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:  # noqa: ARG003
        """They stay: something else may need them by now."""
        return f"the system packages {', '.join(data['packages'])} stay installed"


def _known(name: str) -> bool:
    from sgldoctor.knowledge.releases import load

    return any(name in found.values() for found in load("libraries.json")["system"].values())
