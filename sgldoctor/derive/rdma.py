"""Can GPU memory be registered for RDMA? By nvidia_peermem or by DMA-BUF; either is enough.

A missing nvidia_peermem is no fault by itself: with the open kernel module CUDA offers DMA-BUF (device attribute 124),
which the RDMA core of Linux takes since 5.12 (``ibv_reg_dmabuf_mr``).
"""

from __future__ import annotations

import re

from sgldoctor.facts import Facts

_DMABUF_KERNEL = (5, 12)


def derive(facts: Facts) -> Facts:
    """The fact ``rdma.registration``, where kernel modules are known."""
    found = Facts()
    if not facts.known("modules"):
        return found
    modules = {str(row.get("name")): row for row in facts.rows("modules")}
    peermem = _peermem(modules)
    dmabuf = _dmabuf(facts)
    if peermem == "loaded" or dmabuf:
        possible: bool | None = True
    elif dmabuf is None or peermem == "unknown":
        possible = None
    else:
        possible = False
    memlock = facts.value("host", "memlock")
    found.put(
        "rdma.registration",
        {
            "peermem": peermem,
            "dmabuf": dmabuf,
            "module": facts.value("driver", "module") or "",
            "memlock": memlock,
            "possible": possible,
            "devices": len({str(row.get("name")) for row in facts.rows("rdma.devices")}),
            "active": sum(row.get("state") == "ACTIVE" for row in facts.rows("rdma.devices")),
            "note": _note(peermem, dmabuf, possible, memlock),
        },
        "derived",
    )
    return found


def _peermem(modules: dict[str, dict[str, object]]) -> str:
    # nv_peer_mem is the older module of the same purpose (Mellanox/nv_peer_memory).
    rows = [modules[name] for name in ("nvidia_peermem", "nv_peer_mem") if name in modules]
    if any(row.get("loaded") for row in rows):
        return "loaded"
    if any(row.get("available") for row in rows):
        return "available"
    return "unknown" if any(row.get("available") is None for row in rows) else "absent"


def _dmabuf(facts: Facts) -> bool | None:
    kernel = re.match(r"(\d{1,4})\.(\d{1,4})", str(facts.value("host", "kernel") or ""))
    if kernel and (int(kernel.group(1)), int(kernel.group(2))) < _DMABUF_KERNEL:
        return False
    offered = facts.value("cuda.init", "dmabuf")
    return offered if isinstance(offered, bool) else None


def _note(peermem: str, dmabuf: bool | None, possible: bool | None, memlock: object) -> str:
    ways = {
        "loaded": "nvidia_peermem is loaded",
        "available": "nvidia_peermem is installed and not loaded",
        "absent": "nvidia_peermem is not installed",
        "unknown": "whether nvidia_peermem is installed cannot be seen from here",
    }[peermem]
    buffers = {True: "DMA-BUF is offered", False: "DMA-BUF is not offered", None: "DMA-BUF could not be asked"}[dmabuf]
    verdict = {True: "can", False: "cannot", None: "may or may not"}[possible]
    note = f"GPU memory {verdict} be registered for RDMA: {ways}, {buffers}"
    if isinstance(memlock, int) and 0 <= memlock < 1 << 30:
        note += f"; the memlock limit is {memlock >> 10} KiB, registration needs it unlimited"
    return note + "."
