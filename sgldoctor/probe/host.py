"""The host: system, glibc, container, memory, limits. From files; no program is started and no root is needed."""

from __future__ import annotations

import os
import re
import sys

from sgldoctor.facts import Facts
from sgldoctor.probe import rooted
from sgldoctor.probe.files import exists, locate, names, read, which
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

_LIBC = (
    "/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6",
    "/usr/lib64/libc.so.6", "/lib/libc.so.6",
)  # fmt: skip
_UNLIMITED_V1 = 1 << 60  # cgroup v1 writes LONG_MAX rounded to pages where there is no limit


def host(target: Target) -> Facts:
    """The fact ``host``. What belongs to a running machine is None for an unpacked root."""
    facts = Facts()
    row: dict[str, Any] = {
        "system": _system(target),
        "machine": _machine(target),
        "kernel": os.uname().release
        if target.live
        else (read(target, "/proc/sys/kernel/osrelease") or "").strip() or None,
        "distribution": _distribution(target),
        "glibc": glibc(target),
        "container": container(target),
        "cpus": _cpus(target),
        "memory_mib": _memory(target),
        "memory_limit_mib": memory_limit(target),
        "shm_mib": _shm(target),
        "nofile": None,
        "nofile_hard": None,
        "memlock": None,
        "memlock_hard": None,
        "gcc": _compiler(target),
        "root": os.geteuid() == 0 if hasattr(os, "geteuid") else None,
    }
    if target.live:
        row.update(_limits())
    if row["glibc"] is None and row["system"] == "linux":
        because = "musl, not glibc" if _musl(target) else "libc.so.6 not found or without a version"
        facts.put_unknown("glibc", because)
    facts.put("host", row, "probe")
    return facts


def _system(target: Target) -> str:
    """``linux``, ``darwin`` or ``windows``; an unpacked root is taken for what its folders say."""
    if target.live:
        return {"win32": "windows"}.get(sys.platform, sys.platform.rstrip("0123456789"))
    return (
        "windows" if exists(target, "/Windows/System32") else "darwin" if exists(target, "/System/Library") else "linux"
    )


def _machine(target: Target) -> str | None:
    if target.live:
        return os.uname().machine
    for loader, machine in (
        ("/lib64/ld-linux-x86-64.so.2", "x86_64"),
        ("/lib/ld-linux-aarch64.so.1", "aarch64"),
        ("/lib/ld-musl-x86_64.so.1", "x86_64"),
        ("/lib/ld-musl-aarch64.so.1", "aarch64"),
    ):
        if exists(target, loader):
            return machine
    return None


def _distribution(target: Target) -> str:
    text = read(target, "/etc/os-release") or read(target, "/usr/lib/os-release") or ""
    found = re.search(r"^PRETTY_NAME=[\"']?([^\"'\n]{1,200})", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def glibc(target: Target) -> str | None:
    """The release of glibc, ``"2.36"``, from the banner in libc.so.6 itself; None where there is none (musl)."""
    if target.live:
        try:
            found = re.search(r"\d+\.\d+", os.confstr("CS_GNU_LIBC_VERSION") or "")
        except (AttributeError, OSError, ValueError):
            found = None
        if found:
            return found.group()
    for path in _LIBC:
        data = rooted.read(target.root, path, 8 << 20)
        # csu/version.c of glibc: "GNU C Library (...) stable release version 2.36.\n"; brackets vary.
        banner = re.search(rb"GNU C Library [^\n]{0,120}release version (\d{1,2}\.\d{1,3})", data) if data else None
        if banner:
            return banner.group(1).decode()
    return None


def _musl(target: Target) -> bool:
    return any(entry.startswith("ld-musl-") for entry in names(target, "/lib") or [])


def container(target: Target) -> str:
    """``kubernetes``, ``docker``, ``podman``, ``lxc``, another runtime's name, or ``""`` outside a container."""
    if target.environ.get("KUBERNETES_SERVICE_HOST") or exists(target, "/var/run/secrets/kubernetes.io"):
        return "kubernetes"
    if exists(target, "/run/.containerenv"):
        return "podman"
    if exists(target, "/.dockerenv"):
        return "docker"
    groups = read(target, "/proc/1/cgroup") or ""
    for word, runtime in (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc")):
        if word in groups:
            return runtime
    # systemd's container interface: PID 1 is told by container=NAME; readable only to its owner.
    told = re.search(r"(?:^|\0)container=([\w-]{1,40})", read(target, "/proc/1/environ") or "")
    return told.group(1) if told else ""


def _groups(target: Target) -> list[tuple[str, str]]:
    """The (controllers, path) of this process's cgroups; the root group if they cannot be read."""
    text = read(target, "/proc/self/cgroup") or ""
    found = [tuple(line.split(":", 2)[1:]) for line in text.splitlines() if line.count(":") >= 2]
    return [(one[0], one[1]) for one in found if len(one) == 2] or [("", "/")]


def _group_values(target: Target, file: str, controller: str, old: str) -> list[str]:
    """The contents of ``file`` (cgroup v2) or ``old`` (v1) from this process's group up to the root."""
    values = []
    for controllers, path in _groups(target):
        if controllers and controller not in controllers.split(","):
            continue
        base = "/sys/fs/cgroup" if not controllers else f"/sys/fs/cgroup/{controller}"
        name = file if not controllers else old
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            text = read(target, "/".join([base, *parts[:depth], name]), 4096)
            if text is not None:
                values.append(text.strip())
    return values


def memory_limit(target: Target) -> int | None:
    """The tightest memory limit of the cgroups around this process, MiB; None if there is none."""
    texts = _group_values(target, "memory.max", "memory", "memory.limit_in_bytes")
    limits = [int(text) >> 20 for text in texts if text.isdigit() and int(text) < _UNLIMITED_V1]
    return min(limits, default=None)


def _cpus(target: Target) -> int | None:
    """CPUs that this process may use: affinity, then the cgroup's quota."""
    if not target.live:
        return None
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for text in _group_values(target, "cpu.max", "cpu", "cpu.cfs_quota_us"):
        found = re.fullmatch(r"(\d{1,12}) (\d{1,12})", text)
        if found and int(found.group(2)):
            count = min(count, max(1, -(-int(found.group(1)) // int(found.group(2)))))
    return count


def _memory(target: Target) -> int | None:
    found = re.search(r"^MemTotal:\s{1,20}(\d{1,15}) kB", read(target, "/proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) >> 10 if found else None


def _shm(target: Target) -> int | None:
    if not target.live:
        return None
    try:
        status = os.statvfs(locate(target, "/dev/shm"))  # noqa: S108 - measured, not written to
    except OSError:
        return None
    return status.f_frsize * status.f_blocks >> 20


def _limits() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # not on Windows
        return {}
    found = {}
    for column, limit in (("nofile", "RLIMIT_NOFILE"), ("memlock", "RLIMIT_MEMLOCK")):
        if hasattr(resource, limit):
            soft, hard = resource.getrlimit(getattr(resource, limit))
            found[column] = -1 if soft == resource.RLIM_INFINITY else soft
            found[f"{column}_hard"] = -1 if hard == resource.RLIM_INFINITY else hard
    return found


def _compiler(target: Target) -> str:
    # CC may hold arguments: "ccache gcc".
    asked = target.environ.get("CC", "").split()
    for program in (*asked[:1], "gcc", "cc", "clang"):
        path = which(target, program)
        if path:
            return path
    return ""
