"""Many nodes made from one snapshot, each with its own name, addresses, GPUs, free memory; some with a difference."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.lab_env import pins

Data = dict[str, Any]
PARTS = 8


def base() -> Data:
    """A snapshot of a sound eight-GPU node, with as many packages as a real environment has."""

    def fact(*rows: Data, source: str = "probe") -> Data:
        return {"source": source, "rows": list(rows)}

    packages = [*pins("0.5.8").items()]
    packages += [(f"package-{number}", f"{number % 7}.{number}") for number in range(100)]
    gpus = [
        {"index": index, "name": "NVIDIA H100 80GB HBM3", "uuid": "", "memory_total_mib": 81559, "capability": "9.0",
         "memory_free_mib": 81000, "memory_used_percent": 0.6, "ecc_uncorrected": 0, "mig": False, "persistence": True,
         "fabric": "completed", "pci": f"0000:{index}b:00.0", "numa": index // 4, "nvlinks": 18, "nvswitch": True,
         "vbios": "96.00.89.00.01"}
        for index in range(8)
    ]  # fmt: skip
    nics = [
        {"name": f"mlx5_{index}", "port": "1", "state": "ACTIVE", "link_layer": "InfiniBand", "rate": "400 Gb/sec",
         "exposed": True, "numa": index // 4, "firmware": "28.39.1002", "board": "MT_0838"}
        for index in range(8)
    ]  # fmt: skip
    site = "/opt/venv/lib/python3.11/site-packages"
    facts = {
        "python": fact(
            {"version": "3.11.7", "executable": "/opt/venv/bin/python", "prefix": "/opt/venv", "kind": "venv"}
        ),
        "packages": fact(*({"name": n, "version": v, "location": site, "installer": "uv"} for n, v in packages)),
        "kernel.folder": fact({"path": f"{site}/sgl_kernel", "importable": True}),
        "gpus": fact(*gpus),
        "gpu.processes": fact(),
        "driver": fact({"version": "580.95.05", "cuda": "13.0", "module": "open", "nvml": True, "loaded": True}),
        "rdma.devices": fact(*nics),
        "modules": fact({"name": "nvidia_peermem", "loaded": True, "available": True}),
        "interfaces": fact({"name": "eth0", "up": True, "addresses": [], "mtu": 9000, "speed": 100000, "numa": None}),
        "disks": fact({"path": "/models", "for": "models", "free_mib": 0, "total_mib": 7 << 20, "writable": True}),
        "environment": fact({"name": "NCCL_SOCKET_IFNAME", "value": "eth0"}),
        "host": fact({"system": "linux", "kernel": "6.8.0", "glibc": "2.39", "memory_mib": 2 << 20, "cpus": 192}),
        "clock": fact({"synchronized": True}),
        "hub.models": fact({"model": "org/name", "path": "/models/snapshots/a1b2c3", "complete": True, "problem": ""}),
    }
    return {"schema": "sgldoctor.snapshot/1", "tool": {"name": "sgldoctor", "version": "1"}, "taken": "", "host": "",
            "pseudonyms": "none", "facts": facts, "unknown": [], "seconds": {"packages": 0.1}}  # fmt: skip


class Planted(NamedTuple):
    """A difference: where, how, and how the report must call it."""

    nodes: tuple[int, ...]
    change: Callable[[Data], None]
    kind: str
    what: str
    value: str


def row(data: Data, fact: str, **where: Any) -> Data:
    """The row of a fact that fits."""
    rows: list[Data] = data["facts"][fact]["rows"]
    return next(entry for entry in rows if all(entry.get(name) == value for name, value in where.items()))


def set_value(fact: str, column: str, value: Any, **where: Any) -> Callable[[Data], None]:
    """Give one column another value."""

    def change(data: Data) -> None:
        row(data, fact, **where)[column] = value

    return change


def add(fact: str, **entry: Any) -> Callable[[Data], None]:
    """Add a row."""

    def change(data: Data) -> None:
        data["facts"][fact]["rows"].append(entry)

    return change


def drop_gpu(data: Data) -> None:
    data["facts"]["gpus"]["rows"].pop()


def planted(total: int) -> list[Planted]:
    """One difference of every kind, on nodes of a fleet of ``total``."""
    chooser = random.Random(total)

    def some(count: int) -> tuple[int, ...]:
        return tuple(sorted(chooser.sample(range(total), count)))

    many = max(total // 100, 2)
    package = {"name": "nvidia-nccl-cu12"}
    return [
        Planted(some(3), set_value("packages", "version", "2.28.9", **package), "nccl", "nvidia-nccl-cu12", "2.28.9"),
        Planted(some(1), set_value("packages", "version", "2.9.0", name="torch"), "torch", "torch", "2.9.0"),
        Planted(some(2), set_value("packages", "version", "0.5.7", name="sglang"), "sglang", "sglang", "0.5.7"),
        Planted(some(many), set_value("interfaces", "mtu", 1500), "network", "MTU of eth0", "1500"),
        Planted(
            some(1), set_value("rdma.devices", "state", "DOWN", name="mlx5_3"), "network", "RDMA port mlx5_3/1",
            "DOWN InfiniBand 400 Gb/sec",
        ),
        Planted(
            some(2), add("environment", name="NCCL_ALGO", value="Tree"), "collective-variable", "NCCL_ALGO", "Tree"
        ),
        Planted(some(1), drop_gpu, "gpu", "number of GPUs", "7"),
        Planted(some(many), set_value("driver", "version", "570.86.10"), "driver", "driver", "570.86.10"),
        Planted(some(1), set_value("modules", "loaded", False), "kernel-module", "module nvidia_peermem", "not loaded"),
        Planted(
            some(2), set_value("rdma.devices", "firmware", "28.36.1010", name="mlx5_0"), "firmware",
            "firmware of mlx5_0", "28.36.1010 MT_0838",
        ),
        Planted(
            some(1), set_value("hub.models", "path", "/models/snapshots/d4e5f6"), "model", "model org/name", "d4e5f6"
        ),
        Planted(
            some(2), add("environment", name="SGLANG_TORCH_PROFILER_DIR", value="/x"), "variable",
            "SGLANG_TORCH_PROFILER_DIR", "/x",
        ),
        Planted(
            some(1), set_value("packages", "version", "4.5.0", name="transformers"), "package", "transformers", "4.5.0"
        ),
        Planted(some(many), set_value("host", "kernel", "6.5.0"), "host", "host kernel", "6.5.0"),
        Planted(some(1), set_value("clock", "synchronized", False), "host", "clock", "not synchronized"),
    ]  # fmt: skip


def fleet(total: int, differences: Sequence[Planted], like: Data | None = None) -> Iterator[Data]:
    """The snapshots, one after the other. What differs on every node by nature differs on every node."""
    chooser = random.Random(1)
    for node in range(total):
        data = copy.deepcopy(like) if like else base()
        data["host"] = f"node{node:05d}"
        data["taken"] = f"2026-11-24T03:45:{node % 60:02d}Z"
        data["seconds"] = {"packages": chooser.random()}
        facts = data["facts"]
        for gpu in facts.get("gpus", {}).get("rows", []):
            gpu["uuid"] = f"GPU-{chooser.getrandbits(64):016x}"
            gpu["memory_free_mib"] = 80000 + chooser.randrange(1000)
            gpu["memory_used_percent"] = round(chooser.random(), 1)
        for disk in facts.get("disks", {}).get("rows", []):
            disk["free_mib"] = (3 << 20) + chooser.randrange(1 << 20)
        for interface in facts["interfaces"]["rows"]:
            interface["addresses"] = [f"10.{node >> 16 & 255}.{node >> 8 & 255}.{node & 255}"]
        facts["interfaces"]["rows"].append(
            {"name": f"veth{chooser.getrandbits(28):07x}", "up": True, "addresses": [], "mtu": 1450, "numa": None}
        )
        for difference in differences:
            if node in difference.nodes:
                difference.change(data)
        yield data


def line(data: Data) -> bytes:
    """A snapshot on one line."""
    return json.dumps(data).encode() + b"\n"
