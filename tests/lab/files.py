"""Files gone, cut, replaced or left over, which no package manager sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from tests.lab.env import Copy, Variant

CUDNN = "nvidia/cudnn/lib/libcudnn.so.9"
NCCL = "nvidia/nccl/lib/libnccl.so.2"


def _deleted(*patterns: str) -> Callable[[Copy], None]:
    return lambda copy: copy.delete(*patterns)


def _cut(pattern: str, size: int) -> Callable[[Copy], None]:
    """Cut a file: to ``size`` bytes, or by ``-size`` bytes."""
    return lambda copy: copy.edit(pattern, lambda data: data[:size])


def _replaced(pattern: str, content: bytes) -> Callable[[Copy], None]:
    return lambda copy: copy.write(pattern, content)


def _for_arm(copy: Copy) -> None:
    """The library as the wheel of aarch64 has it, as far as the loader looks: its ELF header names the machine."""
    copy.edit(NCCL, lambda data: data[:18] + b"\xb7\x00" + data[20:])


def _dangling(copy: Copy) -> None:
    copy.delete(CUDNN)
    os.symlink("/mnt/store/libcudnn.so.9", copy.site / CUDNN)


def _second_dist_info(copy: Copy) -> None:
    """What a killed upgrade leaves: the dist-info of the new release beside that of the old one."""
    old = copy.file("torch-2*.dist-info")
    new = old.with_name("torch-2.10.0.dist-info")
    shutil.copytree(old, new, copy_function=shutil.copy2)
    text = (new / "METADATA").read_text()
    (new / "METADATA").write_text(text.replace(f"\nVersion: {old.name.split('-')[1][:-5]}", "\nVersion: 2.10.0", 1))


def _interrupted(copy: Copy) -> None:
    """What a killed pip leaves: the package renamed with a tilde."""
    (copy.site / "transformers").rename(copy.site / "~ransformers")
    info = copy.file("transformers-*.dist-info")
    info.rename(info.with_name("~" + info.name[1:]))


def _unreadable_metadata(copy: Copy) -> None:
    copy.write("sglang-*.dist-info/METADATA", os.urandom(4096))


def _other_python(copy: Copy) -> None:
    copy.file("torch/_C.cpython*.so").rename(copy.site / "torch/_C.cpython-312-x86_64-linux-gnu.so")


FILES: tuple[Variant, ...] = (
    Variant("v13-libcudnn-deleted", "good058", _deleted(CUDNN), "missing-libcudnn", "libcudnn"),
    Variant("v14-libcudnn-cut", "good058", _cut(CUDNN, 50_000), "missing-libcudnn", "libcudnn"),
    Variant("v14b-libcudnn-empty", "good058", _replaced(CUDNN, b""), "missing-libcudnn", "libcudnn"),
    Variant(
        "v14c-libcudnn-html",
        "good058",
        _replaced(CUDNN, b"<!DOCTYPE html><title>403</title>" * 9),
        "missing-libcudnn",
        "libcudnn",
    ),
    Variant("v14d-libcudnn-end-cut", "good058", _cut(CUDNN, -1024), "missing-shared-library", "nvidia-cudnn"),
    Variant(
        "v14e-cudnn-part-cut",
        "good058",
        _cut("nvidia/cudnn/lib/libcudnn_ops.so.9", 1_000_000),
        "missing-libcudnn",
        "libcudnn_ops",
    ),
    Variant(
        "f01-lfs-pointer",
        "good058",
        _replaced(
            "sgl_kernel/sm90/common_ops.abi3.so", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        ),
        "missing-shared-library",
        "common_ops",
    ),
    Variant("f02-nccl-of-aarch64", "good058", _for_arm, "missing-shared-library", "libnccl"),
    Variant("f03-kernel-folder-gone", "good058", _deleted("sgl_kernel/sm90"), "missing-shared-library", "sgl-kernel"),
    Variant("f04-kernel-init-gone", "good058", _deleted("sgl_kernel/__init__.py"), "kernel-double-install", "sgl"),
    Variant("f05-kernel-module-gone", "good058", _deleted("sgl_kernel"), "missing-shared-library", "sgl-kernel"),
    Variant(
        "f06-torch-metadata-gone", "good058", _deleted("torch-2*.dist-info/METADATA"), "python-module-conflict", "torch"
    ),
    Variant(
        "f07-numpy-metadata-empty",
        "good058",
        _replaced("numpy-*.dist-info/METADATA", b""),
        "python-module-conflict",
        "numpy",
    ),
    Variant(
        "f08-torch-record-gone",
        "good058",
        _deleted("torch-2*.dist-info/RECORD"),
        "python-module-conflict",
        "torch",
        "warning",
    ),
    Variant("f09-torch-info-gone", "good058", _deleted("torch-2*.dist-info"), "torch-changed", "torch"),
    Variant("f10-sglang-metadata-garbage", "good058", _unreadable_metadata, "python-module-conflict", "sglang"),
    Variant(
        "f11-torch-cuda-gone", "good058", _deleted("torch/lib/libtorch_cuda.so"), "missing-shared-library", "torch"
    ),
    Variant("f12-c10-cut", "good058", _cut("torch/lib/libc10.so", 4096), "missing-shared-library", "libc10"),
    Variant(
        "f13-transformers-folder-gone", "good058", _deleted("transformers"), "python-module-missing", "transformers"
    ),
    Variant("f14-transformers-interrupted", "good058", _interrupted, "python-module-missing", "transformers"),
    Variant(
        "f15-numpy-core-gone",
        "good058",
        _deleted("numpy/_core/_multiarray_umath*.so"),
        "missing-shared-library",
        "numpy",
    ),
    Variant("f16-dangling-link", "good058", _dangling, "missing-libcudnn", "libcudnn"),
    Variant("f17-two-dist-infos", "good058", _second_dist_info, "python-module-conflict", "torch", "warning"),
    Variant(
        "f18-torch-c-of-other-python",
        "good058",
        _other_python,
        "missing-shared-library",
        "torch",
    ),
    Variant("f19-torch-folder-gone", "good058", _deleted("torch"), "missing-shared-library", "torch"),
    Variant("f20-sglang-folder-gone", "good058", _deleted("sglang"), "python-module-missing", "sglang"),
    Variant(
        "f21-wheel-metadata-gone-files-there",
        "good058",
        _deleted("nvidia_cudnn_cu12-*.dist-info"),
        "torch-changed",
        "nvidia-cudnn",
        "warning",
    ),
    Variant("f22-torch-init-empty", "good058", _replaced("torch/__init__.py", b""), "python-module-missing", "torch"),
    Variant(
        "f23-zeros",
        "good058",
        lambda copy: copy.edit("torch/lib/libtorch_cpu.so", lambda data: bytes(len(data))),
        "missing-shared-library",
        "libtorch_cpu",
    ),
    Variant(
        "f24-pyzmq-native-gone", "good058", _deleted("zmq/backend/cython/_zmq*.so"), "missing-shared-library", "pyzmq"
    ),
    Variant(
        "f25-torch-record-empty",
        "good058",
        _replaced("torch-2*.dist-info/RECORD", b""),
        "python-module-conflict",
        "torch",
        "warning",
    ),
)
