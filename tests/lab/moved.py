"""Packages moved, added or removed by ordinary commands of pip and uv."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab.env import Copy, Variant

CUDA13 = ("cudnn", "nccl", "cusparselt", "nvshmem")
"""Families whose wheels of CUDA 12 and of CUDA 13 install the same paths."""


def install(*requirements: str) -> Callable[[Copy], None]:
    return lambda copy: copy.install(*requirements)


def only(*requirements: str) -> Callable[[Copy], None]:
    return lambda copy: copy.only(*requirements)


def without(*names: str) -> Callable[[Copy], None]:
    return lambda copy: copy.uninstall(*names)


def steps(*actions: Callable[[Copy], None]) -> Callable[[Copy], None]:
    def do(copy: Copy) -> None:
        for action in actions:
            action(copy)

    return do


def no_cu12_left(copy: Copy) -> None:
    copy.install("torch==2.11.0")
    copy.uninstall(*sorted(p.name.split("-")[0].replace("_", "-") for p in copy.site.glob("nvidia_*_cu12-*.dist-info")))
    copy.pip("install", "--reinstall", "--no-deps", *(f"nvidia-{family}-cu13" for family in CUDA13))


def cu12_left_over(copy: Copy) -> None:
    """A torch of CUDA 12 came, the right one was put back, and what it shared with the other was written anew."""
    versions = {
        family: copy.file(f"nvidia_{family}_cu13-*.dist-info").name.removesuffix(".dist-info").partition("-")[2]
        for family in CUDA13
    }
    torch = copy.file("torch-*.dist-info").name.removesuffix(".dist-info").partition("-")[2]
    copy.install("torch==2.9.1")
    copy.install(f"torch=={torch}")
    copy.uninstall(*(f"nvidia-{family}-cu12" for family in CUDA13))
    pins = (f"nvidia-{family}-cu13=={version}" for family, version in versions.items())
    copy.pip("install", "--reinstall", "--no-deps", *pins)


def own_torch(version: str) -> Callable[[Copy], None]:
    """torch put back over what its CUDA 13 successor left behind."""
    return steps(install("torch==2.11.0"), install(f"torch=={version}"))


MOVED: tuple[Variant, ...] = (
    # --- SGLang 0.5.8 (torch 2.9.1, CUDA 12.8)
    Variant("v01-torch-2.10", "good058", install("torch==2.10.0"), "torch-changed", "torch"),
    Variant("v02-no-cudnn", "good058", without("nvidia-cudnn-cu12"), "missing-libcudnn", "libcudnn"),
    Variant(
        "v03-no-cusparselt", "good058", without("nvidia-cusparselt-cu12"), "missing-libcusparselt", "libcusparseLt"
    ),
    Variant("v04-no-nccl", "good058", without("nvidia-nccl-cu12"), "missing-shared-library", "libnccl"),
    Variant("v05-no-nvshmem", "good058", without("nvidia-nvshmem-cu12"), "missing-shared-library", "libnvshmem"),
    Variant("v06b-torch-2.11", "good058", install("torch==2.11.0"), "torch-changed", "torch"),
    Variant("v06c-no-cu12-left", "good058", no_cu12_left, "torch-changed", "torch"),
    Variant("v07-old-kernel", "good058", only("sgl-kernel==0.3.19"), "kernel-version-mismatch", "sgl-kernel"),
    Variant("v08-both-kernels", "good058", only("sglang-kernel==0.4.1"), "kernel-double-install", "sgl"),
    Variant(
        "v08b-new-removed",
        "good058",
        steps(only("sglang-kernel==0.4.1"), without("sglang-kernel")),
        "kernel-double-install",
        "sgl-kernel",
    ),
    Variant(
        "v08c-old-removed",
        "good058",
        steps(only("sglang-kernel==0.4.1"), without("sgl-kernel")),
        "kernel-double-install",
        "sgl",
    ),
    Variant(
        "v09-flashinfer-0.5.3", "good058", only("flashinfer-python==0.5.3"), "flashinfer-version-mismatch", "flashinfer"
    ),
    Variant(
        "v10-transformers-5",
        "good058",
        install("transformers==5.23.0"),
        "python-module-conflict",
        "transformers",
        "warning",
    ),
    Variant("v11-cudnn-9.16", "good058", only("nvidia-cudnn-cu12==9.16.0.29")),
    Variant("v12-mooncake", "good058", install("mooncake-transfer-engine"), "missing-shared-library", "libibverbs"),
    Variant("v15-no-numpy", "good058", without("numpy"), "python-module-missing", "numpy"),
    Variant("v16-vllm-0.14.1", "good058", install("vllm==0.14.1"), "flashinfer-version-mismatch", "flashinfer"),
    Variant("v16b-vllm-0.15.0", "good058", install("vllm==0.15.0"), "python-module-conflict", "", "warning"),
    Variant("v19-torch-put-back", "good058", own_torch("2.9.1"), "cuda-major-mismatch", ""),
    Variant("v22-upgraded-over", "good058", install("sglang==0.5.10.post1"), "kernel-double-install", "sgl"),
    # --- SGLang 0.5.23 (torch 2.14.1, CUDA 13.0)
    Variant("n01-old-kernel-name", "good0523", only("sgl-kernel==0.3.21"), "kernel-double-install", "sgl"),
    Variant("n02-no-cudnn", "good0523", without("nvidia-cudnn-cu13"), "missing-libcudnn", "libcudnn"),
    Variant(
        "n03-stale-cubin",
        "good0523",
        only("flashinfer-cubin==0.6.13"),
        "flashinfer-version-mismatch",
        "flashinfer",
        "warning",
    ),
    Variant("n04-torch-2.15", "good0523", only("torch==2.15.0"), "torch-changed", "torch"),
    Variant("n07-old-kernel", "good0523", only("sglang-kernel==0.4.3"), "kernel-version-mismatch", "sglang-kernel"),
    Variant("n08-torch-2.9.1", "good0523", install("torch==2.9.1"), "torch-changed", "torch"),
    Variant("n09-nccl-cu12-on-top", "good0523", only("nvidia-nccl-cu12==2.27.5"), "cuda-major-mismatch", "nccl"),
    # --- thought of here
    Variant("i01-torchvision-moved", "good058", only("torchvision==0.25.0"), "torch-changed", "torchvision"),
    Variant("i02-torchaudio-moved", "good058", only("torchaudio==2.11.0"), "torch-changed", "torchaudio"),
    Variant("i03-no-triton", "good058", without("triton"), "torch-changed", "triton"),
    Variant("i04-triton-moved", "good058", only("triton==3.4.0"), "torch-changed", "triton"),
    Variant("i05-no-cublas", "good058", without("nvidia-cublas-cu12"), "missing-shared-library", "libcublas"),
    Variant("i06-no-torchvision", "good058", without("torchvision"), "torch-changed", "torchvision"),
    Variant("i07-no-torch", "good058", without("torch"), "torch-changed", "torch"),
    Variant("i08-no-kernel", "good058", without("sgl-kernel"), "kernel-version-mismatch", "sgl-kernel"),
    Variant("i09-no-flashinfer", "good058", without("flashinfer-python"), "flashinfer-version-mismatch", "flashinfer"),
    Variant(
        "i10-no-cubin",
        "good058",
        without("flashinfer-cubin"),
        "flashinfer-version-mismatch",
        "flashinfer-cubin",
        "warning",
    ),
    Variant("i11-numpy-1", "good058", only("numpy==1.26.4")),
    Variant("i12-xgrammar-moved", "good058", only("xgrammar==0.1.32"), "python-module-conflict", "xgrammar", "warning"),
    Variant("i13-outlines-moved", "good058", only("outlines==1.2.0"), "python-module-conflict", "outlines", "warning"),
    Variant("i14-grpcio-moved", "good058", only("grpcio==1.60.0"), "python-module-conflict", "grpcio", "warning"),
    Variant("i15-protobuf-old", "good058", only("protobuf==4.25.8"), "python-module-conflict", "protobuf"),
    Variant("i16-hub-moved", "good058", only("huggingface_hub==1.2.0"), "python-module-conflict", "huggingface-hub"),
    Variant("i17-tokenizers-moved", "good058", only("tokenizers==0.21.4"), "python-module-conflict", "tokenizers"),
    Variant("i18-no-pyzmq", "good058", without("pyzmq"), "python-module-missing", "pyzmq"),
    Variant("i19-no-safetensors", "good058", without("safetensors"), "python-module-missing", "safetensors"),
    Variant("i20-no-tokenizers", "good058", without("tokenizers"), "python-module-missing", "tokenizers"),
    Variant(
        "i21-tvm-ffi-moved",
        "good058",
        only("apache-tvm-ffi==0.1.3"),
        "python-module-conflict",
        "apache-tvm-ffi",
        "warning",
    ),
    Variant("i22-no-tvm-ffi", "good058", without("apache-tvm-ffi"), "python-module-missing", "apache-tvm-ffi"),
    Variant("i23-pydantic-1", "good058", only("pydantic==1.10.24"), "python-module-conflict", "pydantic"),
    Variant(
        "i24-cublas-off-pin", "good058", only("nvidia-cublas-cu12==12.9.1.4"), "torch-changed", "cublas", "warning"
    ),
    Variant("i25-nccl-older", "good058", only("nvidia-nccl-cu12==2.21.5"), "nccl-version", "nccl"),
    Variant(
        "i26-nvshmem-older", "good0523", only("nvidia-nvshmem-cu13==3.3.24"), "torch-changed", "nvshmem", "warning"
    ),
    Variant("i27-cu12-torch-in-0516", "good0516", install("torch==2.9.1"), "torch-changed", "torch"),
    Variant(
        "i29-kernel-of-0.5.23", "good0516", only("sglang-kernel==0.4.10"), "kernel-version-mismatch", "sglang-kernel"
    ),
    Variant("i28-cu12-left-over", "good0516", cu12_left_over, "cuda-major-mismatch", "nvidia-cuda-nvrtc-cu12"),
    Variant("i30-no-cuda-bindings", "good058", without("cuda-bindings"), "torch-changed", "cuda-bindings", "warning"),
)
