"""A miniature SGLang environment of real files: dist-info folders, and shared objects that gcc makes on the spot.

``make_env`` lays out, under a root folder of its own, what ``uv pip install sglang==X`` gives: the same names, pins,
SONAMEs, DT_RPATHs, symbols and order of loading, at a thousandth of the size. Tests then break it the way people do.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

from sgldoctor import derive
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases
from sgldoctor.probe.libraries import libraries
from sgldoctor.probe.packages import packages
from sgldoctor.probe.target import Target
from sgldoctor.vocabulary import FACTS
from tests.lab_texts import INIT, INIT_13

PREFIX = "/opt/venv"
PYTHON = "3.11"
MACHINE = os.uname().machine
CHECK = "_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib"
"""A symbol that the kernel takes from torch, as torch up to 2.9 names it."""

needs_gcc = pytest.mark.skipif(
    not shutil.which("gcc") or MACHINE not in {"x86_64", "aarch64"}, reason="no gcc to make shared objects with"
)

QUIET = (
    *(f"packages.{name}" for name in ("missing", "unpinned", "mixed_cuda", "damaged", "overlapping")),
    *(f"packages.{name}" for name in ("leftovers", "duplicates")),
    *(f"libraries.{name}" for name in ("unresolved", "corrupt", "shadowed", "versions")),
    "symbols.undefined",
)
"""Facts that are empty in a sound environment."""


class Lab(NamedTuple):
    """One environment: ``root`` stands for ``/`` and ``site`` is its site-packages folder, both on this machine."""

    root: Path
    site: Path

    def target(self, environ: Mapping[str, str] | None = None) -> Target:
        site = f"{PREFIX}/lib/python{PYTHON}/site-packages"
        return Target(str(self.root), "", PREFIX, (site,), f"{PYTHON}.7", environ or {}, "test", "venv")

    def raw(self, environ: Mapping[str, str] | None = None) -> Facts:
        """What the probes of packages and libraries find."""
        target = self.target(environ)
        facts = packages(target)
        facts.merge(libraries(target, facts))
        return facts

    def facts(self, environ: Mapping[str, str] | None = None) -> Facts:
        """What is probed and derived."""
        facts = self.raw(environ)
        derive.derive(facts)
        for name in facts.names():
            for row in facts.rows(name):
                assert row.keys() <= FACTS[name].keys() | {"text", "line"}, f"{name}: a column that nobody described"
        return facts

    def uninstall(self, name: str) -> None:
        """Remove what RECORD lists, as pip does."""
        for info in self.site.glob(f"{name.replace('-', '_')}-*.dist-info"):
            for line in (info / "RECORD").read_text().splitlines():
                (self.site / line.split(",")[0]).unlink(missing_ok=True)
            shutil.rmtree(info, ignore_errors=True)

    def replace(self, file: str, content: bytes) -> None:
        """Give a file other content without touching the hard links of other labs."""
        path = self.site / file
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def shared_object(
    path: Path,
    *,
    soname: str = "",
    needed: Sequence[Path] = (),
    rpath: str = "",
    runpath: str = "",
    defines: Iterable[str] = (),
    wants: Iterable[str] = (),
    versions: str = "",
) -> Path:
    """Make a real shared object without libc; ``versions`` is a linker version script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"void {name}(void) {{}}" for name in defines]
    lines += [f"extern void {name}(void);" for name in wants]
    lines.append(f"void use_them(void) {{ {' '.join(f'{name}();' for name in wants)} }}")
    command = [
        "gcc",
        "-shared",
        "-nostdlib",
        "-fPIC",
        "-x",
        "c",
        "-",
        "-x",
        "none",
        "-o",
        str(path),
        "-Wl,--no-as-needed",
    ]
    command.append(f"-Wl,-soname,{soname or path.name}")
    command.append("-Wl,-z,noseparate-code")
    if rpath:
        command += ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{rpath}"]
    if runpath:
        command += ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{runpath}"]
    script = path.with_suffix(".map")
    if versions:
        script.write_text(versions)
        command.append(f"-Wl,--version-script={script}")
    # The libraries come by full path; one whose own needs are absent must not stop the link.
    command += ["-Wl,--allow-shlib-undefined", *(str(other) for other in needed)]
    subprocess.run(command, input="\n".join(lines), text=True, check=True, capture_output=True)
    script.unlink(missing_ok=True)
    return path


def distribution(
    site: Path, name: str, version: str, requires: Iterable[str] = (), files: Iterable[str] = (), extra: str = ""
) -> Path:
    """Write a dist-info whose RECORD holds the sizes that ``files`` (inside ``site``) have now."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    shutil.rmtree(info, ignore_errors=True)
    info.mkdir(parents=True)
    header = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {line}" for line in requires),
    ]
    (info / "METADATA").write_text("\n".join(header) + f"\n{extra}\n\nA long description.\nRequires-Dist: nonsense\n")
    (info / "INSTALLER").write_text("uv")
    lines = []
    for file in files:
        data = (site / file).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{len(data)}")
    own = info.name
    (info / "RECORD").write_text("\n".join([*lines, f"{own}/METADATA,,", f"{own}/RECORD,,", ""]))
    return info


def satisfying(requirement: str) -> tuple[str, str] | None:
    """``(name, version)`` that satisfies a requirement line; None for one that does not apply here."""
    head, _, marker = requirement.partition(";")
    if "aarch64" in marker and MACHINE == "x86_64" and "!=" not in marker:
        return None
    match = re.match(r"\s*([\w.-]+)\s*(?:\[[^\]]*\])?\s*(.*)", head)
    assert match, requirement
    bounds = re.findall(r"(?:==|>=|~=)\s*([\w.!+]+)", match[2])
    return releases.normalise(match[1]), bounds[0].removesuffix(".*") if bounds else "1.0"


def pins(sglang: str) -> dict[str, str]:
    """Every distribution of a sound environment of that release, by name, from knowledge."""
    found = releases.release(sglang)
    assert found is not None
    pairs = [satisfying(line) for line in found.pins]
    named = dict(pair for pair in pairs if pair)
    for name in ("torch", "flashinfer-python"):
        lines = releases.companion(name, named[name]) or ()
        pairs += [pair for line in lines if (pair := satisfying(line)) and pair[0] not in named]
    toolkit = dict(pair for pair in pairs if pair).get("cuda-toolkit")
    if toolkit:
        pairs += [(family, toolkit) for family in TOOLKIT]
    return {"sglang": sglang, **dict(pair for pair in pairs if pair)}


NVIDIA = {
    # folder, library, functions
    "nvidia-cuda-runtime": ("cuda_runtime", ["libcudart.so.{cuda}"], ["cudaMalloc"]),
    "nvidia-cuda-nvrtc": ("cuda_nvrtc", ["libnvrtc.so.{cuda}"], ["nvrtcCompileProgram"]),
    "nvidia-cublas": ("cublas", ["libcublas.so.{cuda}"], ["cublasCreate_v2"]),
    "nvidia-nvjitlink": ("nvjitlink", ["libnvJitLink.so.{cuda}"], ["nvJitLinkCreate"]),
    "nvidia-cudnn": ("cudnn", ["libcudnn.so.9", "libcudnn_ops.so.9"], ["cudnnCreate"]),
    "nvidia-cusparselt": ("cusparselt", ["libcusparseLt.so.0"], ["cusparseLtInit"]),
    "nvidia-nccl": ("nccl", ["libnccl.so.2"], ["ncclCommInitRank"]),
    "nvidia-nvshmem": ("nvshmem", ["libnvshmem_host.so.3"], ["nvshmem_init"]),
}

TOOLKIT = {
    # the wheels that lost their suffix with CUDA 13, and the extra of cuda-toolkit that brings them
    "nvidia-cuda-runtime": "cudart",
    "nvidia-cuda-nvrtc": "nvrtc",
    "nvidia-cublas": "cublas",
    "nvidia-nvjitlink": "nvjitlink",
}


def folder_of(family: str, cuda: str) -> str:
    """Where a wheel keeps its libraries: from CUDA 13 on, the toolkit's share one folder."""
    return f"nvidia/cu{cuda}/lib" if cuda != "12" and family in TOOLKIT else f"nvidia/{NVIDIA[family][0]}/lib"


def nvidia_files(site: Path, family: str, cuda: str, *, functions: Sequence[str] = (), pad: int = 0) -> list[str]:
    """Make the libraries of one NVIDIA wheel; ``pad`` adds bytes, as another release would differ in size."""
    _, names, defined = NVIDIA[family]
    made = []
    for name in names:
        file = f"{folder_of(family, cuda)}/{name.format(cuda=cuda)}"
        versions = "NVSHMEM { global: *; };" if family == "nvidia-nvshmem" else ""
        (site / file).unlink(missing_ok=True)
        shared_object(site / file, runpath="$ORIGIN", defines=functions or defined, versions=versions)
        with (site / file).open("ab") as stream:
            stream.write(b"\0" * pad)
        made.append(file)
    return made


def torch_files(
    site: Path, *, check: str = CHECK, local: str = "+cu128", version: str = "", stubs: Path | None = None
) -> list[str]:
    """Make torch: libraries with DT_RPATH to NVIDIA's folders, which bring each other in as the real ones do."""
    lib = site / "torch/lib"
    shutil.rmtree(site / "torch", ignore_errors=True)
    # torch writes DT_RPATH, not RUNPATH, and its libraries find each other beside themselves.
    label = re.fullmatch(r"\+cu(\d\d)\d", local)
    major = label[1] if label and (site / f"nvidia/cu{label[1]}").exists() else "12"
    folders = dict.fromkeys(folder_of(family, major) for family in NVIDIA)
    rpath = ":".join(["$ORIGIN", *(f"$ORIGIN/../../{folder}" for folder in folders)])

    def wheel(family: str) -> list[Path]:
        found = site / folder_of(family, major) / NVIDIA[family][1][0].format(cuda=major)
        return [found] if found.exists() else []

    cudart = wheel("nvidia-cuda-runtime")
    driver = shared_object((stubs or site) / "libcuda.so.1", defines=["cuInit"])
    c10 = shared_object(lib / "libc10.so", rpath=rpath, defines=["_ZN3c105ErrorC1Ev"])
    c10_cuda = shared_object(lib / "libc10_cuda.so", rpath=rpath, needed=[c10, *cudart], defines=[check])
    cpu = shared_object(lib / "libtorch_cpu.so", rpath=rpath, needed=[c10], defines=["_ZN2at5emptyEv"])
    parts = [
        path
        for family in ("nvidia-cudnn", "nvidia-nccl", "nvidia-cusparselt", "nvidia-nvshmem")
        for path in wheel(family)
    ]
    cuda = shared_object(
        lib / "libtorch_cuda.so",
        rpath=rpath,
        needed=[c10, c10_cuda, cpu, *parts, *wheel("nvidia-cublas")],
        wants=["cudnnCreate", "ncclCommInitRank", "cusparseLtInit", "nvshmem_init", "cublasCreate_v2"],
    )
    whole = shared_object(lib / "libtorch.so", rpath=rpath, needed=[cpu, cuda])
    python = shared_object(lib / "libtorch_python.so", rpath=rpath, needed=[whole, c10, *wheel("nvidia-cudnn")])
    shared_object(lib / "libtorch_global_deps.so", rpath=rpath, needed=cudart)
    shared_object(lib / "libcaffe2_nvrtc.so", rpath=rpath, needed=[driver, *wheel("nvidia-cuda-nvrtc")])
    shared_object(site / f"torch/_C.cpython-311-{MACHINE}-linux-gnu.so", rpath="$ORIGIN/lib", needed=[python])
    (site / "torch/__init__.py").write_text(INIT if major == "12" else INIT_13)
    cuda_release = re.sub(r"\+cu(\d\d)(\d)", r"\1.\2", local)
    (site / "torch/version.py").write_text(
        f"__version__ = '{version}{local}'\ncuda: Optional[str] = '{cuda_release}'\nhip: Optional[str] = None\n"
    )
    if stubs is None:
        driver.unlink()
    return sorted(str(path.relative_to(site)) for path in (site / "torch").rglob("*") if path.is_file())


def kernel_files(site: Path, *, check: str = CHECK, cuda: str = "12", pad: int = 0) -> list[str]:
    """Make the kernel: no RPATH at all, it lives on what torch loaded; it needs the driver's library."""
    made = []
    shutil.rmtree(site / "sgl_kernel", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        beside = Path(scratch)
        driver = shared_object(beside / "libcuda.so.1")
        nvrtc = shared_object(beside / f"libnvrtc.so.{cuda}")
        torch = [
            site / "torch/lib" / name
            for name in ("libc10.so", "libc10_cuda.so", "libtorch.so")
            if (site / "torch/lib" / name).exists()
        ]
        for name in ("sm90/common_ops", "sm100/common_ops", "flash_ops"):
            file = f"sgl_kernel/{name}.abi3.so"
            wants = [check, "_ZN3c105ErrorC1Ev"]
            shared_object(site / file, needed=[driver, nvrtc, *torch], wants=wants)
            with (site / file).open("ab") as stream:
                stream.write(b"\0" * pad)
            made.append(file)
    (site / "sgl_kernel/__init__.py").write_text("from sgl_kernel.load_utils import common_ops\n")
    return ["sgl_kernel/__init__.py", *made]


@lru_cache(maxsize=4)
def _template(sglang: str) -> tuple[Path, dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="sgldoctor-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = folder / "root"
    site = root / PREFIX.lstrip("/") / f"lib/python{PYTHON}/site-packages"
    site.mkdir(parents=True)
    versions = pins(sglang)
    (site.parents[2] / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion_info = {PYTHON}.7\n")
    files: dict[str, list[str]] = {}
    for name in versions:
        match = re.fullmatch(r"(nvidia-.+?)(?:-cu(\d+))?", name)
        if match and match[1] in NVIDIA:
            files[name] = nvidia_files(site, match[1], match[2] or "13")
    driver = root / f"usr/lib/{MACHINE}-linux-gnu"
    shared_object(driver / "libc.so.6")
    cuda = "13" if "cuda-toolkit" in versions else "12"
    label = "+cu" + "".join(versions["cuda-toolkit"].split(".")[:2]) if cuda == "13" else "+cu128"
    files["torch"] = torch_files(site, version=versions["torch"], local=label, stubs=driver)
    kernel = releases.kernel_pin(sglang)
    assert kernel is not None
    files[kernel[0]] = kernel_files(site, cuda=cuda)
    found = releases.release(sglang)
    assert found is not None
    requires: dict[str, Sequence[str]] = {
        "sglang": found.pins,
        "torch": releases.companion("torch", versions["torch"]) or (),
    }
    requires[kernel[0]] = releases.load("sglang-releases.json")["kernels"]["==".join(kernel)]["requires_dist"]
    if cuda == "13":
        toolkit = versions["cuda-toolkit"]
        requires["cuda-toolkit"] = [f"{name}=={toolkit}.*; extra == '{extra}'" for name, extra in TOOLKIT.items()]
    else:
        requires["torchaudio"] = (f"torch=={versions['torch']}",)
    for name, version in versions.items():
        distribution(site, name, version, requires.get(name, ()), files.get(name, ()))
    return root, versions


def make_env(folder: Path, sglang: str = "0.5.8") -> Lab:
    """A sound environment of a release, with the CUDA of its torch and the driver's libcuda in the system folder."""
    template, _ = _template(sglang)
    root = folder / "root"
    shutil.copytree(template, root, copy_function=os.link, symlinks=True)
    return Lab(root, root / PREFIX.lstrip("/") / f"lib/python{PYTHON}/site-packages")


def troubles(facts: Facts, *but: str) -> dict[str, list[str]]:
    """What is wrong, by fact, apart from the facts named; empty for a sound environment."""
    return {
        name: [str(row.get("text") or row) for row in facts.rows(name)]
        for name in QUIET
        if facts.rows(name) and name not in but
    }
