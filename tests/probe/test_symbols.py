"""Which library a symbol is expected of, and what it is called in C++."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from sgldoctor.probe.symbols import demangle, kind_of


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


NAMES = [
    "_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib",
    "_ZNK3c106SymInt22maybe_as_int_slow_pathEv",
    "_ZN2at10TensorBase4sizeEl",
    "_ZN5torch8autograd4Node4nameEv",
]


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="no c++filt")
@pytest.mark.parametrize("symbol", NAMES)
def test_names_as_the_binutils_give_them(symbol: str) -> None:
    full = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True).stdout.strip()
    assert demangle(symbol) == full.partition("(")[0]


@pytest.mark.parametrize("symbol", ["", "cudnnCreate", "_Z3foov", "_ZN99999c10E", "_ZN3c1", "_ZN", "_ZNSt6vectorE"])
def test_what_has_no_plain_name_has_none(symbol: str) -> None:
    assert demangle(symbol) == ""
