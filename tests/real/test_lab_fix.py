"""Repairs of a real SGLang 0.5.8 with the true wheels: the faults of its table of failures, on copies by hard links.

``SGLDOCTOR_LAB`` names the folder that holds ``good058``; uv and its index (or a cache that holds the wheels) are
needed. Afterwards ``import sgl_kernel`` has to succeed with a stand-in for libcuda, which gcc makes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sgldoctor.fix import snapshot
from sgldoctor.probe.environments import find

LAB = Path(os.environ.get("SGLDOCTOR_LAB", "/nowhere"))
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])) or ""
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not (LAB / "good058").is_dir(), reason="SGLDOCTOR_LAB names no SGLang 0.5.8"),
    pytest.mark.skipif(not UV or not shutil.which("gcc"), reason="uv and gcc are needed"),
]

CUDNN = "nvidia/cudnn/lib/libcudnn.so.9"


class Case(NamedTuple):
    """How to break a copy, and which packages the repair may move at most."""

    breaks: tuple[tuple[str, ...], ...]
    moved: frozenset[str]
    options: tuple[str, ...] = ()


def gone(*names: str) -> tuple[str, ...]:
    return ("uninstall", *names)


def put(*words: str) -> tuple[str, ...]:
    return ("install", *words)


SHARED = frozenset(
    f"nvidia-{family}-cu{major}" for family in ("cudnn", "cusparselt", "nccl", "nvshmem") for major in (12, 13)
)
CASES = {
    "no cudnn": Case((gone("nvidia-cudnn-cu12"),), frozenset(("nvidia-cudnn-cu12",))),
    "no cusparselt": Case((gone("nvidia-cusparselt-cu12"),), frozenset(("nvidia-cusparselt-cu12",))),
    "no nccl": Case((gone("nvidia-nccl-cu12"),), frozenset(("nvidia-nccl-cu12",))),
    "no nvshmem": Case((gone("nvidia-nvshmem-cu12"),), frozenset(("nvidia-nvshmem-cu12",))),
    "no numpy": Case((gone("numpy"),), frozenset(("numpy",))),
    "no triton, no sympy": Case((gone("triton", "sympy"),), frozenset(("triton", "sympy"))),
    "old kernel": Case((put("--no-deps", "sgl-kernel==0.3.19"),), frozenset(("sgl-kernel",))),
    "both kernels": Case((put("--no-deps", "sglang-kernel==0.4.1"),), frozenset(("sgl-kernel", "sglang-kernel"))),
    "kernel half removed": Case(
        (put("--no-deps", "sglang-kernel==0.4.1"), gone("sglang-kernel")), frozenset(("sgl-kernel",))
    ),
    "flashinfer pair": Case((put("--no-deps", "flashinfer-python==0.5.3"),), frozenset(("flashinfer-python",))),
    "file gone": Case((("remove", CUDNN),), frozenset(("nvidia-cudnn-cu12",))),
    "file cut": Case((("cut", CUDNN),), frozenset(("nvidia-cudnn-cu12",))),
    "three at once": Case(
        (gone("nvidia-cudnn-cu12"), put("--no-deps", "sglang-kernel==0.4.1", "flashinfer-python==0.5.3")),
        frozenset(("nvidia-cudnn-cu12", "sgl-kernel", "sglang-kernel", "flashinfer-python")),
    ),
    "torch 2.10": Case(
        (put("torch==2.10.0"),), frozenset(("torch", "triton", "nvidia-nvshmem-cu12")), ("--unsafe",)
    ),
    "torch 2.11": Case(
        (put("torch==2.11.0"),), SHARED | {"torch", "triton", "cuda-bindings"}, ("--unsafe",)
    ),
    "torch put back over CUDA 13": Case(
        (put("torch==2.11.0"), put("torch==2.9.1")), SHARED | {"cuda-bindings"}, ("--unsafe",)
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A libcuda.so.1 whose functions all say that there is no device."""
    folder = tmp_path_factory.mktemp("stub")
    site = next((LAB / "good058").glob("lib/python3*/site-packages"))
    found = {"cuInit", "cuGetErrorString", "cuDriverGetVersion", "cuGetProcAddress_v2"}
    for library in [*site.glob("sgl_kernel/**/*.so"), *site.glob("torch/lib/libcaffe2_nvrtc.so")]:
        listed = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
        words = [line.split()[-1] for line in listed.stdout.splitlines() if line.strip()]
        found |= {word for word in words if word.startswith("cu") and word[2:3].isupper() and word.isidentifier()}
    source = folder / "cuda.c"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(found)))
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source], check=True)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """A copy beside the original, since hard links do not reach further than a file system."""
    folder = LAB / f"{os.environ.get('SGLDOCTOR_LAB_PREFIX', 'fix')}-test-{os.getpid()}"
    subprocess.run(["cp", "-al", str(LAB / "good058"), str(folder)], check=True)
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
    path = site / step[1]
    data = path.read_bytes()
    path.unlink()  # never through the hard link
    if step[0] == "cut":
        path.write_bytes(data[:50_000])


def versions(folder: Path) -> dict[str, str]:
    found = snapshot.take(find(None, str(folder), None, {"PATH": os.environ["PATH"]})).packages
    return {name: entry.version for name, entry in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_true_wheels_repair_a_real_environment(name: str, copy: Path, stub: Path, tmp_path: Path) -> None:
    case, environ = CASES[name], variables(tmp_path)
    sound = versions(copy)
    for step in case.breaks:
        break_(copy, step, environ)
    command = [sys.executable, "-m", "sgldoctor", "check", "--venv", str(copy), "--format", "json"]
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 1
    ran = subprocess.run(
        [*command, "--fix", "--yes", *case.options], env=environ, capture_output=True, text=True, check=False
    )
    fixed: dict[str, Any] = json.loads(ran.stdout)["fixed"]
    assert (ran.returncode, fixed["result"]) == (0, "verified"), fixed
    assert {row["name"] for row in fixed["changes"]} <= case.moved
    after = versions(copy)
    # What is not SGLang's and torch's own may be newer; nothing of theirs is, and nothing of the other CUDA stays.
    wrong = {one: after.get(one) for one in SHARED | {"torch", "triton", "sgl-kernel", "sglang-kernel", "numpy"}
             if after.get(one) != sound.get(one)}  # fmt: skip
    assert wrong == {}
    loaded = subprocess.run(
        [str(copy / "bin" / "python"), "-c", "import sgl_kernel; print(sgl_kernel.__file__)"],
        env={**environ, "LD_LIBRARY_PATH": str(stub)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr[-2000:]
    assert loaded.stdout.strip().endswith("__init__.py")
