"""Probing: a live machine and a Python environment, read without importing anything of it.

Every probe is a function from a :class:`~sgldoctor.probe.target.Target` to facts. Each runs in a thread of its own
with a time limit, because a dead network folder or a sick driver can stop any read for ever; one that does not answer
is named and costs only its limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sgldoctor.facts import Facts
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target

SECONDS = 2.0
"""Limit of an ordinary probe."""
GPU_SECONDS = 9.0
"""Limit of the GPU probe: without the persistence daemon the driver wakes every GPU anew, a second or more for each."""
LIBRARY_SECONDS = 8.0
"""Limit of reading packages and libraries, as long as they get on: silent for :data:`SECONDS`, they hang, and are left.
With an empty page cache both take 0.9 s (SGLang 0.5.8) to 1.1 s (0.5.23) on a local disk; a network disk is several
times slower, and what was read of thousands of files in 2 s would be lost with the rest. The probes run side by side,
so all of them together end within 10 s."""
LOOK = 0.25
"""How often a probe that may take longer is asked whether it gets on, in seconds."""

Probe = Callable[[Target], Facts]


def examine(target: Target, patience: float = 1.0) -> Facts:
    """Run all probes side by side; what fails or hangs becomes an "unknown, because".

    ``patience``: by how much the limits are stretched, for a machine known to be slow or busy.
    """
    facts = Facts()
    rooted.DONE.clear()
    running = [_Run(name, probe, target, limit * patience) for name, probe, limit in _probes(target.pid)]
    for run in running:
        run.collect(facts)
    return facts


def _probes(pid: int = 0) -> list[tuple[str, Probe, float]]:
    from sgldoctor.probe.disks import disks
    from sgldoctor.probe.environment import environment
    from sgldoctor.probe.gpu import gpus
    from sgldoctor.probe.host import host
    from sgldoctor.probe.hub import hub
    from sgldoctor.probe.network import interfaces
    from sgldoctor.probe.rdma import rdma
    from sgldoctor.probe.toolkit import toolkit

    probes: list[tuple[str, Probe, float]] = [
        ("gpus", lambda target: gpus(target, GPU_SECONDS - 1), GPU_SECONDS),
        ("packages", _Installed(), LIBRARY_SECONDS),
        ("environment", environment, SECONDS),
        ("host", host, SECONDS),
        ("interfaces", interfaces, SECONDS),
        ("rdma", rdma, SECONDS),
        ("toolkit", toolkit, SECONDS),
        ("hub", hub, SECONDS),
        ("disks", disks, SECONDS),
    ]
    if pid:
        from sgldoctor.probe.process import process

        probes.append(("process", process, SECONDS))
    return probes


class _Installed:
    """Packages first, then the libraries that they bring: the second needs to know the first.

    Attributes:
        sofar: what is known of the packages, once it is: it counts where the libraries do not answer.
    """

    def __init__(self) -> None:
        self.sofar: Facts | None = None

    def __call__(self, target: Target) -> Facts:
        from sgldoctor.probe.libraries import libraries
        from sgldoctor.probe.packages import packages

        begin = time.perf_counter()
        found = packages(target)
        middle = time.perf_counter()
        found.seconds["packages"] = middle - begin
        self.sofar = found
        facts = Facts()
        facts.merge(found)
        facts.merge(libraries(target, found))
        facts.seconds["libraries"] = time.perf_counter() - middle
        _say_unread(target, facts)
        return facts


def _say_unread(target: Target, facts: Facts) -> None:
    """What of the environment could not be read is no proof of health, nor of anything that would be missing."""
    inside = tuple(f"{folder.rstrip('/')}/" for folder in (target.prefix, *target.sites) if folder)
    unread = {path: reason for path, reason in sorted(rooted.UNREAD.items()) if f"{path}/".startswith(inside)}
    if unread:
        path, reason = next(iter(unread.items()))
        more = f", and {len(unread) - 1} more" if len(unread) > 1 else ""
        facts.put_unknown("files", f"cannot be read: {path} ({reason}){more}", essential=True)


class _Run:
    """One probe under way."""

    def __init__(self, name: str, probe: Probe, target: Target, limit: float) -> None:
        self.name, self.probe = name, probe
        self.limit = limit
        self.begin = time.perf_counter()
        self.end = 0.0
        self.facts: Facts | None = None
        self.failure = ""
        self.thread = threading.Thread(target=self._work, args=(probe, target), name=f"probe-{name}", daemon=True)
        self.thread.start()

    def _work(self, probe: Probe, target: Target) -> None:
        try:
            self.facts = probe(target)
        except Exception as error:  # noqa: BLE001 - one probe must never take the others down; it is reported
            self.failure = f"the probe failed: {type(error).__name__}: {error}"
        self.end = time.perf_counter()

    def _wait(self) -> float:
        """Wait for the end, no longer than it may take; the limit that it ran into if it did not end."""
        quiet = self.limit * SECONDS / LIBRARY_SECONDS if self.name == "packages" else self.limit
        done, since = -1, self.begin
        while self.thread.is_alive():
            now = time.perf_counter()
            if self.thread.ident in rooted.DONE and rooted.DONE[self.thread.ident] != done:
                done, since = rooted.DONE[self.thread.ident], now
            left = min(self.begin + self.limit, since + quiet) - now
            if left <= 0:
                return quiet if now < self.begin + self.limit else self.limit
            self.thread.join(min(left, LOOK) if quiet < self.limit else left)
        return 0.0

    def collect(self, facts: Facts) -> None:
        limit = self._wait()
        if self.facts is not None:
            facts.merge(self.facts)
            facts.seconds.setdefault(self.name, self.end - self.begin)
            return
        because = self.failure or f"no answer within {limit:g} s"
        name, sofar = self.name, getattr(self.probe, "sofar", None)
        if sofar is not None:
            facts.merge(sofar)
            name = "libraries"
        facts.put_unknown(name, because, essential=self.name == "packages")
        facts.seconds[self.name] = (self.end or time.perf_counter()) - self.begin
