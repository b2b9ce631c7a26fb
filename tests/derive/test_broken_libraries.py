"""Native libraries that are missing, shadowed or of the wrong kind, in environments that are sound otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sgldoctor import derive
from sgldoctor.probe.libraries import libraries
from sgldoctor.probe.packages import packages
from tests.lab_env import (
    MACHINE,
    PREFIX,
    PYTHON,
    Lab,
    distribution,
    kernel_files,
    make_env,
    needs_gcc,
    nvidia_files,
    pins,
    shared_object,
    troubles,
)

pytestmark = needs_gcc

SGLANG = "0.5.8"
PINS = pins(SGLANG)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_env(tmp_path, SGLANG)


def test_no_driver_is_one_row_and_no_other_fault(lab: Lab) -> None:
    (lab.root / f"usr/lib/{MACHINE}-linux-gnu/libcuda.so.1").unlink()
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["pin"]) == ("libcuda.so.1", "no-gpu", "")
    assert row["essential"]
    assert row["owner"] == "sgl-kernel"
    assert troubles(facts, "libraries.unresolved") == {}


def test_a_folder_without_a_system_is_not_blamed_for_lacking_one(lab: Lab, tmp_path: Path) -> None:
    verbs = shared_object(tmp_path / "libibverbs.so.1")
    shared_object(lab.site / "mooncake/engine.so", needed=[verbs])
    distribution(lab.site, "mooncake-transfer-engine", "0.3.8", [], ["mooncake/engine.so"])
    (lab.root / f"usr/lib/{MACHINE}-linux-gnu/libc.so.6").unlink()
    lab.uninstall("nvidia-cudnn-cu12")
    facts = lab.facts()
    assert [row["library"] for row in facts.rows("libraries.unresolved")] == ["libcudnn.so.9"]
    assert "libraries of the system" in {unknown.what for unknown in facts.unknown}


def test_12_mooncake_without_rdma_libraries(lab: Lab, tmp_path: Path) -> None:
    verbs = shared_object(tmp_path / "libibverbs.so.1")
    shared_object(lab.site / "mooncake/engine.so", needed=[verbs, lab.site / "nvidia/cuda_runtime/lib/libcudart.so.12"])
    shared_object(lab.site / "mooncake/ep_2_8_0.so", needed=[shared_object(tmp_path / "libnever.so")])
    distribution(lab.site, "mooncake-transfer-engine", "0.3.8", [], ["mooncake/engine.so"])
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["provider_state"]) == ("libibverbs.so.1", "system", "system")
    assert (row["owner"], row["system_package"], row["essential"]) == ("mooncake-transfer-engine", "libibverbs1", False)
    component = next(row for row in facts.rows("components") if row["name"] == "mooncake")
    assert (component["present"], component["version"]) == (True, "0.3.8")


def test_a_library_that_another_package_loads_by_itself_is_no_fault(lab: Lab) -> None:
    ffi = shared_object(lab.site / "tvm_ffi/lib/libtvm_ffi.so")
    shared_object(lab.site / "deep_gemm/_C.so", needed=[ffi, lab.site / "torch/lib/libc10.so"])
    distribution(lab.site, "sgl-deep-gemm", "0.1.0", ["apache-tvm-ffi"], ["deep_gemm/_C.so"])
    lab.uninstall("apache-tvm-ffi")
    distribution(lab.site, "apache-tvm-ffi", PINS["apache-tvm-ffi"], [], ["tvm_ffi/lib/libtvm_ffi.so"])
    assert troubles(lab.facts()) == {}
    ffi.unlink()
    (row,) = lab.facts().rows("libraries.unresolved")
    assert (row["library"], row["owner"], row["provider"]) == ("libtvm_ffi.so", "sgl-deep-gemm", "apache-tvm-ffi")
    assert row["provider_state"] == "file-gone"


def test_14_a_part_that_nothing_names_is_seen_by_its_size(lab: Lab) -> None:
    file = "nvidia/cudnn/lib/libcudnn_ops.so.9"
    lab.replace(file, (lab.site / file).read_bytes()[:1500])
    facts = lab.facts()
    assert [row["file"] for row in facts.rows("libraries.corrupt")] == [file]
    assert [row["file"] for row in facts.rows("packages.damaged")] == [file]


def test_21_a_system_library_is_missing(lab: Lab, tmp_path: Path) -> None:
    numa = shared_object(tmp_path / "libnuma.so.1")
    file = "sgl_kernel/flash_ops.abi3.so"
    (lab.site / file).unlink()
    shared_object(lab.site / file, needed=[numa, lab.site / "torch/lib/libtorch.so"])
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["system_package"]) == ("libnuma.so.1", "system", "libnuma1")
    assert row["essential"]
    shutil.copy(numa, lab.root / f"usr/lib/{MACHINE}-linux-gnu/libnuma.so.1")
    assert lab.facts().rows("libraries.unresolved") == ()


def test_n04_a_wheel_of_nvidia_lacks_a_function_that_torch_calls(lab: Lab) -> None:
    nvidia_files(lab.site, "nvidia-nccl", "12", functions=["ncclCommInitOld"])
    (row,) = lab.facts().rows("symbols.undefined")
    assert (row["symbol"], row["kind"], row["owner"]) == ("ncclCommInitRank", "nccl", "torch")
    assert row["provider"] == "nvidia-nccl-cu12"


def test_a_wheel_of_nvidia_lacks_a_function_that_another_one_calls(lab: Lab) -> None:
    """cuSPARSE stands on nvJitLink, whose functions carry the release in their names."""
    file = lab.site / "nvidia/cusparselt/lib/libcusparseLt.so.0"
    file.unlink()
    linker = lab.site / "nvidia/nvjitlink/lib/libnvJitLink.so.12"
    shared_object(file, needed=[linker], wants=["__nvJitLinkCreate_12_8"], defines=["cusparseLtInit"])
    facts = lab.facts()
    (row,) = facts.rows("symbols.undefined")
    assert (row["symbol"], row["provider"]) == ("__nvJitLinkCreate_12_8", "nvidia-nvjitlink-cu12")
    assert [one["lacks"] for one in facts.rows("packages.unpinned")] == []
    info = next(lab.site.glob("nvidia_nvjitlink_cu12-*.dist-info"))
    lab.replace(f"{info.name}/METADATA", b"Metadata-Version: 2.1\nName: nvidia-nvjitlink-cu12\nVersion: 12.1.105\n\n")
    (told,) = lab.facts().rows("packages.unpinned")
    assert (told["name"], told["lacks"]) == ("nvidia-nvjitlink-cu12", "__nvJitLinkCreate_12_8")


def test_what_others_lack_in_a_torch_that_is_not_as_it_was_installed_is_told_by_that(lab: Lab) -> None:
    library = lab.site / "torch/lib/libc10_cuda.so"
    library.unlink()
    shared_object(library, defines=["nothing"])
    facts = lab.facts()
    assert facts.rows("symbols.undefined") == ()
    assert [row["file"] for row in facts.rows("packages.damaged")] == ["torch/lib/libc10_cuda.so"]


def test_a_driver_that_lacks_a_function_of_the_kernel(lab: Lab, tmp_path: Path) -> None:
    driver = shared_object(tmp_path / "libcuda.so.1")
    file = "sgl_kernel/flash_ops.abi3.so"
    (lab.site / file).unlink()
    shared_object(
        lab.site / file, needed=[driver, lab.site / "torch/lib/libtorch.so"], wants=["cuInit", "cuGreenCtxCreate"]
    )
    (row,) = lab.facts().rows("symbols.undefined")
    assert (row["symbol"], row["kind"], row["provider"], row["count"]) == (
        "cuGreenCtxCreate",
        "driver",
        "libcuda.so.1",
        1,
    )


def test_a_kernel_of_the_other_cuda_major(lab: Lab) -> None:
    lab.uninstall("sgl-kernel")
    distribution(lab.site, "sgl-kernel", PINS["sgl-kernel"], [], kernel_files(lab.site, cuda="13"))
    (row,) = lab.facts().rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["pin"]) == ("libnvrtc.so.13", "cuda-major", "")
    assert row["owner"] == "sgl-kernel"


def test_cudnn_shadowed_by_a_folder_of_ld_library_path(lab: Lab) -> None:
    system = lab.root / "usr/local/cuda/lib64"
    for name in ("libcudnn.so.9", "libcudnn_ops.so.9", "libcudart.so.12"):
        shared_object(system / name, defines=["cudnnCreate", "cudnnOfAnotherRelease"])
    assert lab.facts().rows("libraries.shadowed") == ()
    (row,) = lab.facts({"LD_LIBRARY_PATH": "/usr/local/cuda/lib64:/nowhere:"}).rows("libraries.shadowed")
    # torch's DT_RPATH wins for cuDNN itself and for the runtime; cuDNN opens its parts by itself, and its RUNPATH comes
    # after the variable.
    assert (row["via"], row["folder"], row["count"]) == ("LD_LIBRARY_PATH", "/usr/local/cuda/lib64", 1)
    assert row["library"] == "libcudnn_ops.so.9"
    assert row["expected"].endswith("nvidia/cudnn/lib/libcudnn_ops.so.9")


def test_a_copy_of_the_same_release_shadows_nothing(lab: Lab) -> None:
    system = lab.root / "usr/local/cuda/lib64"
    shutil.copytree(lab.site / "nvidia/cudnn/lib", system)
    assert lab.facts({"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}).rows("libraries.shadowed") == ()


def test_the_wheels_own_folder_in_ld_library_path_shadows_nothing(lab: Lab) -> None:
    folder = f"{PREFIX}/lib/python{PYTHON}/site-packages/nvidia/cudnn/lib"
    assert lab.facts({"LD_LIBRARY_PATH": folder}).rows("libraries.shadowed") == ()


def test_a_stub_of_the_driver_comes_first(lab: Lab) -> None:
    shared_object(lab.root / "usr/local/cuda/lib64/stubs/libcuda.so.1")
    (row,) = lab.facts({"LD_LIBRARY_PATH": "/usr/local/cuda/lib64/stubs"}).rows("libraries.shadowed")
    assert (row["library"], row["via"]) == ("libcuda.so.1", "LD_LIBRARY_PATH")


def test_a_preloaded_copy_is_taken(lab: Lab) -> None:
    shared_object(lab.root / "opt/nccl/libnccl.so.2", defines=["ncclCommInitRank", "ncclOfAnotherRelease"])
    (row,) = lab.facts({"LD_PRELOAD": "/opt/nccl/libnccl.so.2"}).rows("libraries.shadowed")
    assert (row["via"], row["found"]) == ("LD_PRELOAD", "/opt/nccl/libnccl.so.2")


def test_a_symbol_version_that_the_system_does_not_offer(lab: Lab, tmp_path: Path) -> None:
    built = shared_object(tmp_path / "libsys.so.1", defines=["call"], versions="SYS_2 { global: call; };")
    file = "sgl_kernel/flash_ops.abi3.so"
    (lab.site / file).unlink()
    shared_object(lab.site / file, needed=[built], wants=["call"])
    shared_object(
        lab.root / f"usr/lib/{MACHINE}-linux-gnu/libsys.so.1", defines=["call"], versions="SYS_1 { global: call; };"
    )
    (row,) = lab.facts().rows("libraries.versions")
    assert (row["version"], row["needed_by"], row["owner"]) == ("SYS_2", file, "sgl-kernel")
    assert row["library"].endswith("libsys.so.1")


def test_an_absolute_link_of_an_image_is_followed_inside_it(lab: Lab) -> None:
    real = lab.site / "nvidia/cudnn/lib/libcudnn.so.9"
    store = lab.root / "data/libcudnn.so.9"
    store.parent.mkdir()
    shutil.move(real, store)
    os.symlink("/data/libcudnn.so.9", real)
    assert troubles(lab.facts()) == {}


@pytest.mark.parametrize("preloads", [True, False])
def test_torch_in_lib64_and_its_wheels_in_lib(lab: Lab, preloads: bool) -> None:
    """RHEL keeps two site folders: DT_RPATH finds nothing, and it is torch's own preloading that saves the day."""
    if not preloads:
        lab.replace("torch/__init__.py", b"# loads nothing before its own\n")
    other = lab.site.parents[2] / f"lib64/python{PYTHON}/site-packages"
    other.mkdir(parents=True)
    for entry in list(lab.site.glob("torch")) + list(lab.site.glob("torch-*.dist-info")):
        shutil.move(entry, other / entry.name)
    target = lab.target()
    target = target._replace(sites=(target.sites[0].replace("/lib/", "/lib64/"), *target.sites))
    facts = packages(target)
    facts.merge(libraries(target, facts))
    derive.derive(facts)
    rows = {row["library"]: row for row in facts.rows("libraries.unresolved")}
    if preloads:
        assert rows == {}
        return
    row = rows["libnvshmem_host.so.3"]
    assert (row["provider"], row["provider_state"]) == ("nvidia-nvshmem-cu12", "present")
    assert row["place"] == "nvidia/nvshmem/lib/libnvshmem_host.so.3"


def test_torch_gone_altogether(lab: Lab) -> None:
    lab.uninstall("torch")
    shutil.rmtree(lab.site / "torch")
    facts = lab.facts()
    assert "torch" in {row["name"] for row in facts.rows("packages.missing")}
    assert not facts.known("libraries.unresolved")
    assert [entry.what for entry in facts.unknown] == ["libraries"]
