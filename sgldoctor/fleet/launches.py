"""Launch lines of the nodes of one server, compared: ranks, sizes, the head's address, clocks. Pure.

The nodes of one server share a ``--dist-init-addr``; lines with different ones are different servers. Rank 0 holds the
rendezvous: the address must be one of the node with ``--node-rank 0`` (``srt/server_args.py``, ``dist_init_addr``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sgldoctor.facts import Row
from sgldoctor.fleet.ranges import short
from sgldoctor.fleet.reduce import OWN
from sgldoctor.typed import NamedTuple

_OF_NODE = ("--node-rank", "--host", "--port", "--nccl-port", "--base-gpu-id", "--model-path", "--served-model-name")
"""Options that may differ between the nodes of one server."""
_HEAD = "--dist-init-addr"
SKEW = 5.0
"""Seconds between clocks from which on time-outs of a rendezvous and the times in logs mislead."""


class Line(NamedTuple):
    """The launch line of one node.

    Attributes:
        node: its name.
        rank: ``--node-rank`` as written, None where the line has none.
        own: names and addresses of the node.
        options: canonical flag to value, None where the value is not known.
    """

    node: str
    rank: str | None
    own: Sequence[str]
    options: Mapping[str, str | None]


def problems(lines: Sequence[Line]) -> list[Row]:
    """Rows of the fact ``fleet.launch``."""
    servers: dict[str, list[Line]] = {}
    for line in lines:
        servers.setdefault(line.options.get(_HEAD) or "", []).append(line)
    out: list[Row] = []
    for head, members in servers.items():
        if not head or (len(members) < 2 and _nodes(members[0]) in (None, 1)):
            continue  # servers of one node each have nothing to agree upon
        out += _ranks(members, head)
        out += _differing(members)
        out += _head(members, head, lines)
    return out


def _nodes(line: Line) -> int | None:
    value = line.options.get("--nnodes") if "--nnodes" in line.options else "1"
    return int(value) if value is not None and value.isdigit() else None


def _row(kind: str, nodes: Sequence[str], what: str, note: str, **more: str) -> Row:
    return {"kind": kind, "what": what, "nodes": short(nodes), "count": len(nodes), "note": note, "text": note, **more}


def _ranks(members: Sequence[Line], head: str) -> list[Row]:
    out: list[Row] = []
    by_rank: dict[str, list[str]] = {}
    for line in members:
        rank = line.rank if line.rank is not None else "0"
        if rank.isdigit():
            by_rank.setdefault(str(int(rank)), []).append(line.node)
    for rank, nodes in by_rank.items():
        if len(nodes) > 1:
            note = f"--node-rank {rank} is given to {len(nodes)} nodes: {short(nodes)}"
            out.append(_row("duplicate-rank", nodes, rank, note))
    wanted = {count for line in members if (count := _nodes(line)) is not None}
    known = all((line.rank or "0").isdigit() for line in members)
    if len(wanted) != 1 or not known:
        return out
    (size,) = wanted
    outside = [node for rank, nodes in by_rank.items() for node in nodes if int(rank) >= size]
    if outside:
        note = f"--node-rank must be below --nnodes {size}; it is not on {short(outside)}"
        out.append(_row("rank-range", outside, str(size), note))
    missing = [rank for rank in range(size) if str(rank) not in by_rank] if size <= 1 << 20 else []
    if missing:
        shown = short([f"rank {rank}" for rank in missing])
        note = f"the server at {head} wants {size} nodes; no line here has {shown}"
        out.append(_row("missing-rank", [shown], str(size), note))
    return out


def _differing(members: Sequence[Line]) -> list[Row]:
    """Options that the nodes of one server do not have in common."""
    out: list[Row] = []
    for flag in sorted({flag for line in members for flag in line.options} - {*_OF_NODE, _HEAD}):
        values: dict[str, list[str]] = {}
        for line in members:
            value = line.options.get(flag, "(not given)")
            if value is not None:
                values.setdefault(value, []).append(line.node)
        if len(values) < 2:
            continue
        most = Counter({value: len(nodes) for value, nodes in values.items()}).most_common(1)[0][0]
        for value, nodes in values.items():
            if value != most:
                note = (
                    f"{flag} is {_said(value)} on {short(nodes)} and {_said(most)} on {len(values[most])} other nodes"
                )
                out.append(_row("option", nodes, flag, note, value=value, majority=most))
    return out


def _said(value: str) -> str:
    return value or "set"


def _head(members: Sequence[Line], head: str, lines: Sequence[Line]) -> list[Row]:
    """The rendezvous must be on the node of rank 0, as far as the addresses of the nodes are known."""
    host = head.rpartition(":")[0].strip("[]")
    if host == OWN:  # each of these nodes names itself
        note = f"{_HEAD} is the node's own address on {short(line.node for line in members)}; all must name rank 0"
        return [_row("head", [line.node for line in members], head, note)]
    first = [line for line in members if (line.rank or "0") == "0"]
    if len(first) != 1 or not first[0].own:
        return []
    if host in first[0].own or host in ("localhost", "127.0.0.1", "::1"):
        return []
    there = [line.node for line in lines if host in line.own]
    # A name that is no node's own may be another name of the head: only an address of another node is a proof.
    if not there:
        return []
    note = f"{_HEAD} {head} is an address of {short(there)}, but rank 0 runs on {first[0].node}"
    return [_row("head", there, head, note)]


def clocks(skews: Mapping[str, float]) -> list[Row]:
    """Rows of the fact ``fleet.clock``: nodes whose clock is off from the median of all by more than :data:`SKEW`."""
    if len(skews) < 2:
        return []
    ordered = sorted(skews.values())
    median = ordered[len(ordered) // 2]
    rows: list[Row] = []
    for node, skew in skews.items():
        off = skew - median
        if abs(off) > SKEW:
            way = "ahead of" if off > 0 else "behind"
            rows.append({"node": node, "skew_s": round(off, 1), "text": f"{node} is {abs(off):.1f} s {way} the others"})
    return rows
