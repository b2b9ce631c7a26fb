"""Snapshots: what the probes found on one machine, as a file to attach, to keep, and to judge again years later.

A snapshot holds only what was seen (:data:`SEEN`), never what was derived from it, so that newer rules and newer
knowledge draw their own conclusions. The layout is one JSON object with its keys in this order::

    {"schema": "sgldoctor.snapshot/1", "tool": {"name", "version"}, "taken": "2026-11-24T03:45:00Z", "host": "node17",
     "pseudonyms": "none | public key | own key",
     "facts": {NAME: {"source": "probe | launch", "rows": [{COLUMN: VALUE}]}},
     "unknown": [{"what", "because", "essential"}], "seconds": {NAME: SECONDS}}

Facts come sorted by name, columns as the probes write them. Written and read is only what
:mod:`sgldoctor.vocabulary` lists, and every text goes through :func:`sgldoctor.report.redact.redact`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence

from sgldoctor import whole
from sgldoctor.errors import InputError, unreadable
from sgldoctor.facts import Facts, Row
from sgldoctor.typed import Any, NamedTuple
from sgldoctor.vocabulary import FACTS

NAME, NUMBER = "sgldoctor.snapshot", 1
SCHEMA = f"{NAME}/{NUMBER}"
SEEN = ("probe", "launch")
"""Sources whose facts a snapshot holds."""
_ELSEWHERE = ("log", "failure", "snapshot", "changes", "fleet")
"""Facts, by the first word of their names, that no probe writes, whatever source a file gives for them."""
LARGEST = 64 << 20
"""Bytes: a hundred times what an environment of a thousand packages needs; more is no snapshot."""
_ALWAYS = ("text", "line")


class Snapshot(NamedTuple):
    """A snapshot that was read.

    Attributes:
        facts: what was seen then; ``seconds`` is empty, nothing was measured now.
        file: where it was read from.
        taken: UTC time, ``2026-11-24T03:45:00Z``, or ``""``.
        host: name or pseudonym of the machine, or ``""``.
        tool: version of the sgldoctor that wrote it, or ``""``.
    """

    facts: Facts
    file: str
    taken: str
    host: str
    tool: str

    def row(self) -> Row:
        """The fact ``snapshot``, which tells a report what it was made from."""
        return {"file": self.file, "taken": self.taken, "host": self.host, "tool": self.tool}


def to_object(facts: Facts, *, host: str, taken: str, version: str, pseudonyms: str = "none") -> dict[str, Any]:
    """The snapshot of ``facts``, redacted, as plain values; ``pseudonyms`` says how names were replaced."""
    data = facts.to_json()
    return {
        "schema": SCHEMA,
        "tool": {"name": "sgldoctor", "version": version},
        "taken": taken,
        "host": host,
        "pseudonyms": pseudonyms,
        "facts": {
            name: {"source": entry["source"], "rows": [_written(name, row) for row in entry["rows"]]}
            for name, entry in data["facts"].items()
            if seen(name, entry["source"])
        },
        "unknown": [{key: _redacted(value) for key, value in entry.items()} for entry in data["unknown"]],
        "seconds": {name: round(value, 4) for name, value in sorted(data["seconds"].items())},
    }


def seen(name: str, source: Any) -> bool:
    """Whether a snapshot may hold this fact from this source."""
    return name in FACTS and name.split(".", 1)[0] not in _ELSEWHERE and source in SEEN


def to_text(data: dict[str, Any], *, compact: bool = False) -> str:
    """A snapshot as a file holds it: pure ASCII, so that no character of it can steer a terminal or be lost.

    ``compact``: on one line, for the output of many nodes that goes to one place.
    """
    return json.dumps(data, indent=None if compact else 1) + "\n"


def _written(fact: str, row: Row) -> Row:
    from sgldoctor.report.redact import redact_value

    out = {name: _redacted(value) for name, value in row.items() if name in FACTS[fact] or name in _ALWAYS}
    label = row.get("name") or row.get("flag")
    if isinstance(row.get("value"), str) and isinstance(label, str):
        out["value"] = redact_value(label, row["value"])
    return out


def _redacted(value: Any) -> Any:
    from sgldoctor.report.redact import redact

    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redacted(entry) for entry in value]
    return value


def read(path: str) -> Snapshot:
    """The snapshot in the file ``path`` (``-``: standard input); raises InputError with one line for anything else."""
    data = _load(path)
    try:
        check_schema(data)
    except Refused as error:
        raise InputError(f"{path}: {error}") from error
    try:
        facts, foreign = _facts(data)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: a damaged snapshot: {error}") from error
    tool = data.get("tool")
    version = str(tool.get("version", "")) if isinstance(tool, dict) else ""
    if foreign:
        names = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        facts.put_unknown("snapshot", f"sgldoctor {version} wrote facts that this one does not know: {names}")
    return Snapshot(facts, path, _text(data, "taken"), _text(data, "host"), version)


class Refused(Exception):  # noqa: N818  it is no error of the program, and says why
    """Something is no snapshot that this release can read; the message says why."""


def check_schema(data: Any) -> None:
    """Raise Refused where plain values are no snapshot, or one of a newer release."""
    schema = data.get("schema") if isinstance(data, dict) else None
    match = re.fullmatch(rf"{re.escape(NAME)}/([0-9]{{1,9}})", schema) if isinstance(schema, str) else None
    if not match:
        raise Refused(f'not a snapshot of sgldoctor: it has no "schema": "{NAME}/..."')
    if int(match[1]) > NUMBER:
        raise Refused(f"written by a newer sgldoctor ({match[0]}); this one reads up to {SCHEMA}: upgrade sgldoctor")


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name, "")
    return value if isinstance(value, str) else ""


def _load(path: str) -> Any:
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(path, "rb") as stream:
                raw = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise unreadable(path if isinstance(error, OSError) else repr(path), error) from error
    shown = "standard input" if path == "-" else path
    if not raw.strip():
        raise InputError(f"{shown} is empty: not a snapshot; 'sgldoctor snapshot' writes one")
    if len(raw) > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST >> 20} MiB: not a snapshot")
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        reason = "not text" if isinstance(error, UnicodeDecodeError) else reason
        hint = (
            "" if raw.lstrip().startswith(b"{") else "; 'sgldoctor snapshot' writes one, 'sgldoctor explain' reads logs"
        )
        raise InputError(f"{shown}: not a snapshot: no valid JSON: {reason}{hint}") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _facts(data: dict[str, Any]) -> tuple[Facts, list[str]]:
    """The facts, and the names of those that are not in the vocabulary; TypeError or ValueError for another shape."""
    table = data.get("facts")
    if not isinstance(table, dict):
        raise TypeError('"facts" must be an object')
    kept: dict[str, Any] = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("rows"), list):
            raise TypeError(f"fact {name!r} has no list of rows")
        if seen(name, entry.get("source")):
            kept[name] = {"source": entry["source"], "rows": fact_rows(name, entry["rows"])}
    facts = Facts.from_json({"facts": kept, "unknown": unknown_rows(data.get("unknown", []))})
    return facts, sorted(str(name) for name in table if name not in FACTS)


def unknown_rows(entries: Any) -> list[Row]:
    """The list of what could not be examined; TypeError for another shape."""
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("what"), str) and isinstance(entry.get("because"), str)
        for entry in entries
    ):
        raise TypeError('"unknown" must be a list of what and because')
    return entries


def fact_rows(fact: str, rows: Sequence[Any]) -> list[Row]:
    """The rows of a fact with the columns that are known; TypeError or ValueError for what is no table."""
    return [_row(fact, row) for row in rows]


def _row(fact: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise TypeError(f"a row of fact {fact!r} is no object")
    for column, value in row.items():
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str | int | float | None) or (isinstance(entry, float) and math.isinf(entry)):
                raise ValueError(f"column {column!r} of fact {fact!r} holds no plain value")
    return {column: value for column, value in row.items() if column in FACTS[fact] or column in _ALWAYS}


def save(path: str, text: str) -> None:
    """Write the ``text`` of a snapshot to ``path`` whole or not at all; raises InputError where that cannot be done."""
    whole.save(path, text.encode("ascii"))
