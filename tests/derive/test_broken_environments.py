"""Environments broken as people break them, probed and derived; each one was first seen on a real installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.derive.pins import pin
from sgldoctor.knowledge import releases
from sgldoctor.pipeline import Options, explain
from tests.lab_env import (
    CHECK,
    QUIET,
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

SGLANG = "0.5.8"
PINS = pins(SGLANG)
NEWER_TORCH = releases.companion("torch", "2.11.0") or ()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_env(tmp_path, SGLANG)


def test_a_sound_environment_is_silent(lab: Lab) -> None:
    facts = lab.facts()
    assert troubles(facts) == {}
    assert all(facts.known(name) for name in QUIET)
    assert facts.value("kernel", "status") == "right"
    assert facts.value("kernel", "torch_fits") is True
    assert facts.value("sglang", "known") is True
    assert facts.unknown == []


def test_1_torch_moved_on(lab: Lab) -> None:
    lab.uninstall("torch")
    files = torch_files(lab.site, check=CHECK[:-2] + "jb", version="2.10.0")
    distribution(lab.site, "torch", "2.10.0", [], files)
    facts = lab.facts()
    (row,) = facts.rows("symbols.undefined")
    assert (row["symbol"], row["owner"], row["kind"], row["provider"]) == (CHECK, "sgl-kernel", "torch", "torch")
    assert row["demangled"].startswith("c10::cuda::c10_cuda_check_implementation(int, char const*")
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
    assert (row["problem"], row["count"], row["pin"]) == ("missing", 4, f"sgl-kernel=={PINS['sgl-kernel']}")


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


def test_15_no_numpy(lab: Lab) -> None:
    lab.uninstall("numpy")
    (row,) = lab.facts().rows("packages.missing")
    assert (row["name"], row["module"], row["wanted_by"], row["group"]) == ("numpy", "numpy", "sglang", "python")
    assert row["pin"] == "numpy"


def test_a_release_newer_than_knowledge_is_judged_by_its_metadata(lab: Lab) -> None:
    lab.uninstall("sglang")
    distribution(lab.site, "sglang", "99.0", ["torch==2.9.1", "sgl-kernel==99.1", "flashinfer-python==0.6.1"])
    facts = lab.facts()
    assert facts.value("sglang", "known") is False
    assert facts.value("kernel", "status") == "older"
    assert pin("kernel", facts) == "sgl-kernel==99.1"
    (said,) = [entry for entry in facts.unknown if entry.what == "knowledge"]
    assert said.because.startswith(f"SGLang 99.0 is newer than all releases known here (up to {releases.newest()})")
    assert "judged by its own METADATA" in said.because
    assert not said.essential


def test_a_log_of_a_release_newer_than_knowledge_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "CUDA available: True\nPyTorch: 2.9.1+cu128\nsglang: {}\n"
    text += "ImportError: libcudnn.so.9: cannot open shared object file: No such file\n"
    for release, told in (("99.0", 1), (releases.newest(), 0)):
        log.write_text(f"Python: 3.11.7\n{text.format(release)}")
        report = explain([str(log)], Options())
        assert report.findings[0].rule.cause == "missing-libcudnn"
        said = [entry.because for entry in report.facts.unknown if entry.what == "knowledge"]
        assert len(said) == told
        assert all(f"newer than all releases known here (up to {releases.newest()})" in because for because in said)
        assert not any("METADATA" in because for because in said)


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
