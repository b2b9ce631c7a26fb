"""What of the machine is sick or too small: GPUs that report errors, limits and disks that will be run into. Pure."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row

NOFILE = 65535
"""Open files that SGLang asks for at start (``srt/utils/common.py:set_ulimit``, 0.5.23); the hard limit bounds it."""
ROOM = {"models": 20 << 10, "caches": 5 << 10, "temporary files": 1 << 10}
"""MiB that should be free: a small model; the kernels that are compiled at first use; sockets and build files."""
RECENT = 7 * 86400
"""Seconds: an older complaint of the driver has been lived with."""


def derive(facts: Facts) -> Facts:
    """The facts ``gpu.troubles`` and ``host.shortages``, each where what it is made of is known."""
    found = Facts()
    if facts.known("gpus") or facts.known("host.events"):
        found.put("gpu.troubles", [*_states(facts), *_links_down(facts), *_complaints(facts)], "derived")
    if facts.known("host") or facts.known("disks"):
        found.put("host.shortages", [*_limits(facts), *_disks(facts)], "derived")
    return found


def _trouble(where: str, kind: str, text: str) -> Row:
    return {"device": where, "kind": kind, "text": text}


def _states(facts: Facts) -> list[Row]:
    rows = []
    for gpu in facts.rows("gpus"):
        name = f"GPU {gpu.get('index')}"
        fabric, errors = gpu.get("fabric"), gpu.get("ecc_uncorrected")
        if fabric in ("not started", "in progress"):
            rows.append(_trouble(name, "fabric", f"{name}: its registration with the NVSwitch fabric is {fabric}"))
        if isinstance(errors, int) and errors > 0:
            rows.append(_trouble(name, "ecc", f"{name}: {errors} memory errors that ECC could not correct"))
        recoveries = gpu.get("nvlink_recoveries")
        if isinstance(recoveries, int) and recoveries > 0:
            again = gpu.get("nvlink_replays")
            text = f"{name}: its NVLinks had to recover {recoveries} times, and sent {again} packets again"
            rows.append(_trouble(name, "recoveries", text))
        if gpu.get("persistence") is False:
            rows.append(_trouble(name, "persistence", f"{name}: persistence mode is off"))
        if gpu.get("mig") is True:
            rows.append(_trouble(name, "mig", f"{name}: MIG is on, so a process sees one slice of it at most"))
    return rows


def _links_down(facts: Facts) -> list[Row]:
    """GPUs behind an NVSwitch with fewer NVLinks up than their equals: only there are all of them wired alike."""
    rows = []
    models: dict[str, list[Row]] = {}
    for gpu in facts.rows("gpus"):
        if isinstance(gpu.get("nvlinks"), int):
            models.setdefault(str(gpu.get("name")), []).append(gpu)
    for gpus in models.values():
        most = max(gpu["nvlinks"] for gpu in gpus)
        for gpu in gpus if any(gpu.get("nvswitch") for gpu in gpus) else ():
            if gpu["nvlinks"] < most:
                name = f"GPU {gpu.get('index')}"
                text = f"{name}: {gpu['nvlinks']} NVLinks are up, its equals have {most}"
                rows.append(_trouble(name, "nvlink", text))
    return rows


def _complaints(facts: Facts) -> list[Row]:
    """Xid messages that tell of hardware or driver, each number once for a device; programs cause the others."""
    rows: dict[tuple[str, str], Row] = {}
    for event in facts.rows("host.events"):
        age = event.get("age_s")
        if event.get("kind") != "xid" or event.get("by_program") or (isinstance(age, int) and age > RECENT):
            continue
        meaning = str(event.get("meaning") or "see NVIDIA's list of Xid errors")
        device = str(event.get("device") or "a GPU")
        kind = "nvlink" if "NVLink" in meaning else "xid"
        text = f"{device}: the driver reported Xid {event.get('code')}: {meaning}"
        rows.setdefault((device, str(event.get("code"))), _trouble(device, kind, text))
    return list(rows.values())


def _shortage(what: str, kind: str, text: str) -> Row:
    return {"what": what, "kind": kind, "text": text}


def _limits(facts: Facts) -> list[Row]:
    rows = []
    files = facts.value("host", "nofile_hard")
    if isinstance(files, int) and 0 <= files < NOFILE:
        text = f"at most {files} open files are allowed, SGLang asks for {NOFILE}"
        rows.append(_shortage("open files", "nofile", text))
    locked = facts.value("host", "memlock_hard")
    if isinstance(locked, int) and locked >= 0 and facts.rows("rdma.devices"):
        text = f"{locked >> 10} KiB of memory may be locked; RDMA registration needs it unlimited"
        rows.append(_shortage("locked memory", "memlock", text))
    limit, gpus = facts.value("host", "memory_limit_mib"), facts.rows("gpus")
    largest = max((gpu["memory_total_mib"] for gpu in gpus if isinstance(gpu.get("memory_total_mib"), int)), default=0)
    if isinstance(limit, int) and largest and limit < largest // 4:
        text = f"the container may use {limit} MiB of memory, and one GPU alone has {largest} MiB to fill through it"
        rows.append(_shortage("memory of the container", "memory", text))
    return rows


def _disks(facts: Facts) -> list[Row]:
    rows = []
    for disk in facts.rows("disks"):
        purpose, free = str(disk.get("for")), disk.get("free_mib")
        if purpose == "models" and any(row.get("complete") for row in facts.rows("hub.models")):
            continue  # what is wanted may be there already
        if purpose == "models" and disk.get("writable") is False:
            text = f"{disk.get('path')} cannot be written, and models are downloaded there"
            rows.append(_shortage(str(disk.get("path")), "models read-only", text))
            continue
        if purpose == "flashinfer":
            if disk.get("writable") is False:
                text = f"{disk.get('path')} cannot be written, and flashinfer makes a log there when it is imported"
                rows.append(_shortage(str(disk.get("path")), "flashinfer read-only", text))
            continue
        if purpose == "caches" and disk.get("writable") is False:
            text = f"{disk.get('path')} cannot be written, and kernels that are compiled at first use are kept there"
            rows.append(_shortage(str(disk.get("path")), "read-only", text))
            continue
        if isinstance(free, int) and free < ROOM.get(purpose, 0):
            text = f"{free} MiB are free for {purpose} in {disk.get('path')}"
            rows.append(_shortage(f"disk for {purpose}", "disk", text))
    return rows
