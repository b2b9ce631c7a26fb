"""``write-file``: a small file of the user, whole or not at all."""

from __future__ import annotations

from sgldoctor.actions import files
from sgldoctor.actions.base import FILES, Action, Data, Ground, Place, quote
from sgldoctor.actions.context import Context, Refused
from sgldoctor.actions.expand import expanded
from sgldoctor.template import names
from sgldoctor.typed import Any, NamedTuple


class _WriteFile(NamedTuple):
    path: str
    content: str


class WriteFile(_WriteFile, Action):
    """Write a small file, whose path the rule's author chose (``~`` and ``$NAME`` of the user are expanded)."""

    __slots__ = ()
    do = "write-file"
    scope = FILES
    keys = ("path", "content")

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> WriteFile:
        """The path as the rule has it; only the content is filled."""
        path = str(table["path"])
        if names(path):
            raise Refused("a path is never taken from what was found", "write the file by hand")
        return cls(path, context.text(str(table["content"])))

    def describe(self) -> str:
        """Path and content."""
        return f"write {self.path}:\n{self.content.rstrip()}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """A ``printf`` into the file."""
        return f"printf '%s' {quote(self.content)} > {self.word}"

    def script(self, place: Place) -> list[str]:
        """Its folder first."""
        return [f'mkdir -p "$(dirname {self.word})"', self.command(place)]

    @property
    def word(self) -> str:
        """The path as a shell word: what it expands stays outside the quotes, everything else is within."""
        import re

        match = re.fullmatch(r"(~|\$[A-Z_]+|\$\{[A-Z_]+(?::-[\w./$~-]*)?\})/(.+)", self.path, re.DOTALL)
        if match is None:
            return quote(self.path)
        return (match[1] if match[1] == "~" else f'"{match[1]}"') + "/" + quote(match[2])

    def to_json(self) -> dict[str, Any]:
        """``path``, ``content`` and ``command``."""
        return {"do": self.do, "path": self.path, "content": self.content, "command": self.command()}

    def check(self, ground: Ground) -> str:
        """No link, no foreign owner, a folder that can be written."""
        return files.check(expanded(self.path, ground.environ))

    def prepare(self, ground: Ground) -> dict[str, Any]:
        """``path``, and the text before and after."""
        path = expanded(self.path, ground.environ)
        return {"path": path, "before": files.read(path), "after": self.content}

    def apply(self, data: Data, ground: Ground) -> None:  # noqa: ARG002
        """Write it."""
        files.write(data["path"], self.content, 0o644)

    def verify(self, data: Data, ground: Ground) -> str:  # noqa: ARG002
        """Read it back."""
        return "" if files.read(data["path"]) == self.content else f"{data['path']} does not hold what was written"

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:  # noqa: ARG003
        """The former text, unless somebody has changed the file since; a backup beside it goes."""
        now = files.read(data["path"])
        backup = str(data.get("backup") or "")
        if backup and now in (data["before"], data["after"]) and files.read(backup) == data["before"]:
            files.remove(backup)
        if now == data["before"]:
            return ""
        if now != data["after"]:
            return f"{data['path']} was changed since: it is left as it is"
        if data["before"] is None:
            files.remove(data["path"])
        else:
            files.write(data["path"], data["before"])
        return ""
