"""Environment variables that matter to SGLang and what it stands on; secrets never leave the process."""

from __future__ import annotations

import os

from sgldoctor.facts import Facts, Row
from sgldoctor.probe.files import exists, names
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

PREFIXES = (
    "SGLANG_", "SGL_", "NCCL_", "CUDA_", "LD_", "HF_", "HUGGING", "TRANSFORMERS_", "MC_", "MOONCAKE_", "UCX_",
    "NVSHMEM_", "GLOO_", "TORCH_", "PYTORCH_", "TORCHINDUCTOR_", "TRITON_", "FLASHINFER_", "DG_", "DEEP_GEMM_",
    "DEEPEP_", "EP_", "NIXL_", "NVIDIA_", "VLLM_", "TP_", "NVTE_", "GDRCOPY_", "IBV_", "RDMAV_", "MLX5_", "OMPI_MCA_",
    "TOKENIZERS_", "MODELSCOPE_",
)  # fmt: skip
NAMES = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "LIBRARY_PATH", "CPATH", "CC", "CXX", "MAX_JOBS",
    "OMP_NUM_THREADS", "XDG_CACHE_HOME", "VIRTUAL_ENV", "CONDA_PREFIX", "RANK", "WORLD_SIZE", "LOCAL_RANK",
    "MASTER_ADDR", "MASTER_PORT", "TMPDIR", "HIP_VISIBLE_DEVICES",
})  # fmt: skip
_LONGEST = 8192


def environment(target: Target) -> Facts:
    """The facts ``environment`` (name and redacted value of what counts, by name) and ``environment.library_path``."""
    from sgldoctor.report.redact import redact_value

    facts = Facts()
    rows = [
        {"name": name, "value": redact_value(name, value[:_LONGEST])}
        for name, value in sorted(target.environ.items())
        if name in NAMES or name.startswith(PREFIXES)
    ]
    facts.put("environment", rows, "probe")
    facts.put("environment.library_path", library_path(target), "probe")
    facts.put("environment.preload", preload(target), "probe")
    return facts


def preload(target: Target) -> list[Row]:
    """Entries of ``LD_PRELOAD`` that the loader cannot load: it says so before every program, and goes on without."""
    import re

    from sgldoctor.probe import rooted

    rows: list[Row] = []
    for path in re.split(r"[:\s]+", target.environ.get("LD_PRELOAD", "")):
        if not path.startswith("/"):  # a bare name is searched for like any library
            continue
        head = rooted.read(target.root, path, 64)
        problem = "missing" if head is None else "" if head[:4] == b"\x7fELF" else "no ELF file"
        if problem:
            name = os.path.basename(path)
            text = f"LD_PRELOAD names {path}, which is {'not there' if problem == 'missing' else problem}"
            rows.append({"file": path, "library": name, "problem": problem, "text": text})
    return rows


def library_path(target: Target) -> list[Row]:
    """Entries of ``LD_LIBRARY_PATH`` that are not there, mean the working folder, or hold a stub of the driver."""
    value = target.environ.get("LD_LIBRARY_PATH", "")
    rows: list[Row] = []
    for folder in value.split(":") if value else []:
        if not folder:
            # An empty entry, as a leading or trailing colon makes it, means the current folder (ld.so(8)).
            rows.append({"folder": "", "problem": "empty", "library": ""})
        elif folder.startswith("/") and names(target, folder) is None:
            rows.append({"folder": folder, "problem": "missing", "library": ""})
        elif "stubs" in folder.split("/") and exists(target, f"{folder}/libcuda.so.1"):
            # The plain libcuda.so of a stubs folder is for the linker and harmless here; libcuda.so.1 is loaded.
            rows.append({"folder": folder, "problem": "stubs", "library": "libcuda.so.1"})
    return rows
