"""What of a fact tells nodes apart: everything but what is different on every node by nature.

A UUID, a process number, free memory or the node's own address would make each node a kind of its own, and each would
have to be judged alone. Neither a rule nor a derivation asks for these, or asks only whether they pass a limit; then
the answer takes the place of the figure. ``tests/fleet/test_gather.py`` holds that a node is judged as if alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sgldoctor.derive.driver import BUSY
from sgldoctor.derive.machine import RECENT, ROOM
from sgldoctor.facts import Row
from sgldoctor.typed import Any

OWN = "<own>"
"""Stands for the node's own name or address."""
RANK = "--node-rank"
HEADS = ("--dist-init-addr", "--nccl-init-addr")
_SERVICES = ("lo", "kube-ipvs", "nodelocaldns", "dummy")
"""Interfaces that hold the same addresses on every node: loopback, and those of Kubernetes' services."""

_DROPPED = {
    "gpus": ("uuid", "memory_free_mib"),
    "gpu.processes": ("pid", "memory_mib"),
    "interfaces": ("addresses",),
    "host.events": ("text",),
    "launch": ("command", "flags"),
    # changed, not dropped
    "disks": (),
    "environment": (),
    "launch.argument": (),
    "ports": ("holder",),
}
"""By fact the columns that are left out; facts that are not here count as they are."""
_MADE_UP = re.compile(r"(?<=[a-z])[0-9a-f]{6,}(?:@if\d+)?$")
"""The end of the name of a virtual interface that a container runtime made up: veth3f2a9c1, cali12ab34cd56e."""


def varies(fact: str) -> bool:
    """Whether the fact is reduced."""
    return fact in _DROPPED


def reduced(fact: str, rows: Sequence[Row], own: Sequence[str], asked: Mapping[str, frozenset[str]]) -> list[Row]:
    """The rows that stand for all nodes alike; ``own`` are the node's names, ``asked`` columns that rules select by."""
    dropped = set(_DROPPED[fact]) - asked.get(fact, frozenset())
    kept = [{column: value for column, value in row.items() if column not in dropped} for row in rows]
    change = _CHANGES.get(fact)
    return change(kept, own) if change else kept


PLENTY = 2 << 20
"""MiB on a disk from which on there is room for any model."""
_STEP = 8 << 10
"""MiB in which smaller room is told apart, since the weights of a model may not fit."""


def _disks(rows: list[Row], _own: Sequence[str]) -> list[Row]:
    for row in rows:
        free = row.get("free_mib")
        if isinstance(free, int):
            short = free < ROOM.get(str(row.get("for")), 0)
            step = "plenty" if free >= PLENTY or "models" not in str(row.get("for")) else free // _STEP
            row["free_mib"] = "short" if short else step
    return rows


def _events(rows: list[Row], _own: Sequence[str]) -> list[Row]:
    for row in rows:
        age = row.get("age_s")
        row["age_s"] = age > RECENT if isinstance(age, int) else None
    return rows


def _gpus(rows: list[Row], _own: Sequence[str]) -> list[Row]:
    for row in rows:
        used = row.get("memory_used_percent")
        row["memory_used_percent"] = used >= BUSY if isinstance(used, int | float) else None
    return rows


def _interfaces(rows: list[Row], _own: Sequence[str]) -> list[Row]:
    for row in rows:
        row["name"] = _MADE_UP.sub("*", str(row.get("name")))
    return [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(row.items(), key=_first)) for row in rows)]


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def _values(rows: list[Row], own: Sequence[str]) -> list[Row]:
    for row in rows:
        value = row.get("value")
        if isinstance(value, str) and any(name in value for name in own):
            row["value"] = hide_own(value, own)
    return rows


def _arguments(rows: list[Row], own: Sequence[str]) -> list[Row]:
    texts = [str(row.get("text")) for row in rows]
    place = _place(texts, RANK)
    size = number(given(texts, "--nnodes"))
    for index, row in enumerate(rows):
        text = texts[index]
        if index == place:
            # Only whether it is one of the nodes counts for the node by itself; that no two are alike, for all.
            flag, equals, value = text.rpartition("=")
            rank = number(value)
            inside = rank is not None and size is not None and rank < size
            row["text"] = f"{flag}{equals}" + (("0" if rank == 0 else "1..") if inside else value)
        elif any(name in text for name in own):
            row["text"] = hide_own(text, own)
    return rows


def _place(texts: Sequence[str], *flags: str) -> int | None:
    """Which argument holds the value of a flag: the one behind it, or ``--flag=value`` itself; the last one counts."""
    place = None
    for index, text in enumerate(texts):
        if text in flags and index + 1 < len(texts):
            place = index + 1
        elif text.partition("=")[0] in flags and "=" in text:
            place = index
    return place


def given(texts: Sequence[str], *flags: str) -> str | None:
    """The value of a flag (by any of its names) as it is written; None where the line has none."""
    place = _place(texts, *flags)
    if place is None:
        return None
    return texts[place].partition("=")[2] if texts[place].startswith("--") else texts[place]


def number(text: str | None) -> int | None:
    """A number of nodes or ranks; None for anything else, such as digits of other scripts and numbers without end."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def hide_own(text: str, own: Sequence[str]) -> str:
    """``text`` with :data:`OWN` for the node's own names."""
    for name in own:
        text = re.sub(rf"(?<![\w.:-]){re.escape(name)}(?![\w-]|\.\d|\.[a-z])", OWN, text)
    return text


def own_names(host: str, interfaces: Sequence[Any]) -> list[str]:
    """The names and addresses by which a node is called; those of loopback and of services are everybody's."""
    names = {host, host.partition(".")[0]} if len(host) > 1 else set()
    for row in interfaces:
        if not isinstance(row, dict) or str(row.get("name")).startswith(_SERVICES):
            continue
        if isinstance(row.get("addresses"), list):
            names |= {str(address) for address in row["addresses"] if len(str(address)) > 3}
    return sorted(names, key=len, reverse=True)


_CHANGES: dict[str, Callable[[list[Row], Sequence[str]], list[Row]]] = {
    "disks": _disks,
    "host.events": _events,
    "gpus": _gpus,
    "interfaces": _interfaces,
    "environment": _values,
    "launch.argument": _arguments,
}
