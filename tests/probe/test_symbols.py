"""Which library a symbol is expected of, and what it is called in C++."""

from __future__ import annotations

import pytest

from sgldoctor.probe.symbols import kind_of


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib", ("torch", "libtorch")),
        ("_ZNK3c106SymInt22maybe_as_int_slow_pathEv", ("torch", "libtorch")),
        ("_ZNK2at10TensorBase8data_ptrIfEEPT_v", ("torch", "libtorch")),
        ("_ZTIN5torch8autograd4NodeE", ("torch", "libtorch")),
        ("ncclCommInitRank", ("nccl", "libnccl")),
        ("pncclCommInitRank", ("nccl", "libnccl")),
        ("nvshmem_selected_device_transport", ("nvshmem", "libnvshmem_host")),
        ("cudnnCreate", ("cudnn", "libcudnn")),
        ("cublasLtMatmul", ("other", "libcublasLt")),
        ("cublasGemmEx", ("other", "libcublas")),
        ("cusparseLtInit", ("other", "libcusparseLt")),
        ("cusparseSpMM", ("other", "libcusparse")),
        ("cudaMalloc", ("other", "libcudart")),
        ("__cudaRegisterFatBinary", ("other", "libcudart")),
        ("cuGreenCtxCreate", ("driver", "libcuda")),
        ("cuTensorMapEncodeTiled", ("driver", "libcuda")),
        ("cuFileDriverOpen", ("other", "libcufile")),
        ("nvrtcCompileProgram", ("other", "libnvrtc")),
    ],
)
def test_kinds(symbol: str, expected: tuple[str, str]) -> None:
    assert kind_of(symbol.encode()) == expected


@pytest.mark.parametrize(
    "symbol",
    ["malloc", "PyObject_Call", "_ZNSt6vectorIiSaIiEED1Ev", "_ZNSs4swapERSs", "cutensorCreate", "curl_easy_init"],
)
def test_symbols_that_are_nobodys_business(symbol: str) -> None:
    assert kind_of(symbol.encode()) is None
