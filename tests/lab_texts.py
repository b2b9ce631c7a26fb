"""Parts of torch that decide what is loaded first, abridged to the lines that matter."""

from __future__ import annotations

INIT = """
def _preload_cuda_deps(lib_folder, lib_name, required=True): ...
def _load_global_deps():
    try:
        ctypes.CDLL(global_deps_lib_path, mode=ctypes.RTLD_GLOBAL)
        try:
            if "libcudart.so" not in _maps:
                return
            _preload_cuda_deps("cuda_nvrtc", "libnvrtc.so.*[0-9]")
            _preload_cuda_deps("nvjitlink", "libnvJitLink.so.*[0-9]")
        except Exception:
            pass
    except OSError as err:
        cuda_libs: dict[str, str] = {
            "cublas": "libcublas.so.*[0-9]",
            "cudnn": "libcudnn.so.*[0-9]",
            "cuda_nvrtc": "libnvrtc.so.*[0-9]",
            "cuda_runtime": "libcudart.so.*[0-9]",
            "cusparselt": "libcusparseLt.so.*[0-9]",
            "nccl": "libnccl.so.*[0-9]",
            "nvshmem": "libnvshmem_host.so.*[0-9]",
        }
class SymInt: ...
"""
"""The part of ``torch/__init__.py`` that decides what is loaded first (torch 2.9.1, abridged to these lines)."""

INIT_13 = """
def _preload_cuda_lib(lib_folder, lib_name, required=True): ...
def _preload_cuda_deps(err=None, required=True):
    cuda_libs: list[tuple[str, str]] = [
        ("cublas", "libcublas.so.*[0-9]"),
        ("cudnn", "libcudnn.so.*[0-9]"),
        ("cuda_nvrtc", "libnvrtc.so.*[0-9]"),
        ("cuda_runtime", "libcudart.so.*[0-9]"),
        ("nvjitlink", "libnvJitLink.so.*[0-9]"),
        ("cusparselt", "libcusparseLt.so.*[0-9]"),
        ("nccl", "libnccl.so.*[0-9]"),
        ("nvshmem", "libnvshmem_host.so.*[0-9]"),
    ]
    for lib_folder, lib_name in cuda_libs:
        _preload_cuda_lib(lib_folder, lib_name, required=required)
def _load_global_deps():
    try:
        ctypes.CDLL(global_deps_lib_path, mode=ctypes.RTLD_GLOBAL)
        try:
            if "libcudart.so" not in _maps:
                return
            _preload_cuda_deps(required=False)
        except Exception:
            pass
    except OSError as err:
        _preload_cuda_deps(err)
        ctypes.CDLL(global_deps_lib_path, mode=ctypes.RTLD_GLOBAL)
class SymInt: ...
"""
"""The same part of torch 2.14.1, which loads every wheel that is there."""
