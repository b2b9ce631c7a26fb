"""``load-module``: a kernel module of the host, as root."""

from __future__ import annotations

import os

from sgldoctor.actions import validate
from sgldoctor.actions.base import ANYWHERE, SYSTEM, Action, Data, Ground, Place, carried_out, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.typed import Any, NamedTuple


class _LoadModule(NamedTuple):
    module: str
    place: Place = ANYWHERE


class LoadModule(_LoadModule, Action):
    """Load a kernel module; needs root."""

    __slots__ = ()
    do = "load-module"
    scope = SYSTEM
    keys = ("module",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> LoadModule:
        """A name as the kernel has them."""
        module = context.text(str(table["module"]))
        if not validate.MODULE.fullmatch(module):
            raise Refused("the kernel module's name is not valid", "load the kernel module by hand")
        return cls(module, context.place)

    def describe(self) -> str:
        """Which module."""
        return f"load the kernel module {self.module} (as root, on the host)"

    def command(self, place: Place | None = None) -> str:
        """``modprobe``, with sudo where the reader is not root."""
        return quote(*([] if (place or self.place).root else ["sudo"]), "modprobe", self.module)

    def to_json(self) -> dict[str, Any]:
        """``module`` and ``command``."""
        return {"do": self.do, "module": self.module, "command": self.command()}

    def prepare(self, ground: Ground) -> dict[str, Any]:  # noqa: ARG002
        """``module``, and whether it was loaded already."""
        return {"module": self.module, "loaded": os.path.isdir(f"/sys/module/{self.module}")}

    def apply(self, data: Data, ground: Ground) -> None:  # noqa: ARG002
        """``modprobe``, whose exit status is the proof: what is built in has no folder of its own."""
        carried_out(["modprobe", self.module], 60)

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:  # noqa: ARG003
        """Unload it where the repair has loaded it."""
        if not data["loaded"] and os.path.isdir(f"/sys/module/{data['module']}"):
            carried_out(["modprobe", "-r", data["module"]], 60)
        return ""
