from __future__ import annotations

from pathlib import Path

from sgldoctor.probe.rdma import rdma
from tests.probe.machine import lay, target

PORT = "/sys/class/infiniband/{device}/ports/1/{file}"


def device(name: str, state: str, layer: str) -> dict[str, str]:
    values = {"state": f"{state}\n", "link_layer": f"{layer}\n", "rate": "400 Gb/sec (4X NDR)\n"}
    return {PORT.format(device=name, file=file): value for file, value in values.items()}


def test_modules_loaded_and_available(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "/proc/modules": "nvidia_uvm 1 0 - Live 0x0\nnvidia 2 1 nvidia_uvm, Live 0x0 (POE)\n",
            "/proc/sys/kernel/osrelease": "6.8.0-79-generic\n",
            "/lib/modules/6.8.0-79-generic/modules.dep": "updates/dkms/nvidia-peermem.ko.zst: updates/dkms/nvidia.ko\n",
            "/lib/modules/6.8.0-79-generic/modules.builtin": "kernel/drivers/infiniband/core/rdma_cm.ko\n",
        },
    )
    facts = rdma(target(root))
    rows = {row["name"]: (row["loaded"], row["available"]) for row in facts.rows("modules")}
    assert rows["nvidia"] == (True, True)
    assert rows["nvidia_peermem"] == (False, True)
    assert rows["rdma_cm"] == (False, True)
    assert rows["gdrdrv"] == (False, False)
    assert [entry.what for entry in facts.unknown] == ["rdma.devices"]


def test_a_container_cannot_see_what_is_available(tmp_path: Path) -> None:
    root = lay(tmp_path, {"/proc/modules": "nvidia 1 0 - Live 0x0\n", "/sys/class/net/lo/flags": "0x9\n"})
    facts = rdma(target(root))
    rows = {row["name"]: row for row in facts.rows("modules")}
    assert rows["nvidia_peermem"]["available"] is None
    assert facts.unknown == []
    facts = rdma(target(lay(root, device("mlx5_0", "4: ACTIVE", "InfiniBand"))))
    assert [entry.what for entry in facts.unknown] == ["modules.available"]


def test_sys_module_stands_in_for_proc(tmp_path: Path) -> None:
    facts = rdma(target(lay(tmp_path, {"/sys/module/nvidia_peermem/refcnt": "0\n"})))
    assert next(row for row in facts.rows("modules") if row["name"] == "nvidia_peermem")["loaded"] is True


def test_nothing_to_read_is_unknown(tmp_path: Path) -> None:
    facts = rdma(target(tmp_path))
    assert not facts.known("modules")
    assert not facts.known("rdma.devices")
    assert {entry.what for entry in facts.unknown} == {"modules", "rdma.devices"}


def test_devices_and_what_a_container_was_given(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            **device("mlx5_0", "4: ACTIVE", "InfiniBand"),
            **device("mlx5_1", "1: DOWN", "Ethernet"),
            "/sys/class/infiniband/mlx5_0/fw_ver": "28.39.1002\n",
            "/sys/class/infiniband/mlx5_0/board_id": "MT_0838\n",
            "/sys/class/infiniband/mlx5_0/device/numa_node": "1\n",
            "/sys/class/infiniband/mlx5_1/device/numa_node": "-1\n",
            "/sys/class/infiniband_verbs/uverbs0/ibdev": "mlx5_0\n",
            "/sys/class/infiniband_verbs/abi_version": "6\n",
            "/dev/infiniband/uverbs0": "",
            "/dev/infiniband/rdma_cm": "",
        },
    )
    rows = rdma(target(root)).rows("rdma.devices")
    assert [(row["numa"], row["firmware"], row["board"]) for row in rows] == [
        (1, "28.39.1002", "MT_0838"),
        (None, "", ""),
    ]
    assert [(row["name"], row["state"], row["link_layer"], row["exposed"]) for row in rows] == [
        ("mlx5_0", "ACTIVE", "InfiniBand", True),
        ("mlx5_1", "DOWN", "Ethernet", False),
    ]
    assert rows[0]["rate"].startswith("400 Gb/sec")


def test_no_rdma_at_all_is_known_to_be_empty(tmp_path: Path) -> None:
    facts = rdma(target(lay(tmp_path, {"/sys/class/net/lo/flags": "0x9\n", "/proc/modules": ""})))
    assert facts.known("rdma.devices")
    assert facts.rows("rdma.devices") == ()
