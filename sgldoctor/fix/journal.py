"""The journal: what a repair was about to do and had done, one JSON object a line, readable by a person.

Every line is appended by one write and synced before the step that it announces, so that after SIGKILL, a full disk or
a power cut the journal says at least as much as happened. A line cut short is skipped when read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

from sgldoctor.errors import FixError
from sgldoctor.typed import Any, NamedTuple

NAME = "journal.jsonl"
ENDS = ("verified", "kept", "rolled-back", "undone")
"""Events after which nothing is left to do. ``kept``: could not be proven, and was left in place on purpose."""


class Entry(NamedTuple):
    """One repair, from all its lines.

    Attributes:
        id: ``20261124-021500-3f2a``; sorts by time.
        prefix: the environment repaired, its ``sys.prefix``.
        python: its interpreter.
        begun: the line that opened it: ``time``, ``why`` (titles), ``plan``, ``before`` (see ``snapshot.State``).
        events: further lines in order.
    """

    id: str
    prefix: str
    python: str
    begun: dict[str, Any]
    events: tuple[dict[str, Any], ...]

    @property
    def end(self) -> str:
        """How it ended; ``""`` while it is unfinished."""
        return next((str(event["event"]) for event in reversed(self.events) if event.get("event") in ENDS), "")

    @property
    def touched(self) -> set[str]:
        """Names of the distributions that it changed, or, unfinished, that it was about to change."""
        for event in reversed(self.events):
            if isinstance(event.get("touched"), list):
                return set(map(str, event["touched"]))
        names = {str(move[0]) for move in self.begun.get("moves", [])}
        texts = [text for step in self.begun.get("steps", []) for text in step.get("packages", [])]
        return names | {re.split(r"[\[<>=!~@ ]", text, maxsplit=1)[0] for text in texts}

    @property
    def why(self) -> str:
        """What it was to repair."""
        return "; ".join(map(str, self.begun.get("why", [])))


def new_id() -> str:
    """An identity for a repair: the time in UTC and a few random digits."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + os.urandom(2).hex()


def append(folder: str, entry: dict[str, Any]) -> None:
    """Add a line and wait until it is on the disk; raises FixError where it cannot be written."""
    import json

    path = os.path.join(folder, NAME)
    stamped = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **entry}
    data = json.dumps(stamped, ensure_ascii=True).encode() + b"\n"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # an earlier line was cut short: do not lose this one with it
            written = os.write(descriptor, data)
            if written != len(data):
                raise FixError(f"{path}: the disk is full; nothing more was changed")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}: without a journal nothing is changed") from error


def read(folder: str) -> list[Entry]:
    """All repairs, oldest first."""
    begun: dict[str, dict[str, Any]] = {}
    events: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(os.path.join(folder, NAME)):
        name = str(line.get("id", ""))
        if line.get("event") == "begin":
            begun[name] = line
            events[name] = []
        elif name in events:
            events[name].append(line)
    return [
        Entry(name, str(line.get("prefix", "")), str(line.get("python", "")), line, tuple(events[name]))
        for name, line in begun.items()
    ]


def _lines(path: str) -> Iterator[dict[str, Any]]:
    import json

    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                if isinstance(value, dict):
                    yield value
    except FileNotFoundError:
        return
    except OSError as error:
        raise FixError(f"{path}: {error.strerror}") from error


def unfinished(folder: str, prefix: str) -> Entry | None:
    """The last repair of an environment if it was interrupted."""
    mine = [entry for entry in read(folder) if entry.prefix == prefix]
    last = mine[-1] if mine else None
    return last if last is not None and not last.end else None


def undoable(folder: str, prefix: str = "", name: str = "") -> Entry:
    """The repair to take back: the one named, else the last of the environment that is still in force.

    Raises:
        FixError: there is none.
    """
    entries = read(folder)
    if name:
        for entry in entries:
            if entry.id == name:
                if entry.end in ("undone", "rolled-back"):
                    raise FixError(f"{name} is taken back already ({entry.end})")
                return entry
        raise FixError(f"no repair {name!r} in the journal; 'sgldoctor undo --list' shows them")
    in_force = [entry for entry in entries if entry.end not in ("undone", "rolled-back")]
    mine = [entry for entry in in_force if not prefix or entry.prefix == prefix]
    if mine:
        return mine[-1]
    where = f" of {prefix}" if prefix else ""
    others = " ('sgldoctor undo --list' shows those of others)" if in_force else ""
    raise FixError(f"nothing to undo: the journal in {folder} has no repair{where} in force{others}")
