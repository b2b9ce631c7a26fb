"""Environments broken as people break them, probed and derived; each one was first seen on a real installation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sgldoctor import derive
from sgldoctor.derive.pins import pin
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases
from sgldoctor.probe.libraries import libraries
from sgldoctor.probe.packages import packages
from tests.lab_env import (
    CHECK,
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
    torch_files,
)

pytestmark = needs_gcc

SGLANG = "0.5.8"
PINS = pins(SGLANG)
NEWER_TORCH = releases.companion("torch", "2.11.0") or ()
QUIET = (
    *(f"packages.{name}" for name in ("missing", "unpinned", "mixed_cuda", "damaged", "overlapping")),
    *(f"packages.{name}" for name in ("leftovers", "duplicates")),
    *(f"libraries.{name}" for name in ("unresolved", "corrupt", "shadowed", "versions")),
    "symbols.undefined",
)
"""Facts that are empty in a sound environment."""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_env(tmp_path, SGLANG)


def troubles(facts: Facts, *but: str) -> dict[str, list[str]]:
    """What is wrong, by fact, apart from the facts named; empty for a sound environment."""
    return {
        name: [str(row.get("text") or row) for row in facts.rows(name)]
        for name in QUIET
        if facts.rows(name) and name not in but
    }


def test_a_sound_environment_is_silent(lab: Lab) -> None:
    facts = lab.facts()
    assert troubles(facts) == {}
    assert all(facts.known(name) for name in QUIET)
    assert facts.value("kernel", "status") == "right"
    assert facts.value("kernel", "torch_fits") is True
    assert facts.value("sglang", "known") is True
    assert facts.unknown == []


def test_no_driver_is_one_row_and_no_other_fault(lab: Lab) -> None:
    (lab.root / f"usr/lib/{MACHINE}-linux-gnu/libcuda.so.1").unlink()
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["pin"]) == ("libcuda.so.1", "driver", "")
    assert row["essential"]
    assert row["owner"] == "sgl-kernel"
    assert troubles(facts, "libraries.unresolved") == {}


def test_1_torch_moved_on(lab: Lab) -> None:
    lab.uninstall("torch")
    files = torch_files(lab.site, check=CHECK[:-2] + "jb", version="2.10.0")
    distribution(lab.site, "torch", "2.10.0", [], files)
    facts = lab.facts()
    (row,) = facts.rows("symbols.undefined")
    assert (row["symbol"], row["owner"], row["kind"], row["provider"]) == (CHECK, "sgl-kernel", "torch", "torch")
    assert row["demangled"] == "c10::cuda::c10_cuda_check_implementation"
    (off,) = facts.rows("packages.unpinned")
    assert (off["name"], off["direction"], off["group"]) == ("torch", "newer", "torch")
    assert off["pin"] == f"torch=={PINS['torch']}"
    assert facts.value("kernel", "torch_fits") is False
    assert pin("nvidia-cudnn", facts) == f"nvidia-cudnn-cu12=={PINS['nvidia-cudnn-cu12']}"


@pytest.mark.parametrize(
    ("family", "library"),
    [
        ("nvidia-cudnn", "libcudnn.so.9"),
        ("nvidia-cusparselt", "libcusparseLt.so.0"),
        ("nvidia-nccl", "libnccl.so.2"),
        ("nvidia-nvshmem", "libnvshmem_host.so.3"),
    ],
)
def test_2_to_5_a_wheel_of_nvidia_is_gone(lab: Lab, family: str, library: str) -> None:
    name = f"{family}-cu12"
    lab.uninstall(name)
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["provider"], row["provider_state"]) == (library, "wheel", name, "absent")
    assert row["pin"] == f"{name}=={PINS[name]}"
    assert row["essential"]
    assert row["owner"] == "torch"
    (missing,) = facts.rows("packages.missing")
    assert (missing["name"], missing["wanted_by"], missing["pin"]) == (name, "torch", row["pin"])
    assert troubles(facts, "libraries.unresolved", "packages.missing") == {}


def test_6_a_cpu_torch(lab: Lab) -> None:
    lab.uninstall("torch")
    torch_files(lab.site, version="2.13.0", local="+cpu")
    for name in ("libtorch_cuda.so", "libc10_cuda.so", "libcaffe2_nvrtc.so"):
        (lab.site / "torch/lib" / name).unlink()
    for name, needed in (("libtorch", ["libtorch_cpu.so"]), ("libtorch_python", ["libtorch.so", "libc10.so"])):
        shared_object(
            lab.site / f"torch/lib/{name}.so",
            rpath="$ORIGIN",
            needed=[lab.site / "torch/lib" / other for other in needed],
        )
    shared_object(lab.site / "torch/lib/libtorch_global_deps.so", rpath="$ORIGIN")
    version = lab.site / "torch/version.py"
    version.write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n")
    distribution(lab.site, "torch", "2.13.0+cpu")
    facts = lab.facts()
    assert facts.value("torch", "build") == "cpu"
    rows = {row["library"]: row for row in facts.rows("libraries.unresolved")}
    assert {"libnvrtc.so.12", "libc10_cuda.so"} <= rows.keys()
    assert rows["libc10_cuda.so"]["provider"] == "torch"
    assert rows["libc10_cuda.so"]["pin"] == f"torch=={PINS['torch']}"
    assert rows["libnvrtc.so.12"]["provider"] == "nvidia-cuda-nvrtc-cu12"
    assert [row["name"] for row in facts.rows("packages.unpinned")] == ["torch"]


def cu13_over_cu12(lab: Lab) -> None:
    """What ``pip install torch`` of a CUDA 13 release leaves: its wheels write over those of CUDA 12."""
    for family in ("nvidia-cudnn", "nvidia-cusparselt", "nvidia-nccl", "nvidia-nvshmem"):
        files = nvidia_files(lab.site, family, "13", pad=64)
        version = next(line.partition("==")[2].partition(";")[0] for line in NEWER_TORCH if line.startswith(family))
        distribution(lab.site, f"{family}-cu13", version, [], files)


def test_19_torch_put_back_over_leftovers_of_cuda_13(lab: Lab) -> None:
    cu13_over_cu12(lab)
    facts = lab.facts()
    mixed = {row["name"]: row for row in facts.rows("packages.mixed_cuda")}
    assert mixed.keys() == {"cudnn", "cusparselt", "nccl", "nvshmem"}
    assert mixed["cudnn"]["wanted"] == "nvidia-cudnn-cu12"
    assert mixed["cudnn"]["unwanted"] == "nvidia-cudnn-cu13"
    assert mixed["cudnn"]["pin"] == f"nvidia-cudnn-cu12=={PINS['nvidia-cudnn-cu12']}"
    damaged = {row["name"]: row for row in facts.rows("packages.damaged")}
    assert damaged["nvidia-cudnn-cu12"]["owner"] == "nvidia-cudnn-cu13"
    assert damaged["nvidia-cudnn-cu12"]["count"] == 2
    assert damaged["nvidia-cudnn-cu12"]["pin"] == mixed["cudnn"]["pin"]
    pairs = {(row["wanted"], row["unwanted"]) for row in facts.rows("packages.overlapping")}
    assert ("nvidia-nccl-cu12", "nvidia-nccl-cu13") in pairs
    assert facts.rows("packages.unpinned") == ()


def test_6b_a_torch_of_cuda_13_over_cuda_12(lab: Lab) -> None:
    cu13_over_cu12(lab)
    lab.uninstall("torch")
    files = torch_files(lab.site, check=CHECK[:-2] + "jb", version="2.11.0", local="+cu130")
    distribution(lab.site, "torch", "2.11.0", NEWER_TORCH, files)
    facts = lab.facts()
    assert [row["name"] for row in facts.rows("packages.unpinned")] == ["torch"]
    assert {row["wanted"] for row in facts.rows("packages.mixed_cuda")} >= {"nvidia-cudnn-cu12", "nvidia-nccl-cu12"}
    assert [row["symbol"] for row in facts.rows("symbols.undefined")] == [CHECK]
    # What the wrong torch would still need is not to be installed.
    assert facts.rows("packages.missing") == ()


def test_7_an_older_kernel(lab: Lab) -> None:
    lab.uninstall("sgl-kernel")
    distribution(lab.site, "sgl-kernel", "0.3.19", [], kernel_files(lab.site))
    facts = lab.facts()
    row = facts.one("kernel")
    assert (row["status"], row["wanted"], row["pin"]) == (
        "older",
        PINS["sgl-kernel"],
        f"sgl-kernel=={PINS['sgl-kernel']}",
    )
    assert row["minimum"] == releases.minimum(SGLANG, "sgl-kernel")
    assert row["torch_fits"] is True
    assert [row["name"] for row in facts.rows("packages.unpinned")] == ["sgl-kernel"]


def both_kernels(lab: Lab) -> None:
    distribution(lab.site, "sglang-kernel", "0.4.1", [], kernel_files(lab.site, pad=32))


def test_8_both_kernel_wheels(lab: Lab) -> None:
    both_kernels(lab)
    facts = lab.facts()
    assert facts.value("kernel", "status") == "double"
    assert facts.value("kernel", "name") == "sgl-kernel"
    (pair,) = facts.rows("packages.overlapping")
    assert (pair["wanted"], pair["unwanted"]) == ("sgl-kernel", "sglang-kernel")
    assert pair["pin"] == f"sgl-kernel=={PINS['sgl-kernel']}"
    assert pair["count"] == 4
    (row,) = facts.rows("packages.damaged")
    assert (row["name"], row["owner"], row["problem"]) == ("sgl-kernel", "sglang-kernel", "size")


def test_8b_the_newer_kernel_removed_again(lab: Lab) -> None:
    both_kernels(lab)
    lab.uninstall("sglang-kernel")
    facts = lab.facts()
    assert facts.value("kernel", "status") == "right"
    assert facts.value("kernel", "importable") is False
    (row,) = facts.rows("packages.damaged")
    assert (row["problem"], row["count"], row["pin"]) == ("missing", 3, f"sgl-kernel=={PINS['sgl-kernel']}")


def test_8c_the_older_kernel_removed(lab: Lab) -> None:
    both_kernels(lab)
    lab.uninstall("sgl-kernel")
    facts = lab.facts()
    assert facts.value("kernel", "status") == "renamed"
    assert facts.value("kernel", "wanted_name") == "sgl-kernel"
    assert facts.value("kernel", "importable") is False
    (row,) = facts.rows("packages.damaged")
    assert (row["name"], row["pin"]) == ("sglang-kernel", "")


@pytest.mark.parametrize("ignores", [False, True])
def test_9_flashinfer_and_its_cubins_differ(lab: Lab, ignores: bool) -> None:
    lab.uninstall("flashinfer-python")
    distribution(lab.site, "flashinfer-python", "0.5.3")
    text = 'logger.warning("Ignoring incompatible flashinfer-cubin package")' if ignores else "raise RuntimeError"
    lab.replace("flashinfer/jit/env.py", text.encode())
    facts = lab.facts()
    row = facts.one("flashinfer")
    assert (row["status"], row["python"], row["version"]) == ("differs", "0.5.3", PINS["flashinfer-cubin"])
    assert row["raises"] is not ignores
    assert row["pin"] == f"flashinfer-python=={PINS['flashinfer-python']}"
    assert [row["group"] for row in facts.rows("packages.unpinned")] == ["flashinfer"]


def test_a_cubin_wheel_that_nobody_pins_is_to_be_removed(lab: Lab) -> None:
    lab.uninstall("sglang")
    found = releases.release(SGLANG)
    assert found is not None
    distribution(lab.site, "sglang", SGLANG, [line for line in found.pins if "cubin" not in line])
    lab.uninstall("flashinfer-cubin")
    distribution(lab.site, "flashinfer-cubin", "0.5.3")
    facts = lab.facts()
    assert facts.value("flashinfer", "status") == "differs"
    assert facts.value("flashinfer", "other_wanted") == ""
    assert facts.value("flashinfer", "pin") == ""


def test_10_transformers_moved(lab: Lab) -> None:
    lab.uninstall("transformers")
    distribution(lab.site, "transformers", "5.23.0")
    distribution(lab.site, "greedy", "1.0", ["transformers==5.23.0", "numpy"])
    (row,) = lab.facts().rows("packages.unpinned")
    assert (row["name"], row["group"], row["direction"]) == ("transformers", "python", "newer")
    assert row["mover"] == "greedy"
    assert row["tolerated"] is False


def test_11_a_newer_cudnn_as_in_the_images_is_tolerated(lab: Lab) -> None:
    ((_, version), *_) = releases.image_pins("nvidia-cudnn-cu12")
    lab.uninstall("nvidia-cudnn-cu12")
    distribution(lab.site, "nvidia-cudnn-cu12", version, [], nvidia_files(lab.site, "nvidia-cudnn", "12"))
    facts = lab.facts()
    (row,) = facts.rows("packages.unpinned")
    assert (row["name"], row["tolerated"], row["direction"]) == ("nvidia-cudnn-cu12", True, "newer")
    assert "image" in row["reason"]
    assert troubles(facts, "packages.unpinned") == {}


def test_what_the_images_never_did_is_not_tolerated(lab: Lab) -> None:
    lab.uninstall("nvidia-cusparselt-cu12")
    distribution(lab.site, "nvidia-cusparselt-cu12", "0.8.1", [], nvidia_files(lab.site, "nvidia-cusparselt", "12"))
    (row,) = lab.facts().rows("packages.unpinned")
    assert (row["tolerated"], row["direction"], row["reason"]) == (False, "newer", "")


def test_an_older_cudnn_is_not_tolerated(lab: Lab) -> None:
    lab.uninstall("nvidia-cudnn-cu12")
    distribution(lab.site, "nvidia-cudnn-cu12", "9.1.0.70", [], nvidia_files(lab.site, "nvidia-cudnn", "12"))
    (row,) = lab.facts().rows("packages.unpinned")
    assert (row["tolerated"], row["direction"]) == (False, "older")


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


def test_13_a_file_deleted(lab: Lab) -> None:
    (lab.site / "nvidia/cudnn/lib/libcudnn.so.9").unlink()
    facts = lab.facts()
    (row,) = facts.rows("libraries.unresolved")
    assert (row["provider"], row["provider_state"]) == ("nvidia-cudnn-cu12", "file-gone")
    (damaged,) = facts.rows("packages.damaged")
    assert (damaged["problem"], damaged["file"], damaged["pin"]) == (
        "missing",
        "nvidia/cudnn/lib/libcudnn.so.9",
        row["pin"],
    )
    assert facts.rows("packages.missing") == ()


@pytest.mark.parametrize("content", [b"", b"<html><body>404</body></html>" * 9, None])
def test_14_a_file_cut_short(lab: Lab, content: bytes | None) -> None:
    file = "nvidia/cudnn/lib/libcudnn.so.9"
    lab.replace(file, (lab.site / file).read_bytes()[:1500] if content is None else content)
    facts = lab.facts()
    (row,) = facts.rows("libraries.corrupt")
    words = {b"": "file too short", None: "truncated"}.get(content, "invalid ELF header")
    assert row["problem"].startswith(words)
    assert row["pin"] == f"nvidia-cudnn-cu12=={PINS['nvidia-cudnn-cu12']}"
    assert facts.rows("packages.damaged")[0]["problem"] == "size"


def test_14_a_part_that_nothing_names_is_seen_by_its_size(lab: Lab) -> None:
    file = "nvidia/cudnn/lib/libcudnn_ops.so.9"
    lab.replace(file, (lab.site / file).read_bytes()[:1500])
    facts = lab.facts()
    assert [row["file"] for row in facts.rows("libraries.corrupt")] == [file]
    assert [row["file"] for row in facts.rows("packages.damaged")] == [file]


def test_15_no_numpy(lab: Lab) -> None:
    lab.uninstall("numpy")
    (row,) = lab.facts().rows("packages.missing")
    assert (row["name"], row["module"], row["wanted_by"], row["group"]) == ("numpy", "numpy", "sglang", "python")
    assert row["pin"] == "numpy"


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


def test_a_version_that_is_none_pins_nothing() -> None:
    facts = pasted({"sglang": "0.5.8; rm -rf /", "torch": "$(reboot)"})
    assert pin("sglang", facts) is None
    assert pin("torch", facts) is None


def test_a_kernel_of_the_other_cuda_major(lab: Lab) -> None:
    lab.uninstall("sgl-kernel")
    distribution(lab.site, "sgl-kernel", PINS["sgl-kernel"], [], kernel_files(lab.site, cuda="13"))
    (row,) = lab.facts().rows("libraries.unresolved")
    assert (row["library"], row["kind"], row["pin"]) == ("libnvrtc.so.13", "cuda-major", "")
    assert row["owner"] == "sgl-kernel"


def test_cudnn_shadowed_by_a_folder_of_ld_library_path(lab: Lab) -> None:
    system = lab.root / "usr/local/cuda/lib64"
    for name in ("libcudnn.so.9", "libcudnn_ops.so.9"):
        shared_object(system / name, defines=["cudnnCreate"])
    assert lab.facts().rows("libraries.shadowed") == ()
    (row,) = lab.facts({"LD_LIBRARY_PATH": "/usr/local/cuda/lib64:/nowhere:"}).rows("libraries.shadowed")
    assert (row["via"], row["folder"], row["count"]) == ("LD_LIBRARY_PATH", "/usr/local/cuda/lib64", 2)
    # torch's DT_RPATH wins for cuDNN itself; its parts are opened by cuDNN, whose RUNPATH comes after the variable.
    assert (row["library"], row["taken"]) == ("libcudnn_ops.so.9", True)


def test_the_wheels_own_folder_in_ld_library_path_shadows_nothing(lab: Lab) -> None:
    folder = f"{PREFIX}/lib/python{PYTHON}/site-packages/nvidia/cudnn/lib"
    assert lab.facts({"LD_LIBRARY_PATH": folder}).rows("libraries.shadowed") == ()


def test_a_stub_of_the_driver_comes_first(lab: Lab) -> None:
    shared_object(lab.root / "usr/local/cuda/lib64/stubs/libcuda.so.1")
    (row,) = lab.facts({"LD_LIBRARY_PATH": "/usr/local/cuda/lib64/stubs"}).rows("libraries.shadowed")
    assert (row["library"], row["via"], row["taken"]) == ("libcuda.so.1", "LD_LIBRARY_PATH", True)


def test_a_preloaded_copy_is_taken(lab: Lab) -> None:
    shared_object(lab.root / "opt/nccl/libnccl.so.2", defines=["ncclCommInitRank"])
    (row,) = lab.facts({"LD_PRELOAD": "/opt/nccl/libnccl.so.2"}).rows("libraries.shadowed")
    assert (row["via"], row["found"], row["taken"]) == ("LD_PRELOAD", "/opt/nccl/libnccl.so.2", True)


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


def test_without_sglang_nothing_is_called_healthy(lab: Lab) -> None:
    lab.uninstall("sglang")
    facts = lab.facts()
    assert [(entry.what, entry.essential) for entry in facts.unknown] == [("sglang", True)]
    assert PREFIX in facts.unknown[0].because
    assert troubles(facts) == {}


@pytest.mark.parametrize("preloads", [True, False])
def test_torch_in_lib64_and_its_wheels_in_lib(lab: Lab, preloads: bool) -> None:
    """RHEL keeps two site folders: DT_RPATH finds nothing, and it is torch's own preloading that saves the day."""
    if not preloads:
        lab.replace("torch/__init__.py", b"")
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


def test_a_release_newer_than_knowledge_is_judged_by_its_metadata(lab: Lab) -> None:
    lab.uninstall("sglang")
    distribution(lab.site, "sglang", "99.0", ["torch==2.9.1", "sgl-kernel==99.1", "flashinfer-python==0.6.1"])
    facts = lab.facts()
    assert facts.value("sglang", "known") is False
    assert facts.value("kernel", "status") == "older"
    assert pin("kernel", facts) == "sgl-kernel==99.1"


def pasted(versions: dict[str, str]) -> Facts:
    """Facts as a log with a ``pip list`` gives them: names and versions, no files."""
    facts = Facts()
    facts.put("packages", [{"name": name, "version": version, "line": 1} for name, version in versions.items()], "log")
    derive.derive(facts)
    return facts


def test_a_pasted_list_is_judged_by_knowledge() -> None:
    assert troubles(pasted(PINS)) == {}
    facts = pasted({**PINS, "torch": "2.10.0", "sgl-kernel": "0.3.19"})
    assert {row["name"]: row["pin"] for row in facts.rows("packages.unpinned")} == {
        "torch": f"torch=={PINS['torch']}",
        "sgl-kernel": f"sgl-kernel=={PINS['sgl-kernel']}",
    }
    assert facts.value("kernel", "torch_fits") is False
    assert pin("nvidia-nccl", facts) == f"nvidia-nccl-cu12=={PINS['nvidia-nccl-cu12']}"


def test_a_short_pasted_list_says_nothing_of_what_it_leaves_out() -> None:
    facts = pasted({"sglang": SGLANG, "torch": PINS["torch"], "transformers": PINS["transformers"]})
    assert not facts.known("packages.missing")
    assert not facts.known("kernel")


def test_a_whole_pasted_list_says_what_is_missing() -> None:
    facts = pasted({name: version for name, version in PINS.items() if name != "sgl-kernel"})
    assert facts.value("kernel", "status") == "absent"
    assert [row["name"] for row in facts.rows("packages.missing")] == ["sgl-kernel"]


@pytest.mark.parametrize("label", ["cu129", "cu130", "cpu"])
def test_another_build_of_torch_has_other_wheels_than_knowledge_says(label: str) -> None:
    versions = {name: version for name, version in PINS.items() if not name.endswith("-cu12")}
    facts = pasted({**versions, "torch": f"{PINS['torch']}+{label}", "nvidia-cublas": "13.1.0.3"})
    assert troubles(facts) == {}
    assert pin("nvidia-cudnn", facts) is None
    assert pin("triton", facts) == f"triton=={PINS['triton']}"


def test_the_default_build_is_known_by_its_label() -> None:
    assert pin("nvidia-cudnn", pasted({**PINS, "torch": f"{PINS['torch']}+cu128"})) is not None


def test_an_old_release_needs_the_extra_that_made_it_a_server() -> None:
    facts = pasted({"sglang": "0.5.2", "torch": "2.9.1"})
    (row,) = facts.rows("packages.unpinned")
    assert (row["name"], row["wanted"]) == ("torch", "==2.8.0")
    assert pin("kernel", facts) == "sgl-kernel==" + (releases.kernel_pin("0.5.2") or ("", ""))[1]


def test_a_companion_that_does_not_fit_the_right_torch_is_the_one_to_blame(lab: Lab) -> None:
    lab.uninstall("torchvision")
    distribution(lab.site, "torchvision", "0.26.0", ["torch==2.11.0"])
    (row,) = lab.facts().rows("packages.unpinned")
    assert (row["name"], row["installed"], row["wanted_by"], row["pin"]) == (
        "torchvision",
        "0.26.0",
        "torch",
        "torchvision",
    )
