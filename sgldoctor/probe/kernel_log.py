"""What the kernel said of GPUs and memory: NVRM Xid lines and kills for lack of memory, from /dev/kmsg."""

from __future__ import annotations

import os
import re
import time

from sgldoctor.facts import Facts, Row
from sgldoctor.probe.files import locate
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

# NVIDIA, "Xid Errors" (docs.nvidia.com/deploy/xid-errors): those that a program causes, not the hardware or driver.
_BY_PROGRAMS = {13, 31, 43, 45, 68, 69}
_MEANINGS = {
    13: "graphics engine exception: usually an out-of-bounds access of the program",
    31: "memory page fault: usually an illegal address in the program",
    43: "the GPU stopped processing; the program was ended",
    45: "preemptive clean-up: the program was killed or crashed before",
    48: "double-bit ECC error",
    62: "internal micro-controller halt",
    63: "a memory row is to be remapped: reset the GPU when possible",
    64: "remapping a memory row failed",
    74: "NVLink error",
    79: "the GPU has fallen off the bus: power, cooling or PCIe",
    92: "many single-bit ECC errors",
    94: "contained ECC error: one program is hit",
    95: "uncontained ECC error: reset the GPU",
    119: "the GSP does not answer: reset the GPU or reboot",
    120: "GSP error",
    145: "NVLink error",
    149: "NVLink error",
}
_RECORDS = 50_000
_KEPT = 50


def kernel_events(target: Target) -> Facts:
    """The fact ``host.events``, newest last; unknown where the kernel log may not be read, as in most containers."""
    facts = Facts()
    records, because = _records(locate(target, "/dev/kmsg"))
    if because:
        facts.put_unknown("host.events", because)
        return facts
    now = time.monotonic() if target.live else None
    rows = [row for record in records if (row := parse(record, now)) is not None]
    facts.put("host.events", rows[-_KEPT:], "probe")
    return facts


def _records(path: str) -> tuple[list[str], str]:
    """The records of the ring buffer: one per read(2), until there is no more."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return [], f"/dev/kmsg: {error.strerror}"
    records: list[str] = []
    try:
        for _ in range(_RECORDS):
            try:
                data = os.read(handle, 8192)
            except BlockingIOError:  # the end, for now
                break
            except BrokenPipeError:  # a record was overwritten while we read; the next read goes on
                continue
            if not data:
                break
            records += data.decode("utf-8", "replace").splitlines()
    except OSError as error:
        return [], f"/dev/kmsg: {error.strerror}"
    finally:
        os.close(handle)
    return records, ""


def parse(record: str, now: float | None) -> Row | None:
    """One record, ``6,812,90123456,-;NVRM: Xid (PCI:0000:3b:00): 79, ...`` (Documentation/ABI/testing/dev-kmsg)."""
    head, separator, text = record.partition(";")
    if not separator:
        return None
    stamp = head.split(",")[2:3]
    age = max(0, int(now - int(stamp[0]) / 1e6)) if now is not None and stamp and stamp[0].isdecimal() else None
    xid = re.search(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]{1,20})[^)]{0,40}\): (\d{1,4}),", text)
    if xid:
        code = int(xid.group(2))
        row: Row = {"kind": "xid", "code": code, "device": xid.group(1), "by_program": code in _BY_PROGRAMS}
        return {**row, "meaning": _MEANINGS.get(code, ""), "text": text[:300], "age_s": age}
    killed = re.search(r"[Oo]ut of memory: Killed process (\d{1,10}) \(([^)\n]{1,40})\)", text)
    if killed:
        row = {"kind": "oom", "code": None, "device": "", "by_program": False}
        meaning = f"the kernel killed {killed.group(2)} (pid {killed.group(1)}) for lack of memory"
        return {**row, "meaning": meaning, "text": text[:300], "age_s": age}
    return None
