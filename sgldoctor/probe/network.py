"""Network interfaces and ports, without ip, ss or lsof."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from sgldoctor.facts import Facts, Row
from sgldoctor.probe.files import names, numa, read
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

_IFF_UP = 1  # linux/if.h
_LISTEN = "0A"  # include/net/tcp_states.h


def interfaces(target: Target) -> Facts:
    """The fact ``interfaces``: names, state and addresses."""
    facts = Facts()
    found = names(target, "/sys/class/net")
    if found is None:
        facts.put_unknown("interfaces", "/sys/class/net cannot be read")
        return facts
    sixes = _ipv6(target)
    rows = []
    for name in found:
        flags = (read(target, f"/sys/class/net/{name}/flags", 64) or "").strip()
        if not flags:  # bonding_masters and the like are files, not interfaces
            continue
        up = re.fullmatch(r"0x[0-9a-fA-F]{1,8}", flags) is not None and bool(int(flags, 16) & _IFF_UP)
        base = f"/sys/class/net/{name}"
        rows.append(
            {
                "name": name,
                "up": up,
                "addresses": (_ipv4(name) if target.live else []) + sixes.get(name, []),
                "mtu": _number(read(target, f"{base}/mtu", 64)),
                "speed": _number(read(target, f"{base}/speed", 64)) if up else None,
                "numa": numa(target, f"{base}/device"),
            }
        )
    facts.put("interfaces", rows, "probe")
    return facts


def _number(text: str | None) -> int | None:
    """A number above 0; the kernel writes -1, or nothing, for a speed that is not known."""
    text = (text or "").strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


def _ipv4(name: str) -> list[str]:
    """The IPv4 address of one of our own interfaces, through the old ioctl: sysfs has no addresses."""
    # The C module alone: socket itself brings selectors and enum, which cost more than the whole probe.
    import _socket

    try:
        import fcntl

        handle = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        try:
            answer = fcntl.ioctl(handle.fileno(), 0x8915, name.encode()[:15].ljust(256, b"\0"))  # SIOCGIFADDR
        finally:
            handle.close()
        return [".".join(str(byte) for byte in answer[20:24])]
    except (ImportError, OSError):
        return []


def _ipv6(target: Target) -> dict[str, list[str]]:
    addresses: dict[str, list[str]] = {}
    for line in (read(target, "/proc/net/if_inet6") or "").splitlines():
        parts = line.split()
        if len(parts) == 6 and re.fullmatch(r"[0-9a-f]{32}", parts[0]):
            import _socket

            addresses.setdefault(parts[5], []).append(_socket.inet_ntop(_socket.AF_INET6, bytes.fromhex(parts[0])))
    return addresses


# Flags of launch_server that name a port to listen on, and what for.
_PORT_FLAGS = {
    "--port": "http",
    "--nccl-port": "NCCL rendezvous",
    "--disaggregation-bootstrap-port": "disaggregation bootstrap",
    "--encoder-bootstrap-port": "encoder bootstrap",
    "--engine-info-bootstrap-port": "engine info",
    "--grpc-port": "gRPC",
    "--grpc-http-sidecar-port": "HTTP beside gRPC",
    "--smg-http-sidecar-port": "HTTP beside gRPC",
}


def asked(options: Iterable[Row]) -> list[tuple[int, str]]:
    """The ports that a launch line names, from rows of ``launch.option``, for :func:`ports`.

    ``--dist-init-addr`` counts only with a local address: on other nodes than the first it names another machine.
    """
    wanted: list[tuple[int, str]] = []
    for row in options:
        flag, value = str(row.get("flag", "")), str(row.get("value", ""))
        if flag == "--dist-init-addr":
            host, _, value = value.rpartition(":")
            if host not in ("localhost", "127.0.0.1", "0.0.0.0", "[::1]"):  # noqa: S104 - compared, not bound
                continue
            purpose = "dist-init"
        elif flag in _PORT_FLAGS:
            purpose = _PORT_FLAGS[flag]
        else:
            continue
        if value.isdecimal() and 0 < int(value[:6]) < 65536:
            wanted.append((int(value), purpose))
    return wanted


def ports(target: Target, wanted: Iterable[tuple[int, str]]) -> Facts:
    """The fact ``ports`` for pairs (port, what for): taken if something listens there in this network namespace.

    Only one fact row per port; the holder is named where /proc lets us look (own processes, or all as root).
    """
    facts = Facts()
    listening: dict[int, set[str]] = {}
    readable = False
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        text = read(target, table, 64 << 20)
        if text is None:
            continue
        readable = True
        for line in text.splitlines()[1:]:
            parts = line.split()
            if len(parts) > 9 and parts[3] == _LISTEN:
                listening.setdefault(int(parts[1].rpartition(":")[2], 16), set()).add(parts[9])
    if not readable:
        facts.put_unknown("ports", "/proc/net/tcp cannot be read")
        return facts
    asked = list(wanted)
    taken = {inode for port, _ in asked for inode in listening.get(port, ())}
    holders = _holders(target, taken) if taken else {}
    rows = []
    for port, purpose in asked:
        inodes = listening.get(port, set())
        holder = next((holders[inode] for inode in sorted(inodes) if inode in holders), "")
        rows.append({"port": port, "state": "taken" if inodes else "free", "holder": holder, "for": purpose})
    facts.put("ports", rows, "probe")
    return facts


def _holders(target: Target, inodes: set[str]) -> dict[str, str]:
    """Inode of a socket to ``name (pid N)`` of a process that has it open."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, str] = {}
    for pid in names(target, "/proc") or []:
        if not pid.isdigit():
            continue
        folder = target.path(f"/proc/{pid}/fd")
        try:
            handles = os.listdir(folder)
        except OSError:  # another user's process, or gone meanwhile
            continue
        for handle in handles:
            try:
                inode = wanted.get(os.readlink(os.path.join(folder, handle)))
            except OSError:
                continue
            if inode is not None and inode not in found:
                name = (read(target, f"/proc/{pid}/comm", 256) or "").strip() or "process"
                found[inode] = f"{name} (pid {pid})"
        if len(found) == len(inodes):
            break
    return found
