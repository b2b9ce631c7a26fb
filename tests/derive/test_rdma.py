from __future__ import annotations

from typing import Any

import pytest

from sgldoctor.derive.rdma import derive
from sgldoctor.facts import Facts


def facts(
    peermem: tuple[bool, bool | None], dmabuf: bool | None, kernel: str = "6.8.0-79-generic", memlock: int | None = -1
) -> Facts:
    made = Facts()
    made.put("modules", {"name": "nvidia_peermem", "loaded": peermem[0], "available": peermem[1]}, "probe")
    made.put("host", {"kernel": kernel, "memlock": memlock}, "probe")
    made.put("driver", {"module": "open"}, "probe")
    if dmabuf is not None:
        made.put("cuda.init", {"dmabuf": dmabuf}, "probe")
    made.put("rdma.devices", [{"name": "mlx5_0", "state": "ACTIVE"}, {"name": "mlx5_0", "state": "DOWN"}], "probe")
    return made


def registration(*arguments: Any, **more: Any) -> dict[str, Any]:
    return derive(facts(*arguments, **more)).one("rdma.registration")


@pytest.mark.parametrize(
    ("peermem", "dmabuf", "word", "possible"),
    [
        ((True, True), False, "loaded", True),
        ((False, True), True, "available", True),  # as seen on a H100 with the open module: no fault
        ((False, False), True, "absent", True),
        ((False, True), False, "available", False),
        ((False, False), False, "absent", False),
        ((False, False), None, "absent", None),
        ((False, None), False, "unknown", None),
        ((False, None), True, "unknown", True),
    ],
)
def test_ways_to_register(
    peermem: tuple[bool, bool | None], dmabuf: bool | None, word: str, possible: bool | None
) -> None:
    row = registration(peermem, dmabuf)
    assert (row["peermem"], row["possible"]) == (word, possible)
    assert (row["devices"], row["active"], row["module"]) == (1, 1, "open")


def test_an_old_kernel_has_no_dmabuf() -> None:
    row = registration((False, False), True, kernel="5.4.0-150-generic")
    assert (row["dmabuf"], row["possible"]) == (False, False)


def test_a_low_memlock_limit_is_said() -> None:
    assert "memlock limit is 8192 KiB" in registration((True, True), True, memlock=8 << 20)["note"]
    assert "memlock" not in registration((True, True), True)["note"]


def test_nothing_without_modules() -> None:
    assert not derive(Facts()).known("rdma.registration")
