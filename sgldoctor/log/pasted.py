"""Facts that people paste along with a log: versions, package lists, GPUs, the launch line, variables.

The same facts as a probe of the machine would give, so one rule serves both; their source is ``log`` and every row
carries the ``line`` it was read from. What the text does not say stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.events import Event
from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.log import pasted_install, pasted_launch, pasted_versions
from sgldoctor.log.lines import Line
from sgldoctor.typed import Any

_ARCHITECTURE = lazy(
    r"(?:Model architectures? \['?|nrecognized configuration class (?:<class '(?:[\w-]{1,80}\.){0,12})?)"
    r"(?P<name>\w{3,100})"
)
_PLUGINS = frozenset(("torch-npu", "torch-mlu", "torch-musa", "habana-torch-plugin", "intel-extension-for-pytorch"))
_IGNORED = lazy(r"Ignore import error when loading (?P<module>[\w.]{1,200}?)[.:](?:\s+(?P<error>.*))?$", re.DOTALL)


class Paste:
    """Rows under construction, per file: single things are merged, the first word on each column counts."""

    def __init__(self) -> None:
        self.single: dict[str, Row] = {}
        self.packages: dict[str, Row] = {}
        self.gpus: dict[int, Row] = {}
        self.environment: dict[str, Row] = {}
        self.rows: dict[str, list[Row]] = {}
        self.guesses: dict[str, Row] = {}
        self.seen: set[tuple[object, ...]] = set()

    def note(self, fact: str, line: int, **columns: Any) -> None:
        """Add columns to a fact of one row; what an earlier line said is kept."""
        row = self.single.setdefault(fact, {})
        for name, value in columns.items():
            row.setdefault(name, value)
        row.setdefault("line", line)

    def guess(self, fact: str, line: int, **columns: Any) -> None:
        """Note what holds only if nothing in the text says it better."""
        self.guesses.setdefault(fact, {**columns, "line": line})

    def package(self, name: str, version: str, line: int, **more: Any) -> None:
        """Note an installed distribution; the last word counts, since installations follow each other in a log."""
        name = re.sub(r"[-_.]+", "-", name).lower()
        self.packages[name] = {"name": name, "version": version, "line": line, **more}

    def gpu(self, index: int, line: int, **columns: Any) -> None:
        """Add columns to the row of one GPU."""
        row = self.gpus.setdefault(index, {"index": index, "line": line})
        for name, value in columns.items():
            row.setdefault(name, value)

    def add(self, fact: str, row: Row) -> None:
        """Add a row, once: later rows that differ in nothing but the line say nothing new."""
        rows = self.rows.setdefault(fact, [])
        key = (fact, *((name, str(value)) for name, value in row.items() if name != "line"))
        if len(rows) < 1000 and key not in self.seen:
            self.seen.add(key)
            rows.append(row)


def collect(lines: Sequence[Line], events: Sequence[Event], facts: Facts) -> None:
    """Read facts out of one file's cleaned lines and events into ``facts``."""
    paste = Paste()
    pasted_versions.collect(lines, paste)
    pasted_launch.collect(lines, paste)
    pasted_install.collect(lines, paste)
    for event in events:
        if event.kind == "warning" and event.text.startswith("Ignore import"):
            match = _IGNORED.match(event.text)
            if match:
                error = (match["error"] or "").strip()[:1000]
                paste.add("log.failed_import", {"module": match["module"], "error": error, "line": event.line})
        elif "rchitecture" in event.text or "onfiguration class" in event.text:
            for match in _ARCHITECTURE.finditer(event.text):
                paste.add("log.architecture", {"name": match["name"], "line": event.line})
    for name in ("sglang", "torch"):
        held = paste.packages.get(name)
        if held:
            pasted_versions.version_of(paste, name, str(held["version"]), int(held["line"]))
    if paste.single.get("torch", {}).get("build") == "cpu" and not _PLUGINS.isdisjoint(paste.packages):
        paste.single["torch"]["build"] = ""  # the plugin brings the device: its torch is the CPU build
    for name, row in {**paste.guesses, **paste.single}.items():
        if not facts.known(name):
            facts.put(name, row, "log")
    if paste.packages:
        facts.put("packages", list(paste.packages.values()), "log")
    if paste.gpus:
        facts.put("gpus", [paste.gpus[index] for index in sorted(paste.gpus)], "log")
    if paste.environment:
        facts.put("environment", list(paste.environment.values()), "log")
    for name, rows in paste.rows.items():
        facts.put(name, rows, "log")
