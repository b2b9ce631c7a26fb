"""Nodes into groups: all nodes whose facts are alike, but for what differs by nature, are one group.

A table of facts is kept once, whichever nodes have it; of a node its name, its group and its rank remain.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from sgldoctor.facts import Facts, Row
from sgldoctor.fleet.reduce import HEADS, RANK, given, own_names, reduced, varies
from sgldoctor.fleet.sources import Item
from sgldoctor.report.text import clean, shorten
from sgldoctor.rules.schema import Rule
from sgldoctor.snapshot import Refused, check_schema, fact_rows, seen, unknown_rows
from sgldoctor.typed import Any, NamedTuple

NAME = 100
"""Characters of a node's name that are kept."""


class Table(NamedTuple):
    """One table of facts: its rows as the first node had them, and as they stand for all nodes of the group."""

    fact: str
    source: str
    rows: list[Row]
    alike: list[Row]


class Unread(NamedTuple):
    """A node, or a file, that gave no snapshot: ``kind`` is refused, dead, slow or failed."""

    node: str
    because: str
    kind: str = "refused"


class Group:
    """Nodes that are alike. ``tables`` and ``unknown`` are numbers; ``nodes`` are places in :attr:`Fleet.names`."""

    def __init__(self, tables: tuple[int, ...], unknown: tuple[Row, ...], first: str, file: str) -> None:
        self.tables = tables
        self.unknown = unknown
        self.first = first
        self.file = file
        self.nodes = array("I")


class Fleet:
    """What is kept of all nodes."""

    def __init__(self, asked: Mapping[str, frozenset[str]] | None = None) -> None:
        self.asked = asked or {}
        self.names: list[str] = []
        self.ranks: dict[int, str] = {}
        self.heads: dict[int, str] = {}
        """Where each node's launch line says that the nodes meet; each node of a group may name itself."""
        self.addresses: dict[int, list[str]] = {}
        """Names and addresses of the nodes that have a launch line."""
        self.skews: dict[int, float] = {}
        self.groups: list[Group] = []
        self.tables: list[Table] = []
        self.unread: list[Unread] = []
        self.passed: list[Item] = []
        """Streams with lines that are no snapshots."""
        self._known: dict[bytes, int] = {}
        self._by_key: dict[bytes, int] = {}
        self._used: dict[str, int] = {}

    def add_all(self, items: Iterable[Item]) -> None:
        """Take over everything that was read."""
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        """Take over one snapshot; what is refused is noted."""
        if item.passed:
            self.passed.append(item)
            return
        if item.data is None:
            self.unread.append(Unread(item.name, item.because))
            return
        try:
            self._add(item.data, item)
        except (Refused, TypeError, ValueError) as error:
            self.unread.append(Unread(item.name, shorten(clean(str(error)), 200)))

    def facts(self, group: Group) -> Facts:
        """The facts of the first node of a group."""
        facts = Facts()
        for number in group.tables:
            table = self.tables[number]
            facts.put(table.fact, [dict(row) for row in table.rows], table.source)
        for entry in group.unknown:
            facts.put_unknown(str(entry["what"]), str(entry["because"]), essential=bool(entry.get("essential")))
        return facts

    def alike(self, group: Group) -> dict[str, list[Row]]:
        """The tables of a group as they stand for all of its nodes."""
        return {self.tables[number].fact: self.tables[number].alike for number in group.tables}

    def _add(self, data: dict[str, Any], item: Item) -> None:
        check_schema(data)
        table = data.get("facts")
        if not isinstance(table, dict):
            raise Refused('a damaged snapshot: "facts" must be an object')
        host = data.get("host") if isinstance(data.get("host"), str) else ""
        own = own_names(str(host), _rows_of(table, "interfaces"))
        asked = self.asked
        if any("GPU-" in str(row.get("value")) for row in _rows_of(table, "environment") if isinstance(row, dict)):
            asked = {**asked, "gpus": asked.get("gpus", frozenset()) | {"uuid"}}  # CUDA_VISIBLE_DEVICES may name them
        numbers = []
        arguments: list[str] = []
        for name, entry in table.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("rows"), list):
                raise Refused(f"a damaged snapshot: fact {shorten(clean(name), 40)!r} has no list of rows")
            if not seen(name, entry.get("source")):
                continue
            numbers.append(self._varying(name, entry, own, asked) if varies(name) else self._plain(name, entry))
            if name == "launch.argument":
                arguments = [str(row.get("text")) for row in entry["rows"]]
        unknown = tuple(unknown_rows(data.get("unknown", [])))
        numbers.sort()
        ways = sorted((entry["what"], bool(entry.get("essential"))) for entry in unknown)
        key = _digest([numbers, ways])
        number = self._by_key.get(key)
        node = len(self.names)
        name = self._name(str(host), item)
        if number is None:
            number = self._by_key[key] = len(self.groups)
            self.groups.append(Group(tuple(numbers), unknown, name, item.file))
        self.names.append(name)
        self.groups[number].nodes.append(node)
        if arguments:
            self.addresses[node] = own
            rank, head = given(arguments, RANK), given(arguments, *HEADS)
            if rank is not None:
                self.ranks[node] = rank
            if head is not None:
                self.heads[node] = head
        skew = data.get("skew_s")  # put in by whoever gathered the snapshot and looked at the clock meanwhile
        if isinstance(skew, int | float) and not isinstance(skew, bool) and abs(skew) < 1e12:
            self.skews[node] = float(skew)

    def _plain(self, name: str, entry: dict[str, Any]) -> int:
        """The number of a table that counts as it is."""
        key = _digest([name, entry["source"], entry["rows"]])
        number = self._known.get(key)
        if number is None:
            rows = fact_rows(name, entry["rows"])
            number = self._known[key] = self._keep(Table(name, entry["source"], rows, rows))
        return number

    def _varying(
        self, name: str, entry: dict[str, Any], own: Sequence[str], asked: Mapping[str, frozenset[str]]
    ) -> int:
        rows = fact_rows(name, entry["rows"])
        alike = reduced(name, rows, own, asked)
        key = _digest([name, entry["source"], alike])
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = self._keep(Table(name, entry["source"], rows, alike))
        return number

    def _keep(self, table: Table) -> int:
        self.tables.append(table)
        return len(self.tables) - 1

    def _name(self, host: str, item: Item) -> str:
        """The node's name, with a number where another one has it already."""
        base = shorten(clean(host), NAME) or shorten(clean(item.name), NAME)
        times = self._used[base] = self._used.get(base, 0) + 1
        return base if times == 1 else f"{base} ({times})"


def _rows_of(table: dict[str, Any], name: str) -> list[Any]:
    entry = table.get(name)
    rows = entry.get("rows") if isinstance(entry, dict) else None
    return rows if isinstance(rows, list) else []


def _digest(value: Any) -> bytes:
    """Equal for equal plain values: version 2 of marshal has no references, which would depend on identity."""
    return blake2b(marshal.dumps(value, 2), digest_size=16).digest()


def columns(rules: Iterable[Rule]) -> dict[str, frozenset[str]]:
    """By fact the columns that rules select by: these always tell nodes apart."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        for match in (*rule.facts, *rule.needs):
            found.setdefault(match.each, set()).update(match.where, match.unless)
    return {fact: frozenset(names) for fact, names in found.items()}
