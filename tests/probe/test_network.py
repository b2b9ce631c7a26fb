from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sgldoctor.probe.network import asked, interfaces, ports
from tests.probe.machine import lay, target

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(port: int, state: str, inode: int, address: str = "00000000") -> str:
    return (
        f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0\n"
    )


def test_this_machine_has_its_loopback() -> None:
    rows = {row["name"]: row for row in interfaces(target("/", os.environ)).rows("interfaces")}
    assert rows["lo"]["up"] is True
    assert "127.0.0.1" in rows["lo"]["addresses"]


def test_a_listening_socket_of_ours_is_found_with_its_owner() -> None:
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))  # bound, and nobody listens
        asked = [(taken.getsockname()[1], "http"), (free.getsockname()[1], "dist-init")]
        first, second = ports(target("/", os.environ), asked).rows("ports")
    assert (first["state"], first["for"]) == ("taken", "http")
    assert first["holder"].endswith(f"(pid {os.getpid()})")
    assert (second["state"], second["holder"]) == ("free", "")


def test_interfaces_of_a_root(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "/sys/class/net/eth0/flags": "0x1003\n",
            "/sys/class/net/eth0/mtu": "9000\n",
            "/sys/class/net/eth0/speed": "-1\n",
            "/sys/class/net/eth0/device/numa_node": "0\n",
            "/sys/class/net/ib0/flags": "0x1002\n",
            "/sys/class/net/bonding_masters": "bond0\n",
            "/proc/net/if_inet6": "fe800000000000000000000000000001 02 40 20 80     eth0\nbroken line\n",
        },
    )
    assert interfaces(target(root)).rows("interfaces") == (
        {"name": "eth0", "up": True, "addresses": ["fe80::1"], "mtu": 9000, "speed": None, "numa": 0},
        {"name": "ib0", "up": False, "addresses": [], "mtu": None, "speed": None, "numa": None},
    )


def test_ports_of_a_root(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "/proc/net/tcp": HEADER + line(30000, "0A", 77) + line(30001, "01", 78) + "garbage\n",
            "/proc/net/tcp6": HEADER + line(30002, "0A", 79, "0" * 32),
            "/proc/12/comm": "python3\n",
            "/proc/12/fd/1": "->/dev/null",
            "/proc/12/fd/3": "->socket:[77]",
            "/proc/self/comm": "",
        },
    )
    rows = ports(target(root), [(30000, "http"), (30001, ""), (30002, "")]).rows("ports")
    assert [(row["state"], row["holder"]) for row in rows] == [
        ("taken", "python3 (pid 12)"),
        ("free", ""),
        ("taken", ""),
    ]


@pytest.mark.parametrize(
    ("flag", "value", "wanted"),
    [
        ("--port", "30000", [(30000, "http")]),
        ("--port", "0", []),
        ("--port", "99999999999999999999", []),
        ("--port", "$PORT", []),
        ("--dist-init-addr", "127.0.0.1:5000", [(5000, "dist-init")]),
        ("--dist-init-addr", "10.0.0.1:5000", []),
        ("--dist-init-addr", "5000", []),
        ("--tp-size", "8", []),
    ],
)
def test_ports_of_a_launch_line(flag: str, value: str, wanted: list[tuple[int, str]]) -> None:
    assert asked([{"flag": flag, "value": value}]) == wanted


def test_without_proc(tmp_path: Path) -> None:
    assert [entry.what for entry in ports(target(tmp_path), [(1, "")]).unknown] == ["ports"]
    assert [entry.what for entry in interfaces(target(tmp_path)).unknown] == ["interfaces"]
