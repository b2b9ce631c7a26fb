"""Launch lines of the nodes of one server, compared: ranks, sizes, the head's address, clocks. Pure.

The nodes of one server share a ``--dist-init-addr``; lines with different ones are different servers. Rank 0 holds the
rendezvous: the address must be one of the node with ``--node-rank 0`` (``srt/server_args.py``, ``dist_init_addr``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sgldoctor.facts import Row
from sgldoctor.fleet.ranges import short
from sgldoctor.fleet.reduce import OWN, number
from sgldoctor.typed import NamedTuple

_OF_NODE = ("--node-rank", "--host", "--port", "--nccl-port", "--base-gpu-id", "--model-path", "--served-model-name")
"""Options that may differ between the nodes of one server."""
HEAD = "--dist-init-addr"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
SKEW = 5.0
"""Seconds between clocks from which on time-outs of a rendezvous and the times in logs mislead."""


class Line(NamedTuple):
    """The launch line of one node.

    Attributes:
        node: its name.
        rank: ``--node-rank`` as written, None where the line has none.
        own: names and addresses of the node.
        head: where the nodes meet, empty where the line does not say so.
        options: all others, canonical flag to value, None where the value is not known.
    """

    node: str
    rank: str | None
    own: Sequence[str]
    head: str
    options: Mapping[str, str | None]


class Problem(NamedTuple):
    """A row of the fact ``fleet.launch``, and the names of the nodes that it is about."""

    row: Row
    nodes: Sequence[str]


def problems(lines: Sequence[Line]) -> list[Problem]:
    """What is wrong between the launch lines, server by server."""
    out: list[Problem] = []
    for head, members in _servers(lines).items():
        sizes = {_nodes(line) for line in members}
        if not head or sizes == {1} or (len(members) < 2 and sizes == {None}):
            continue  # servers of one node each have nothing to agree upon, though all may name the same address
        out += _ranks(members, head)
        out += _differing(members, head)
        out += _head(members, head, lines)
    return out


def _servers(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The lines by the place where they meet; nodes that wait at themselves, each alone, are one under :data:`OWN`."""
    servers: dict[str, list[Line]] = {}
    for line in lines:
        servers.setdefault(line.head, []).append(line)
    alone = {head: members[0] for head, members in servers.items() if len(members) == 1 and _at_itself(members[0])}
    if any(line.rank not in (None, "0") for line in alone.values()):
        for head in alone:
            servers.setdefault(f"{OWN}:{head.rpartition(':')[2]}", []).extend(servers.pop(head))
    return servers


def _at_itself(line: Line) -> bool:
    return _nodes(line) != 1 and _host(line.head) in line.own


def _host(head: str) -> str:
    return head.rpartition(":")[0].strip("[]")


def _nodes(line: Line) -> int | None:
    return number(line.options.get("--nnodes", "1"))


def _problem(kind: str, server: str, nodes: Sequence[str], what: str, note: str, **more: str) -> Problem:
    row = {"kind": kind, "what": what, "nodes": short(nodes), "count": len(nodes), "note": note, "server": server}
    return Problem({**row, "text": f"server at {server}: {note}", **more}, tuple(nodes))


def _ranks(members: Sequence[Line], head: str) -> list[Problem]:
    out: list[Problem] = []
    by_rank: dict[str, list[str]] = {}
    for line in members:
        own = number(line.rank if line.rank is not None else "0")
        if own is not None:
            by_rank.setdefault(str(own), []).append(line.node)
    for rank, nodes in by_rank.items():
        if len(nodes) > 1:
            note = f"--node-rank {rank} is given to {len(nodes)} nodes: {short(nodes)}"
            out.append(_problem("duplicate-rank", head, nodes, rank, note))
    wanted = {count for line in members if (count := _nodes(line)) is not None}
    known = all(number(line.rank or "0") is not None for line in members)
    if len(wanted) != 1 or not known:
        return out
    (size,) = wanted
    outside = [node for rank, nodes in by_rank.items() for node in nodes if int(rank) >= size]
    if outside:
        note = f"--node-rank must be below --nnodes {size}; it is not on {short(outside)}"
        out.append(_problem("rank-range", head, outside, str(size), note))
    missing = [rank for rank in range(size) if str(rank) not in by_rank] if size <= 1 << 20 else []
    if missing:
        shown = short([f"rank {rank}" for rank in missing])
        note = f"the server at {head} wants {size} nodes; no line here has {shown}"
        # To blame are those that stand in a place that is not theirs; else all wait for one that is not here.
        blamed = [node for problem in out for node in problem.nodes] or [line.node for line in members]
        missed = _problem("missing-rank", head, blamed, str(size), note)
        out.append(missed._replace(row={**missed.row, "nodes": shown, "count": len(missing)}))
    return out


def _differing(members: Sequence[Line], server: str) -> list[Problem]:
    """Options that the nodes of one server do not have in common."""
    out: list[Problem] = []
    for flag in sorted({flag for line in members for flag in line.options}.difference(_OF_NODE)):
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
                out.append(_problem("option", server, nodes, flag, note, value=value, majority=most))
    return out


def _said(value: str) -> str:
    return value or "set"


def _head(members: Sequence[Line], head: str, lines: Sequence[Line]) -> list[Problem]:
    """The rendezvous must be on the node of rank 0, as far as the addresses of the nodes are known."""
    host = _host(head)
    apart = len({frozenset(line.own) for line in members if line.own}) == len(members) > 1
    everywhere = host in _LOOPBACK or sum(host in line.own for line in members) > 1  # as a bridge's address is
    if host == OWN or (everywhere and apart):  # each of these nodes names itself
        note = f"{HEAD} is the node's own address on {short(line.node for line in members)}; all must name rank 0"
        return [_problem("head", head, [line.node for line in members], head, note)]
    first = [line for line in members if (line.rank or "0") == "0"]
    if len(first) != 1 or not first[0].own:
        return []
    if host in first[0].own:
        return []
    there = [line.node for line in lines if host in line.own]
    # A name that is no node's own may be another name of the head: only an address of another node is a proof.
    if not there:
        return []
    note = f"{HEAD} {head} is an address of {short(there)}, but rank 0 runs on {first[0].node}"
    return [_problem("head", head, [*there, first[0].node], head, note)]


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
