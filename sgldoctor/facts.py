"""Facts: what is known, where it comes from, and what could not be found out.

A fact is a name and its rows, each row a flat record of plain JSON values, like a small table. A fact with no rows is
known to be empty ("no library is unresolved"); a fact that is absent is unknown, never false. The names and columns are
listed in :mod:`sgldoctor.vocabulary`, which the rule linter and the tests hold everybody to.
"""

from __future__ import annotations

from sgldoctor.typed import Any, NamedTuple

Row = dict[str, Any]
"""One record of a fact: column name to str, int, float, bool, None or a list of these.

Two optional columns are understood everywhere: ``text``, one sentence for a person, used as evidence, and ``line``,
the number of the log line from which the row was read.
"""


class Fact(NamedTuple):
    """A named table of rows and where it came from: ``probe``, ``log``, ``launch``, ``snapshot`` or ``derived``."""

    name: str
    rows: tuple[Row, ...]
    source: str


class Unknown(NamedTuple):
    """Something that could not be examined, and why; ``essential`` ones stop "healthy" from being said."""

    what: str
    because: str
    essential: bool = False


class Facts:
    """All facts of one examination. Later writers add rows; nothing is ever silently replaced."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self.unknown: list[Unknown] = []
        self.seconds: dict[str, float] = {}

    def put(self, name: str, rows: Row | list[Row] | tuple[Row, ...], source: str) -> None:
        """Add rows (possibly none: then the fact is known to be empty) under ``name``."""
        more = (rows,) if isinstance(rows, dict) else tuple(rows)
        held = self._facts.get(name)
        self._facts[name] = Fact(name, held.rows + more, held.source) if held else Fact(name, more, source)

    def put_unknown(self, what: str, because: str, *, essential: bool = False) -> None:
        """Note that ``what`` could not be examined, and why, once."""
        entry = Unknown(what, because, essential)
        if entry not in self.unknown:
            self.unknown.append(entry)

    def known(self, name: str) -> bool:
        """Whether the fact was established, be it as an empty table."""
        return name in self._facts

    def rows(self, name: str) -> tuple[Row, ...]:
        """The rows of a fact; none where it is empty or unknown (ask :meth:`known` where that differs)."""
        fact = self._facts.get(name)
        return fact.rows if fact else ()

    def one(self, name: str) -> Row:
        """The first row of a fact that describes a single thing (``torch``, ``driver``), or an empty record."""
        rows = self.rows(name)
        return rows[0] if rows else {}

    def value(self, name: str, column: str) -> Any:
        """One column of a single-row fact, or None where it is not known."""
        return self.one(name).get(column)

    def source(self, name: str) -> str:
        """Where a fact came from; ``""`` if it is unknown."""
        fact = self._facts.get(name)
        return fact.source if fact else ""

    def names(self) -> list[str]:
        """The names of all known facts, sorted."""
        return sorted(self._facts)

    def merge(self, other: Facts) -> None:
        """Take over everything that ``other`` knows, does not know and measured."""
        for fact in other._facts.values():
            self.put(fact.name, fact.rows, fact.source)
        for entry in other.unknown:
            self.put_unknown(entry.what, entry.because, essential=entry.essential)
        self.seconds.update(other.seconds)

    def to_json(self) -> dict[str, Any]:
        """A plain object for snapshots and reports; :meth:`from_json` reads it back."""
        return {
            "facts": {
                name: {"source": fact.source, "rows": list(fact.rows)} for name, fact in sorted(self._facts.items())
            },
            "unknown": [entry._asdict() for entry in self.unknown],
            "seconds": dict(self.seconds),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Rebuild facts from :meth:`to_json`; raises ``ValueError`` where the shape is wrong."""
        facts = cls()
        try:
            for name, entry in data["facts"].items():
                facts.put(str(name), [dict(row) for row in entry["rows"]], str(entry["source"]))
            for entry in data.get("unknown", []):
                facts.put_unknown(str(entry["what"]), str(entry["because"]), essential=bool(entry.get("essential")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a table of facts: {error!r}") from error
        return facts
