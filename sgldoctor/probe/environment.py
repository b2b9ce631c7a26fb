"""Environment variables that matter to SGLang and what it stands on; secrets never leave the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgldoctor.facts import Facts

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
    """The fact ``environment``: name and redacted value of every variable that counts, sorted by name."""
    from sgldoctor.report.redact import redact_value

    facts = Facts()
    rows = [
        {"name": name, "value": redact_value(name, value[:_LONGEST])}
        for name, value in sorted(target.environ.items())
        if name in NAMES or name.startswith(PREFIXES)
    ]
    facts.put("environment", rows, "probe")
    return facts
