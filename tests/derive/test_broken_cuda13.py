"""The same on the newest release: CUDA 13, whose wheels share a folder, and a kernel that asks for its torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.derive.pins import pin
from sgldoctor.knowledge import releases
from tests.lab_env import (
    CHECK,
    Lab,
    distribution,
    kernel_files,
    make_env,
    needs_gcc,
    nvidia_files,
    pins,
    shared_object,
    torch_files,
    troubles,
)

pytestmark = needs_gcc

SGLANG = releases.newest()
PINS = pins(SGLANG)
TORCH = PINS["torch"]
KERNEL = f"sglang-kernel=={PINS['sglang-kernel']}"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_env(tmp_path, SGLANG)


def test_a_sound_environment_is_silent(lab: Lab) -> None:
    facts = lab.facts()
    assert troubles(facts) == {}
    assert facts.value("torch", "cuda") == "13.0"
    assert facts.value("kernel", "status") == "right"
    assert pin("nvidia-cudnn", facts) == f"nvidia-cudnn-cu13=={PINS['nvidia-cudnn-cu13']}"
    assert pin("nvidia-cublas", facts) == f"nvidia-cublas=={PINS['nvidia-cublas']}.*"


def test_n01_the_old_kernel_added(lab: Lab) -> None:
    distribution(lab.site, "sgl-kernel", "0.3.21", [], kernel_files(lab.site, cuda="12", pad=16))
    facts = lab.facts()
    assert facts.value("kernel", "status") == "double"
    assert facts.value("kernel", "name") == "sglang-kernel"
    (pair,) = facts.rows("packages.overlapping")
    assert (pair["wanted"], pair["unwanted"], pair["pin"]) == ("sglang-kernel", "sgl-kernel", KERNEL)
    assert facts.value("kernel", "text") == (
        f"sglang-kernel {PINS['sglang-kernel']} and sgl-kernel 0.3.21 are installed, sglang {SGLANG} requires {KERNEL}"
    )
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["provider"], row["pin"]) == ("libnvrtc.so.12", "cuda-major", "", "")
    assert row["major"] == "12"


def test_several_libraries_of_another_major_are_one_fault(lab: Lab, tmp_path: Path) -> None:
    file = "sgl_kernel/flash_ops.abi3.so"
    (lab.site / file).unlink()
    needed = [shared_object(tmp_path / f"{name}.so.12") for name in ("libcublas", "libnvrtc", "libcudart")]
    shared_object(lab.site / file, needed=[*needed, lab.site / "torch/lib/libtorch.so"])
    (row,) = lab.facts().rows("libraries.unresolved")
    assert (row["library"], row["others"]) == ("libcublas.so.12", ["libnvrtc.so.12", "libcudart.so.12"])


def test_n02_a_wheel_of_the_shared_folder_is_gone(lab: Lab) -> None:
    lab.uninstall("nvidia-cublas")
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["provider"], row["provider_state"]) == ("libcublas.so.13", "nvidia-cublas", "absent")
    assert row["pin"] == f"nvidia-cublas=={PINS['nvidia-cublas']}.*"
    (missing,) = facts.rows("packages.missing")
    assert (missing["name"], missing["wanted_by"]) == ("nvidia-cublas", "cuda-toolkit")


def test_n03_a_stale_cubin_wheel(lab: Lab) -> None:
    distribution(lab.site, "flashinfer-cubin", "0.6.13")
    row = lab.facts().one("flashinfer")
    assert (row["status"], row["other_wanted"], row["pin"], row["raises"]) == ("differs", "", "", False)


def test_n04_a_newer_torch_without_its_wheels(lab: Lab) -> None:
    lab.uninstall("torch")
    files = torch_files(lab.site, check=CHECK[:-2] + "jb", version="2.15.0", local="+cu130")
    distribution(lab.site, "torch", "2.15.0", ["nvidia-cudnn-cu13==9.99.0.1", "nvidia-nccl-cu13==2.99.1"], files)
    facts = lab.facts()
    # One fault, and its cure brings the wheels that are there already: they are not to follow the wrong torch.
    assert [row["pin"] for row in facts.rows("packages.unpinned")] == [f"torch=={TORCH}"]
    assert facts.rows("packages.missing") == ()
    assert facts.value("kernel", "torch_fits") is False
    assert [row["symbol"] for row in facts.rows("symbols.undefined")] == [CHECK]


def test_n07_an_older_kernel(lab: Lab) -> None:
    lab.uninstall("sglang-kernel")
    files = kernel_files(lab.site, check=CHECK[:-2] + "jb", cuda="13")
    distribution(lab.site, "sglang-kernel", "0.4.3", [], files)
    facts = lab.facts()
    row = facts.one("kernel")
    assert (row["status"], row["torch_built"], row["torch_fits"], row["pin"]) == ("older", "2.11.0", False, KERNEL)
    assert [row["symbol"] for row in facts.rows("symbols.undefined")] == [CHECK[:-2] + "jb"]


def test_n08_leftovers_of_cuda_12_own_the_shared_files(lab: Lab) -> None:
    files = nvidia_files(lab.site, "nvidia-nccl", "12", functions=["ncclOfAnOlderRelease"], pad=8)
    distribution(lab.site, "nvidia-nccl-cu12", "2.27.5", [], files)
    facts = lab.facts()
    (mixed,) = facts.rows("packages.mixed_cuda")
    assert (mixed["wanted"], mixed["unwanted"]) == ("nvidia-nccl-cu13", "nvidia-nccl-cu12")
    assert mixed["pin"] == f"nvidia-nccl-cu13=={PINS['nvidia-nccl-cu13']}"
    (row,) = facts.rows("symbols.undefined")
    assert (row["symbol"], row["kind"], row["provider"]) == ("ncclCommInitRank", "nccl", "nvidia-nccl-cu12")


def test_leftover_of_cuda_12_hides_the_library_that_the_kernel_needs(lab: Lab) -> None:
    """As after ``torch`` was moved and put back: the right file is there, but torch has loaded the other one."""
    distribution(lab.site, "nvidia-cuda-nvrtc-cu12", "12.8.93", [], nvidia_files(lab.site, "nvidia-cuda-nvrtc", "12"))
    (row,) = lab.facts().rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["pin"]) == ("libnvrtc.so.13", "hidden", "")
    assert row["place"] == "nvidia/cu13/lib/libnvrtc.so.13"
    assert (row["instead"], row["instead_owner"]) == (
        "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
        "nvidia-cuda-nvrtc-cu12",
    )


def test_wheels_of_cuda_12_beside_a_torch_of_cuda_13_are_loaded_first_and_harm_nothing(lab: Lab) -> None:
    """torch 2.10 and newer load what ``nvidia/FOLDER/lib`` holds: a part built for CUDA 12 then finds its library."""
    for family in ("nvidia-cuda-nvrtc", "nvidia-cuda-runtime"):
        distribution(lab.site, f"{family}-cu12", "12.8.90", [], nvidia_files(lab.site, family, "12"))
    lab.uninstall("sglang-kernel")
    distribution(lab.site, "sglang-kernel", PINS["sglang-kernel"], [], kernel_files(lab.site, cuda="12"))
    assert lab.facts().rows("libraries.unresolved") == ()
