"""Kernel modules and RDMA devices, read from files: lsmod, modinfo and ibstat are often absent."""

from __future__ import annotations

import os

from sgldoctor.facts import Facts
from sgldoctor.probe.files import names, numa, read
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

MODULES = (
    "nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_peermem", "nv_peer_mem", "nvidia_fs", "gdrdrv", "ib_core",
    "ib_uverbs", "rdma_cm", "mlx5_core", "mlx5_ib", "efa", "irdma", "bnxt_re",
)  # fmt: skip


def rdma(target: Target) -> Facts:
    """The facts ``modules`` and ``rdma.devices``; unknown where the target has neither /proc nor /sys."""
    facts = Facts()
    _modules(target, facts)
    _devices(target, facts)
    hidden = any(row["available"] is None for row in facts.rows("modules"))
    if hidden and facts.rows("rdma.devices"):  # without devices nobody asks which modules could be loaded
        facts.put_unknown("modules.available", "no /lib/modules of the running kernel to read, as in most containers")
    return facts


def _modules(target: Target, facts: Facts) -> None:
    listed = read(target, "/proc/modules")
    if listed is not None:
        loaded = {line.split(" ", 1)[0] for line in listed.splitlines() if line}
    else:
        entries = names(target, "/sys/module")
        if entries is None:
            facts.put_unknown("modules", "neither /proc/modules nor /sys/module can be read")
            return
        loaded = set(entries)
    release = os.uname().release if target.live else (read(target, "/proc/sys/kernel/osrelease") or "").strip()
    index = "".join(
        read(target, f"/lib/modules/{release}/{file}", 4 << 20) or "" for file in ("modules.dep", "modules.builtin")
    )
    rows = []
    for module in MODULES:
        # File names use either - or _: nvidia-peermem.ko, nv_peer_mem.ko.xz.
        there = f"/{module}.ko" in index or f"/{module.replace('_', '-')}.ko" in index
        # In a container /lib/modules is the image's and usually empty: "not available" would be a guess then.
        available = there if index else None
        rows.append({"name": module, "loaded": module in loaded, "available": available})
    facts.put("modules", rows, "probe")


def _devices(target: Target, facts: Facts) -> None:
    base = "/sys/class/infiniband"
    devices = names(target, base)
    if devices is None:
        if names(target, "/sys/class") is None:
            facts.put_unknown("rdma.devices", "/sys/class cannot be read")
        else:
            facts.put("rdma.devices", [], "probe")
        return
    verbs = {
        read(target, f"/sys/class/infiniband_verbs/{entry}/ibdev", 256)
        for entry in names(target, "/sys/class/infiniband_verbs") or []
    }
    exposed = {(name or "").strip() for name in verbs}
    present = any(entry.startswith("uverbs") for entry in names(target, "/dev/infiniband") or [])
    rows = []
    for device in devices:
        board = {
            "numa": numa(target, f"{base}/{device}/device"),
            "firmware": (read(target, f"{base}/{device}/fw_ver", 256) or "").strip(),
            "board": (read(target, f"{base}/{device}/board_id", 256) or "").strip(),
        }
        for port in names(target, f"{base}/{device}/ports") or []:
            folder = f"{base}/{device}/ports/{port}"
            rows.append(
                {
                    "name": device,
                    "port": port,
                    "state": _after_colon(read(target, f"{folder}/state", 256)),
                    "link_layer": (read(target, f"{folder}/link_layer", 256) or "").strip(),
                    "rate": (read(target, f"{folder}/rate", 256) or "").strip(),
                    "exposed": present and (not exposed - {""} or device in exposed),
                    **board,
                }
            )
    facts.put("rdma.devices", rows, "probe")


def _after_colon(text: str | None) -> str:
    """``4: ACTIVE`` -> ``ACTIVE``."""
    return (text or "").strip().partition(": ")[2] or (text or "").strip()
