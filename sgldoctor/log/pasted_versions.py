"""Versions, packages, GPUs and driver in a pasted text.

Understood: ``sglang.check_env``, torch's ``collect_env``, ``pip list`` / ``freeze`` / ``show`` / ``install``, uv's
output, conda's list, ``nvidia-smi``, and what single messages and paths tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.lazy import lazy
from sgldoctor.log.lines import Line
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.log.pasted import Paste

BLOCK_LINES = 60
"""A line ``name: version`` is a package only this near to the beginning of an environment report."""

_VERSION = r"\d{1,6}(?:\.\d{1,8}){0,4}[\w.+!-]{0,40}"
_KEY = lazy(r"^(?P<key>[A-Za-z][\w ,.()/-]{0,70}?) *: +(?P<value>\S.{0,400})$")
_IS_VERSION = lazy(rf"^{_VERSION}$")
_NAME = lazy(r"^[A-Za-z0-9][\w.-]{0,80}$")
_GPU = lazy(r"^gpu (?P<indices>\d{1,3}(?:,\d{1,3})*)(?P<capability> compute capability)?$")
_FREEZE = lazy(
    r"^(?:\[pip3?\] |\[uv\] |\s{0,12}\+ |~ )?(?P<name>[A-Za-z0-9][\w.-]{0,80})(?:\[[\w,.-]{0,80}\])?"
    rf"={{2,3}}(?P<version>{_VERSION})(?: *;.{{0,200}})?$"
)
_EDITABLE = lazy(r"^-e (?P<url>\S{1,300}?)(?:@[\w.-]{1,80})?#egg=(?P<name>[\w.-]{1,80})")
_COLUMNS = lazy(rf"^(?P<name>[A-Za-z0-9][\w.-]{{0,80}}) +(?P<version>{_VERSION})(?: +\S.{{0,300}})?$")
_CONDA = lazy(rf"^\[conda\] (?P<name>[\w.-]{{1,80}}) +(?P<version>{_VERSION})(?: .*)?$")
_SATISFIED = lazy(
    rf"^Requirement already satisfied: (?P<name>[A-Za-z0-9][\w.-]{{0,80}}).{{0,400}}\((?P<version>{_VERSION})\)$"
)
_SMI = lazy(
    rf"NVIDIA-SMI {_VERSION} +(?:KMD Version: \S+ +)?Driver Version: (?P<driver>{_VERSION}) +"
    r"CUDA(?: UMD)? Version: (?P<cuda>[\d.]+)"
)
_SMI_GPU = lazy(r"^\| +(?P<index>\d{1,3}) +(?P<name>[A-Z][\w /()+-]{2,60}?) +(?:On|Off|N/A) +\|")
_SMI_MEMORY = lazy(r"\| +(?P<used>\d{1,8})MiB */ *(?P<total>\d{1,8})MiB")
_NVCC = lazy(r"release (?P<version>\d{1,3}\.\d{1,2})")
_DRIVER_CUDA = lazy(r"(?:too old \(found version|\bcudaDriverVersion) (?P<number>\d{4,6})\b")
_NCCL = lazy(r"(?:is using nccl==|^NCCL version (?=\d))(?P<version>\d+(?:\.\d+){1,3})")
_PATH_PYTHON = lazy(r"/lib(?:64)?/python(?P<version>3\.\d{1,2})/")
_IMAGE = lazy(r"\b(?:lmsysorg|lmsys)/sglang:v(?P<version>\d+\.\d+\.\d+(?:\.post\d+)?(?:rc\d+)?)")
_PLATFORM_GLIBC = lazy(r"glibc[- ]?(?P<version>2\.\d{1,3})\b")

_ALIASES = {"zmq": "pyzmq", "multipart": "python-multipart", "pil": "pillow", "yaml": "pyyaml"}
"""Import names under which old releases of check_env listed distributions."""
_CHECK_ENV = ("CUDA available", "CUDA_HOME", "NVCC", "CUDA Driver Version", "CUDA Driver Versions", "PyTorch")
"""Keys of ``sglang.check_env``, after which it lists packages; collect_env has others, and numbers of the CPU."""


def collect(lines: Sequence[Line], paste: Paste) -> None:
    """Read everything of this module's subject out of the lines."""
    near = -BLOCK_LINES
    shown = ""
    run: list[tuple[str, str, int]] = []
    gpu = -1
    for index, line in enumerate(lines):
        text = line.text
        columns = _COLUMNS.match(text) if not line.record else None
        if columns:
            run.append((columns["name"], columns["version"], line.number))
        elif run:
            _table(run, paste)
            run = []
        if len(text) > 2000 or not text:
            continue
        if line.record or line.time:
            _message(text, line.number, paste)
            continue
        if text.startswith("|"):
            gpu = _nvidia_smi(text, line.number, gpu, paste)
            continue
        if "==" in text or text.startswith(("[conda]", "-e ", "Successfully", "Requirement", "[pip")):
            _listed(text, line.number, paste)
        key = _KEY.match(text) if ":" in text else None
        if key and _reported(key["key"].strip().lower(), key["value"].strip(), line.number, paste):
            near = index if key["key"] in _CHECK_ENV else near
        elif key and index - near < BLOCK_LINES:
            name, value = key["key"].strip(), key["value"].strip()
            if _NAME.match(name) and name == name.lower() and "." in value and _IS_VERSION.match(value):
                paste.package(_ALIASES.get(name, name), value, line.number)
                near = index
        if key and key["key"] == "Name" and _NAME.match(key["value"]):
            shown = key["value"]
        elif key and key["key"] == "Version" and shown and _IS_VERSION.match(key["value"]):
            paste.package(shown, key["value"], line.number)
            shown = ""
        _message(text, line.number, paste)
    _table(run, paste)


def _table(run: list[tuple[str, str, int]], paste: Paste) -> None:
    """Two columns are a package list only in a run of lines: one line alone may be any sentence."""
    if len(run) >= 3:
        for name, version, line in run:
            paste.package(name, version, line)


def _listed(text: str, line: int, paste: Paste) -> None:
    pattern = {"[conda]": _CONDA, "Require": _SATISFIED}.get(text[:7], _FREEZE)
    match = None if text.startswith("==") else pattern.match(text)
    if match:
        paste.package(match["name"], match["version"], line)
        return
    editable = _EDITABLE.match(text) if text.startswith("-e ") else None
    if editable:
        paste.note(editable["name"].lower(), line, editable=True) if editable["name"].lower() == "sglang" else None
        return
    if text.startswith("Successfully installed "):
        for word in text.split()[2:400]:
            name, _, version = word.rpartition("-")
            if name and _NAME.match(name) and _IS_VERSION.match(version):
                paste.package(name, version, line)


def _reported(key: str, value: str, line: int, paste: Paste) -> bool:
    """One ``key: value`` of an environment report; True where the key is one that only such reports have."""
    if key in ("python", "python version"):
        version = re.match(r"(\d\.\d{1,2}\.\d{1,2}\S{0,10})(?: |$)", value)
        if version:
            paste.note("python", line, version=version[1])
        return bool(version)
    if key in ("pytorch", "pytorch version", "torch version", "torch"):
        if _IS_VERSION.match(value):
            version_of(paste, "torch", value, line)
            paste.package("torch", value, line)
        return key != "torch"
    if key in ("cuda driver version", "cuda driver versions", "nvidia driver version", "driver version"):
        first = re.match(r"\d{3}\.\d{1,3}(?:\.\d{1,3})?", value)
        if first:
            paste.note("driver", line, version=first[0])
        return True
    if key == "cuda used to build pytorch":
        if re.match(r"\d+\.\d+$", value):
            paste.note("torch", line, cuda=value, build="cuda")
        elif value in ("None", "N/A", "Could not collect"):
            paste.note("torch", line, cuda="")
        return True
    if key == "cuda_home":
        paste.note("toolkit", line, home=value, source="CUDA_HOME")
        return True
    if key in ("nvcc", "cuda runtime version"):
        release = _NVCC.search(value) or re.match(r"(?P<version>\d{1,2}\.\d{1,2})(?:\.\d+)?$", value)
        if release:
            paste.note("toolkit", line, version=release["version"])
        return True
    if key in ("libc version", "libc", "python platform", "platform"):
        glibc = _PLATFORM_GLIBC.search(value)
        if glibc:
            paste.note("host", line, glibc=glibc["version"])
        return key != "platform"
    if key == "os":
        paste.note("host", line, distribution=value[:120])
        return True
    gpus = _GPU.match(key) if key.startswith("gpu ") else None
    if gpus:
        for index in gpus["indices"].split(","):
            if gpus["capability"]:
                paste.gpu(int(index), line, capability=value)
            else:
                paste.gpu(int(index), line, name=value.partition(" (UUID")[0][:80])
        return True
    return key in (
        "cuda available",
        "is cuda available",
        "cudnn version",
        "nvidia topology",
        "gpu models and configuration",
    )


def version_of(paste: Paste, name: str, version: str, line: int) -> None:
    """Fill ``torch`` or ``sglang`` from a version text: ``2.8.0+cu128`` is torch 2.8.0 for CUDA 12.8."""
    if name == "sglang":
        paste.note("sglang", line, version=version, inferred="")
        return
    release, _, local = version.partition("+")
    columns: dict[str, object] = {"version": release, "local": local}
    cuda = re.match(r"cu(\d{2})(\d{1,2})$", local)
    if cuda:
        columns |= {"build": "cuda", "cuda": f"{cuda[1]}.{cuda[2]}"}
    elif local.startswith("cpu"):
        columns |= {"build": "cpu", "cuda": ""}
    elif local.startswith("rocm"):
        columns |= {"build": "rocm", "cuda": ""}
    paste.note("torch", line, **columns)


def _nvidia_smi(text: str, line: int, gpu: int, paste: Paste) -> int:
    """One row of nvidia-smi's table; returns the GPU whose second row comes next."""
    head = _SMI.search(text)
    if head:
        paste.note("driver", line, version=head["driver"], cuda=head["cuda"])
        return -1
    row = _SMI_GPU.match(text)
    if row:
        paste.gpu(int(row["index"]), line, name=row["name"])
        return int(row["index"])
    memory = _SMI_MEMORY.search(text)
    if memory and gpu >= 0:
        used, total = int(memory["used"]), int(memory["total"])
        share = round(100 * used / total) if total else 0
        paste.gpu(gpu, line, memory_total_mib=total, memory_free_mib=total - used, memory_used_percent=share)
        return -1
    return gpu


def _message(text: str, line: int, paste: Paste) -> None:
    """What single messages and paths tell."""
    if "python3" in text:
        path = _PATH_PYTHON.search(text)
        if path:
            paste.guess("python", line, version=path["version"])
    if "found version" in text or "cudaDriverVersion" in text:
        driver = _DRIVER_CUDA.search(text)
        if driver:
            number = int(driver["number"])
            paste.note("driver", line, cuda=f"{number // 1000}.{number % 1000 // 10}")
    if "ccl==" in text or text.startswith("NCCL version"):
        nccl = _NCCL.search(text)
        if nccl:
            paste.add("log.versions", {"name": "nccl", "version": nccl["version"], "line": line})
    if "sglang:v" in text:
        image = _IMAGE.search(text)
        if image:
            paste.note("sglang", line, version=image["version"], inferred="tag of the container image")
