"""Builds of the kernel for each kind of GPU: which one is loaded here, and what of its absence or damage matters."""

from __future__ import annotations

from typing import Any

from sgldoctor.derive import pins
from sgldoctor.facts import Facts

VARIANTS = [("9.0", "sm90", True), ("10.0", "sm100", False), ("", "fallback", True)]


PACKAGES = [
    {"name": "sglang", "version": "0.5.8", "location": "/s", "requires": ["sgl-kernel==0.3.21"]},
    {"name": "sgl-kernel", "version": "0.3.21", "location": "/s", "requires": []},
]


def facts(
    *gpus: tuple[str, str],
    variants: list[tuple[str, str, bool]] = VARIANTS,
    packages: list[dict[str, Any]] = PACKAGES,
) -> Facts:
    made = Facts()
    made.put("packages", packages, "probe")
    made.put("gpus", [{"name": name, "capability": capability} for name, capability in gpus], "probe")
    made.put("kernel.variants", [{"capability": c, "folder": f, "present": there} for c, f, there in variants], "probe")
    return made


def unloadable(*gpus: tuple[str, str], **keys: Any) -> list[dict[str, Any]]:
    return list(pins.derive(facts(*gpus, **keys)).rows("kernel.unloadable"))


def test_a_gpu_whose_build_is_absent_is_named_with_what_brings_it() -> None:
    (row,) = unloadable(("H100", "9.0"), ("B200", "10.0"))
    assert row == {
        "capability": "10.0", "name": "B200", "folder": "sm100", "owner": "sgl-kernel", "pin": "sgl-kernel==0.3.21",
        "text": "B200 (compute capability 10.0) loads sgl_kernel/sm100, which holds no common_ops",
    }  # fmt: skip


def test_builds_for_other_gpus_may_be_absent() -> None:
    assert unloadable(("H100", "9.0")) == []


def test_a_gpu_without_a_build_of_its_own_loads_the_one_for_all_others() -> None:
    assert unloadable(("A100", "8.0")) == []
    (row,) = unloadable(("A100", "8.0"), variants=[("9.0", "sm90", True), ("", "fallback", False)])
    assert (row["name"], row["folder"]) == ("A100", "fallback")


def test_nothing_is_said_where_the_gpu_or_its_build_is_not_known() -> None:
    gone = [("9.0", "sm90", False), ("", "fallback", False)]
    assert unloadable(("H100", ""), variants=gone) == []
    assert unloadable(("A100", "8.0"), variants=[("9.0", "sm90", False)]) == []


def test_without_a_distribution_of_the_kernel_the_row_still_says_whose_folder_it_is() -> None:
    (row,) = unloadable(("B200", "10.0"), packages=[{"name": "numpy", "version": "2.4.6", "requires": []}])
    assert (row["owner"], row["pin"]) == ("the kernel", "")


def test_damage_to_a_build_that_no_gpu_here_loads_is_not_needed() -> None:
    def needed(*files: str, gpus: tuple[tuple[str, str], ...] = (("H100", "9.0"),)) -> bool:
        made = facts(*gpus)
        row = {"name": "sgl-kernel", "version": "0.3.21", "file": files[0], "files": list(files)}
        made.put("record.damaged", row, "probe")
        (found,) = pins.derive(made).rows("packages.damaged")
        return bool(found["needed"])

    assert needed("sgl_kernel/sm90/common_ops.abi3.so")
    assert not needed("sgl_kernel/sm100/common_ops.abi3.so")
    assert not needed("sgl_kernel/fallback/common_ops.abi3.so")
    assert needed("sgl_kernel/sm100/common_ops.abi3.so", "sgl_kernel/sm90/common_ops.abi3.so")
    assert needed("sgl_kernel/__init__.py")
    assert needed("sgl_kernel/sm100/common_ops.abi3.so", gpus=(("H100", "9.0"), ("B200", "10.0")))
    assert needed("sgl_kernel/sm100/common_ops.abi3.so", gpus=())
