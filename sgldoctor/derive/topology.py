"""How the GPUs of a machine are joined to each other and to its network cards: what is out of the ordinary. Pure."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row


def derive(facts: Facts) -> Facts:
    """``gpu.topology``: pairs without peer access, GPUs far from every active network card."""
    found = Facts()
    if facts.known("gpus"):
        rows = [*_no_peer(facts), *_far_from_cards(facts)]
        found.put("gpu.topology", rows, "derived")
    return found


def _row(kind: str, gpus: str, text: str) -> Row:
    return {"kind": kind, "gpus": gpus, "text": text}


def _listed(indices: list[int]) -> str:
    """``GPU 3``, ``GPUs 0, 1``."""
    names = ", ".join(str(index) for index in sorted(indices))
    return f"GPU {names}" if len(indices) == 1 else f"GPUs {names}"


def _no_peer(facts: Facts) -> list[Row]:
    """Pairs that cannot read each other's memory. With MIG on no pair can, by design."""
    gpus = {row.get("index"): row for row in facts.rows("gpus")}
    if any(row.get("mig") for row in gpus.values()):
        return []
    joined: set[int] = set()
    apart: set[int] = set()
    for link in facts.rows("gpu.links"):
        first, second = gpus.get(link.get("first")), gpus.get(link.get("second"))
        if link.get("p2p") is not False or first is None or second is None:
            continue
        switched = first.get("nvswitch") and second.get("nvswitch")
        (joined if link.get("nvlinks") or switched else apart).update((link["first"], link["second"]))
    rows = []
    for kind, ends, how in (("peer", joined, "although NVLink joins them"), ("pcie", apart, "so traffic goes by RAM")):
        if ends:
            names = _listed(list(ends))
            rows.append(_row(kind, names, f"{names} cannot read each other's memory, {how}"))
    return rows


def _far_from_cards(facts: Facts) -> list[Row]:
    """GPUs on a NUMA node without an active RDMA device, where other nodes have one."""
    cards = {
        row.get("numa")
        for row in facts.rows("rdma.devices")
        if row.get("state") == "ACTIVE" and isinstance(row.get("numa"), int)
    }
    far = [gpu["index"] for gpu in facts.rows("gpus") if isinstance(gpu.get("numa"), int) and gpu["numa"] not in cards]
    if not cards or not far or any(not isinstance(index, int) for index in far):
        return []
    names = _listed(far)
    nodes = ", ".join(str(node) for node in sorted(cards, key=str))
    verb = "is" if len(far) == 1 else "are"
    text = (
        f"{names} {verb} on another NUMA node than every active RDMA device (node {nodes}): transfers cross the sockets"
    )
    return [_row("numa", names, text)]
