"""What the processes of a command are doing, told from ``/proc`` alone."""

from __future__ import annotations

import os
import time

from sgldoctor.typed import NamedTuple

_SAMPLE = 1.0
STATES = {"R": "runs", "S": "waits", "D": "waits for a device or file system", "T": "is stopped", "Z": "has ended"}


class Busy(NamedTuple):
    """A process: its number, name, state, and the share of one core that it used just now."""

    pid: int
    name: str
    state: str
    share: float


def of(parent: int, seconds: float = _SAMPLE) -> list[Busy]:
    """The command and everything that it has started, busiest first; empty where there is no ``/proc``."""
    before = _read_all()
    time.sleep(seconds)
    tick = os.sysconf("SC_CLK_TCK") * seconds
    after = _read_all()
    family = _family(parent, after)
    rows = [
        Busy(pid, name, state, max(0.0, (spent - before[pid][3]) / tick) if pid in before else 0.0)
        for pid, (name, state, _, spent) in after.items()
        if pid in family
    ]
    return sorted(rows, key=lambda row: (-row.share, row.pid))


def _family(parent: int, table: dict[int, tuple[str, str, int, int]]) -> set[int]:
    found = {parent}
    while more := {pid for pid, row in table.items() if row[2] in found and pid not in found}:
        found |= more
    return found


def _read_all() -> dict[int, tuple[str, str, int, int]]:
    """Of each process: name, state, parent, ticks of processor time (``man proc_pid_stat``: 2 3 4 14 15)."""
    table = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:  # it has ended
            continue
        name = text[text.find("(") + 1 : text.rfind(")")]
        fields = text[text.rfind(")") + 2 :].split()
        table[int(entry)] = (name, fields[0], int(fields[1]), int(fields[11]) + int(fields[12]))
    return table
