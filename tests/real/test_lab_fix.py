"""Repairs of real SGLang releases with the true wheels: the faults of their tables of failures, on hard-linked copies.

``SGLDOCTOR_LAB`` names the folder that holds ``good058`` (CUDA 12), ``good0516`` and ``good0523`` (CUDA 13), or some of
them; uv and its index (or a cache that holds the wheels) are needed. Afterwards ``import sgl_kernel`` has to succeed
with a stand-in for libcuda, which gcc makes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sgldoctor.fix import snapshot
from sgldoctor.probe.environments import find
from sgldoctor.probe.record import entries

LAB = Path(os.environ.get("SGLDOCTOR_LAB", "/nowhere"))
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])) or ""
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not UV or not shutil.which("gcc"), reason="uv and gcc are needed"),
]

CUDNN = "nvidia/cudnn/lib/libcudnn.so.9"


class Case(NamedTuple):
    """Which good environment to break and how, and which packages the repair may move at most."""

    lab: str
    breaks: tuple[tuple[str, ...], ...]
    moved: frozenset[str]
    options: tuple[str, ...] = ()


def gone(*names: str) -> tuple[str, ...]:
    return ("uninstall", *names)


def put(*words: str) -> tuple[str, ...]:
    return ("install", "--no-deps", *words)


def moved(*words: str) -> tuple[str, ...]:
    return ("install", *words)


def case(lab: str, *breaks: tuple[str, ...], moves: set[str] | frozenset[str], unsafe: bool = False) -> Case:
    return Case(lab, breaks, frozenset(moves), ("--unsafe",) if unsafe else ())


SHARED = frozenset(
    f"nvidia-{family}-cu{major}" for family in ("cudnn", "cusparselt", "nccl", "nvshmem") for major in (12, 13)
)
TOOLKIT = "cuda-nvrtc cuda-runtime cuda-cupti cublas cufft curand cusolver cusparse nvtx nvjitlink cufile"
LEFT_OVER = frozenset(f"nvidia-{family}-cu12" for family in TOOLKIT.split())
"""What a torch of CUDA 12 brings besides, and what a torch of CUDA 13 may load in place of its own."""
KERNELS = {"sgl-kernel", "sglang-kernel"}
CORE = SHARED | LEFT_OVER | KERNELS | {"torch", "torchvision", "torchaudio", "triton", "sgl-deep-gemm"}
STRAY = put("sgl-kernel==0.3.21")
CASES = {
    # CUDA 12: the first table of failures
    "no cudnn": case("good058", gone("nvidia-cudnn-cu12"), moves={"nvidia-cudnn-cu12"}),
    "no cusparselt": case("good058", gone("nvidia-cusparselt-cu12"), moves={"nvidia-cusparselt-cu12"}),
    "no nccl": case("good058", gone("nvidia-nccl-cu12"), moves={"nvidia-nccl-cu12"}),
    "no nvshmem": case("good058", gone("nvidia-nvshmem-cu12"), moves={"nvidia-nvshmem-cu12"}),
    "no numpy": case("good058", gone("numpy"), moves={"numpy"}),
    "no triton, no sympy": case("good058", gone("triton", "sympy"), moves={"triton", "sympy"}),
    "no torch at all": case("good058", gone("torch", "triton", "torchvision", "sympy"), unsafe=True,
                            moves={"torch", "triton", "torchvision", "sympy"}),
    "old kernel": case("good058", put("sgl-kernel==0.3.19"), moves={"sgl-kernel"}),
    "both kernels": case("good058", put("sglang-kernel==0.4.1"), moves=KERNELS),
    "kernel half removed": case("good058", put("sglang-kernel==0.4.1"), gone("sglang-kernel"), moves={"sgl-kernel"}),
    "right kernel removed": case("good058", put("sglang-kernel==0.4.1"), gone("sgl-kernel"), moves=KERNELS),
    "flashinfer pair": case("good058", put("flashinfer-python==0.5.3"), moves={"flashinfer-python"}),
    "file gone": case("good058", ("remove", CUDNN), moves={"nvidia-cudnn-cu12"}),
    "file cut": case("good058", ("cut", CUDNN), moves={"nvidia-cudnn-cu12"}),
    "three at once": case("good058", gone("nvidia-cudnn-cu12"), put("sglang-kernel==0.4.1", "flashinfer-python==0.5.3"),
                          moves=KERNELS | {"nvidia-cudnn-cu12", "flashinfer-python"}),
    "torch 2.10": case("good058", moved("torch==2.10.0"), moves={"torch", "triton", "nvidia-nvshmem-cu12"},
                       unsafe=True),
    "torch 2.11": case("good058", moved("torch==2.11.0"), moves=SHARED | {"torch", "triton", "cuda-bindings"},
                       unsafe=True),
    "torch put back over CUDA 13": case("good058", moved("torch==2.11.0"), moved("torch==2.9.1"),
                                        moves=SHARED | {"cuda-bindings"}),
    "NCCL of CUDA 12 on top": case("good0523", put("nvidia-nccl-cu12==2.27.5"),
                                   moves={"nvidia-nccl-cu12", "nvidia-nccl-cu13"}),
    "torch 2.11, both kernels, no numpy": case(
        "good058", moved("torch==2.11.0"), put("sglang-kernel==0.4.1"), gone("numpy"), unsafe=True,
        moves=SHARED | KERNELS | {"torch", "triton", "cuda-bindings", "numpy"},
    ),
    "without dependencies": case("good058", ("keep", "sglang"), moves={"*"}, unsafe=True),
    # CUDA 13: a stray kernel of the old name has also overwritten files of sgl-deep-gemm
    "stray kernel, 0.5.16": case("good0516", STRAY, moves=KERNELS | {"sgl-deep-gemm"}),
    "stray kernel": case("good0523", STRAY, moves=KERNELS | {"sgl-deep-gemm"}),
    "stray kernel removed": case("good0523", STRAY, gone("sgl-kernel"), moves={"sglang-kernel", "sgl-deep-gemm"}),
    "stray kernel, no nccl, no numpy": case("good0523", STRAY, gone("nvidia-nccl-cu13", "numpy"),
                                            moves=KERNELS | {"sgl-deep-gemm", "nvidia-nccl-cu13", "numpy"}),
    "no cudnn, 0.5.16": case("good0516", gone("nvidia-cudnn-cu13"), moves={"nvidia-cudnn-cu13"}),
    "no cudnn, 0.5.23": case("good0523", gone("nvidia-cudnn-cu13"), moves={"nvidia-cudnn-cu13"}),
    "no torchvision, 0.5.16": case("good0516", gone("torchvision"), moves={"torchvision"}),
    "no companions": case("good0523", gone("torchvision", "torchaudio", "triton"),
                          moves={"torchvision", "torchaudio", "triton"}),
    "kernel of 0.5.12": case("good0523", put("sglang-kernel==0.4.3"), moves={"sglang-kernel"}),
    "torch 2.15": case("good0523", put("torch==2.15.0"), moves={"torch"}, unsafe=True),
    "torch 2.9 over CUDA 13, 0.5.16": case("good0516", moved("torch==2.9.1"), unsafe=True,
                                           moves=SHARED | LEFT_OVER | {"torch", "triton", "torchvision", "torchaudio"}),
    "torch 2.9 over CUDA 13": case("good0523", moved("torch==2.9.1"), moves=SHARED | LEFT_OVER | {"torch", "triton"},
                                   unsafe=True),
    "a wheel of CUDA 12 left over": case("good0516", put("nvidia-cuda-nvrtc-cu12==12.8.93"),
                                         moves={"nvidia-cuda-nvrtc-cu12"}),
    "torch came back, 0.5.16": case("good0516", moved("torch==2.9.1"), moved("torch==2.11.0"),
                                    moves=SHARED | {"nvidia-cuda-nvrtc-cu12"}),
    "torch came back": case("good0523", moved("torch==2.9.1"), moved("torch==2.14.1"), moves=SHARED),
    "torch 2.9, stray kernel, no triton": case(
        "good0523", moved("torch==2.9.1"), STRAY, gone("triton"), unsafe=True,
        moves=SHARED | LEFT_OVER | KERNELS | {"torch", "triton", "sgl-deep-gemm"},
    ),
}  # fmt: skip


def site_of(folder: Path) -> Path:
    (found,) = folder.glob("lib/python3*/site-packages")
    return found


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a library."""
    return make_stub(tmp_path_factory.mktemp("stub"))


def make_stub(folder: Path) -> Path:
    """A libcuda.so.1 whose functions all say that there is no device."""
    found = {"cuInit", "cuGetErrorString", "cuDriverGetVersion", "cuGetProcAddress_v2"}
    sites = [site_of(good) for good in LAB.glob("good*") if (good / "lib").is_dir()]
    for library in [path for site in sites for pattern in ("sgl_kernel/**/*.so", "deep_gemm/**/*.so",
                    "torch/lib/libcaffe2_nvrtc.so") for path in site.glob(pattern)]:  # fmt: skip
        listed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
        words = [line.split()[-1] for line in listed.stdout.splitlines() if line.strip()]
        found |= {word for word in words if word.startswith("cu") and word[2:3].isupper() and word.isidentifier()}
    source = folder / "cuda.c"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(found)))
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source], check=True)
    return folder


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy beside the original, since hard links do not reach further than a file system."""
    good = LAB / str(request.param)
    if not good.is_dir():
        pytest.skip(f"SGLDOCTOR_LAB has no {good.name}")
    folder = LAB / f"{os.environ.get('SGLDOCTOR_LAB_PREFIX', 'fix')}-test-{os.getpid()}"
    subprocess.run(["cp", "-al", str(good), str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


def variables(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(UV).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}  # fmt: skip


def break_(folder: Path, step: tuple[str, ...], environ: dict[str, str]) -> None:
    site = next(folder.glob("lib/python3*/site-packages"))
    if step[0] in ("install", "uninstall"):
        command = [UV, "pip", step[0], "--python", str(folder / "bin" / "python"), *step[1:]]
        subprocess.run(command, env=environ, check=True, capture_output=True)
        return
    if step[0] == "keep":
        break_(folder, gone(*(name for name in versions(folder) if name not in step[1:])), environ)
        return
    path = site / step[1]
    data = path.read_bytes()
    path.unlink()  # never through the hard link
    if step[0] == "cut":
        path.write_bytes(data[:50_000])


def versions(folder: Path) -> dict[str, str]:
    found = snapshot.take(find(None, str(folder), None, {"PATH": os.environ["PATH"]})).packages
    return {name: entry.version for name, entry in found.items()}


@pytest.mark.parametrize(("name", "lab"), [(name, case.lab) for name, case in CASES.items()], indirect=["lab"])
def test_true_wheels_repair_a_real_environment(name: str, lab: Path, stub: Path, tmp_path: Path) -> None:
    case, environ = CASES[name], variables(tmp_path)
    sound = versions(lab)
    for step in case.breaks:
        break_(lab, step, environ)
    command = [sys.executable, "-m", "sgldoctor", "check", "--venv", str(lab), "--format", "json"]
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 1
    ran = subprocess.run(
        [*command, "--fix", "--yes", *case.options], env=environ, capture_output=True, text=True, check=False
    )
    fixed: dict[str, Any] = json.loads(ran.stdout)["fixed"]
    assert (ran.returncode, fixed["result"]) == (0, "verified"), fixed
    assert case.moved == {"*"} or {row["name"] for row in fixed["changes"]} <= case.moved
    after = versions(lab)
    # What is not SGLang's and torch's own may be newer; nothing of theirs is, and nothing of the other CUDA stays.
    # Where torch is right, a wheel of the other CUDA that does no harm is nobody's business.
    judged = CORE if case.options else CORE - (LEFT_OVER - case.moved)
    assert {one: after.get(one) for one in judged if after.get(one) != sound.get(one)} == {}
    assert "numpy" in after  # no release pins it
    assert lost(lab) == []
    loaded = subprocess.run(
        [str(lab / "bin" / "python"), "-c", "import sgl_kernel; print(sgl_kernel.__file__)"],
        env={**environ, "LD_LIBRARY_PATH": str(stub)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr[-2000:]
    assert loaded.stdout.strip().endswith("__init__.py")


def lost(folder: Path) -> list[str]:
    """Files with content that a RECORD lists and that are not there: no wheel may have taken another's with it."""
    found, site = [], site_of(folder)
    for record in sorted(site.glob("*.dist-info/RECORD")):
        for entry in entries(record.read_bytes(), everything=True):
            if entry.size != 0 and not entry.path.endswith(".pyc") and not (site / entry.path).exists():
                found.append(f"{record.parent.name}: {entry.path}")
    return found


@pytest.mark.skipif("SGLDOCTOR_TEST_ANSIBLE" not in os.environ, reason="SGLDOCTOR_TEST_ANSIBLE names no program")
@pytest.mark.parametrize("lab", ["good058"], indirect=True)
def test_tasks_of_ansible_in_the_docs(lab: Path, tmp_path: Path) -> None:
    """Changed where something was repaired, the same as before the next time, failed where problems remain."""
    page = (Path(__file__).parents[2] / "docs/repair.md").read_text("utf-8")
    tasks = page[page.index("- name: Repair the environment") :].partition("```")[0]
    playbook = tmp_path / "playbook.yml"
    head = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n"
    playbook.write_text(head + textwrap.indent(tasks.replace("/opt/venv", str(lab)), "    "))
    environ = variables(tmp_path)
    told = []
    for step in (gone("nvidia-cudnn-cu12"), None, moved("torch==2.10.0")):
        if step is not None:
            break_(lab, step, environ)
        words = [os.environ["SGLDOCTOR_TEST_ANSIBLE"], str(playbook)]
        ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        recap = dict(re.findall(r"(\w+)=(\d+)", ran.stdout.partition("PLAY RECAP")[2]))
        told.append((recap["changed"], recap["failed"]))
    assert told == [("1", "0"), ("0", "0"), ("0", "1")]
