"""What an installer did, in a pasted transcript of pip or uv: which SGLang it took, and with what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.lazy import lazy
from sgldoctor.log.lines import Line
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.log.pasted import Paste

_COUNT = lazy(r"^\s*Installed (?P<count>\d{1,4}) packages? in ")
_ADDED = lazy(r"^\s*\+ (?P<name>[A-Za-z0-9][\w.-]{0,80})==(?P<version>\d[\w.+!-]{0,40})(?: \(.{0,200}\))?$")
_REMOVED = lazy(r"^\s*[-~] [A-Za-z0-9][\w.-]{0,80}==\d")
_PIP = "Successfully installed "
_ASKED = lazy(r"""(?:^|[\s"'])(?P<asked>sglang(?:\[[\w,-]{1,40}\])?(?:[=<>~!]=?[\w.]{1,20})?)(?=$|[\s"'])""")

SERVER = frozenset(("torch", "transformers", "fastapi", "uvicorn", "pyzmq", "uvloop"))
"""What every release of the server needs."""
LAST = "torch"
"""A list that goes at least this far tells of enough of them."""
LIGHT = frozenset(("requests", "tqdm"))
"""What even the bare package needs: where these were installed along, the environment was empty before."""


def collect(lines: Sequence[Line], paste: Paste) -> None:
    """Add ``log.installed`` for every transaction that installed sglang into an empty environment."""
    asked = ""
    count = 0
    found: dict[str, str] = {}
    for line in lines:
        text = line.text
        if "pip install" in text or "uv add" in text or "pip3 install" in text:
            command = _ASKED.search(text.partition("install")[2] or text.partition("add")[2])
            asked = command["asked"] if command else asked
        if text.startswith(_PIP):
            parts = (word.rpartition("-") for word in text[len(_PIP) :].split()[:1000])
            _transaction(
                {name.lower(): version for name, _, version in parts if name}, "pip", asked, line.number, paste
            )
        elif "Installed " in text and (match := _COUNT.match(text)):
            count, found = int(match["count"]), {}
        elif count:
            added = _ADDED.match(text)
            if added:
                found[added["name"].lower()] = added["version"]
                if len(found) == count:  # only a list that is whole tells what is absent
                    _transaction(found, "uv", asked, line.number, paste)
                    count = 0
            elif not _REMOVED.match(text):
                if (
                    next(reversed(found), "") > LAST
                ):  # cut off, but uv lists by name: what stands before the cut is whole
                    _transaction(found, "uv", asked, line.number, paste)
                count = 0
    if count and next(reversed(found), "") > LAST:
        _transaction(found, "uv", asked, lines[-1].number, paste)


def _transaction(found: dict[str, str], tool: str, asked: str, line: int, paste: Paste) -> None:
    found = {re.sub(r"[-_.]+", "-", name): version for name, version in found.items()}
    if "sglang" in found and found.keys() >= LIGHT:
        row = {"version": found["sglang"], "tool": tool, "asked": asked, "server": bool(SERVER & found.keys())}
        paste.add("log.installed", {**row, "line": line})
