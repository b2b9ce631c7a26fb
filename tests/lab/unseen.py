"""Thought of without a look at the rules, the answer written down first: what was missed is mended, all is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.env import Copy, Variant
from tests.lab.moved import only, steps, without
from tests.lab_env import distribution

Do = Callable[[Copy], None]


def deleted(*patterns: str) -> Do:
    return lambda copy: copy.delete(*patterns)


def replaced(pattern: str, content: bytes = b"") -> Do:
    return lambda copy: copy.write(pattern, content)


def beside(folder: str, *requirements: str) -> Do:
    """``pip install --target`` of other releases into a folder of the copy."""
    return lambda copy: copy.pip("install", "--no-deps", "--target", str(copy.folder / folder), *requirements)


def relabelled(name: str, version: str, torch: str = "") -> Do:
    """The wheel of another index: the same distribution under another version, and what torch says of itself."""

    def do(copy: Copy) -> None:
        info = copy.file(f"{name}-[0-9]*.dist-info")
        old = info.name.removesuffix(".dist-info").rpartition("-")[2]
        moved = info.with_name(f"{name}-{version}.dist-info")
        info.rename(moved)
        text = (moved / "METADATA").read_text()
        copy.write(f"{moved.name}/METADATA", text.replace(f"\nVersion: {old}", f"\nVersion: {version}", 1).encode())
        if name == "torch":
            cuda = f"'{torch}'" if torch else "None"
            said = re.sub(
                r"__version__ = '[^']*'", f"__version__ = '{version}'", copy.file("torch/version.py").read_text()
            )
            said = re.sub(r"cuda: Optional\[str\] = '[^']*'", f"cuda: Optional[str] = {cuda}", said)
            copy.write("torch/version.py", said.encode())

    return do


def native(path: Path, symbols: Iterable[str], libraries: Iterable[str]) -> None:
    """A real shared object that needs just these libraries and wants just these symbols."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".stubs")
    scratch.mkdir()
    needed = []
    for library in libraries:
        command = [
            "gcc",
            "-shared",
            "-nostdlib",
            "-x",
            "c",
            "-",
            "-o",
            str(scratch / library),
            f"-Wl,-soname,{library}",
        ]
        subprocess.run(command, input="", text=True, check=True)
        needed.append(str(scratch / library))
    wanted = list(symbols)
    code = "".join(f'extern void s{i}(void) __asm__("{name}");\n' for i, name in enumerate(wanted))
    code += f"void PyInit_it(void) {{ {' '.join(f's{i}();' for i in range(len(wanted)))} }}\n"
    command = ["gcc", "-shared", "-nostdlib", "-fPIC", "-x", "c", "-", "-x", "none", "-o", str(path)]
    command += ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *needed]
    subprocess.run(command, input=code, text=True, check=True)
    shutil.rmtree(scratch)


def flash_attn(symbol: str) -> Do:
    """flash-attn as it is built on a machine with some torch: one function of it stands for all."""

    def do(copy: Copy) -> None:
        file = "flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so"
        native(copy.site / file, [symbol], ["libc10.so", "libc10_cuda.so", "libtorch_cpu.so"])
        distribution(copy.site, "flash_attn", "2.8.3", ["torch", "einops"], [file])

    return do


def jit_cache(version: str, cuda: str) -> Do:
    """flashinfer-jit-cache comes from an index of its own, one for each CUDA release."""

    def do(copy: Copy) -> None:
        file = "flashinfer_jit_cache/jit_cache/norm/norm.so"
        native(copy.site / file, [], [f"libcudart.so.{cuda}"])
        copy.write("flashinfer_jit_cache/__init__.py", b"")
        distribution(copy.site, "flashinfer_jit_cache", version, [], [file])

    return do


def own_deep_ep(copy: Copy) -> None:
    """DeepEP built by hand against another torch, over the one of the wheel."""
    file = copy.file("deep_ep*/**/*.so") if list(copy.site.glob("deep_ep*/**/*.so")) else copy.site / "deep_ep_cpp.so"
    native(file, ["_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib"], ["libc10.so", "libc10_cuda.so"])


def base_gone(copy: Copy) -> None:
    (copy.folder / "bin/python").unlink()
    os.symlink("/opt/gone/bin/python3.11", copy.folder / "bin/python")


def moved_torch(copy: Copy) -> None:
    (copy.site / "torch").rename(copy.folder / "store")
    os.symlink(copy.folder / "store", copy.site / "torch")


def glibc(copy: Copy) -> None:
    copy.edit("sgl_kernel/sm90/common_ops*.so", lambda data: data.replace(b"GLIBC_2.27\0", b"GLIBC_2.97\0"))


def conda_and_user_site(copy: Copy) -> None:
    """A conda environment, and packages that ``pip install --user`` once put into the home folder."""
    (copy.folder / "pyvenv.cfg").unlink()
    (copy.folder / "conda-meta").mkdir()
    (copy.folder / "conda-meta/python-3.11.7-h955ad1f_0.json").write_text('{"name": "python", "version": "3.11.7"}')
    beside("user/.local/lib/python3.11/site-packages", "transformers==4.40.0")(copy)


LIBRARY, CONFLICT, GONE = "missing-shared-library", "python-module-conflict", "python-module-missing"
CHECK = "_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_"

UNSEEN: tuple[Variant, ...] = (
    Variant("v06-torch-cpu", "good058", steps(
        relabelled("torch", "2.9.1+cpu"), deleted("torch/lib/libtorch_cuda.so", "torch/lib/libc10_cuda.so")
    ), "torch-cpu-build", "torch"),
    Variant("v21-no-libnuma", "good058", lambda copy: None, LIBRARY, "libnuma", lacks=("libnuma.so.1",)),
    Variant("u01-torch-of-cu126-in-cu13", "good0523", relabelled("torch", "2.14.1+cu126", "12.6"),
            "cuda-major-mismatch", "torch"),
    Variant("u02-jit-cache-of-cu12-in-cu13", "good0523", jit_cache("0.7.2+cu129", "12"), "cuda-major-mismatch",
            "flashinfer-jit-cache"),
    Variant("u03-jit-cache-that-fits", "good0523", jit_cache("0.7.2+cu130", "13")),
    Variant("u04-nightly-torch", "good058", relabelled("torch", "2.11.0.dev20260105+cu128", "12.8"), "torch-changed",
            "torch"),
    Variant("u05-transformers-from-git", "good058", relabelled("transformers", "5.0.0.dev0"), CONFLICT, "transformers",
            "warning"),
    Variant("u06-glibc", "good058", glibc, "glibc-too-old", "GLIBC_2.97"),
    Variant("u07-nccl-on-library-path", "good058", beside("other", "nvidia-nccl-cu12==2.21.5"),
            environ={"LD_LIBRARY_PATH": "{}/other/nvidia/nccl/lib"}),
    Variant("u08-user-site-before-conda", "good058", conda_and_user_site, CONFLICT, "transformers", "warning",
            {"HOME": "{}/user"}),
    Variant("u09-empty-module-of-sglang", "good058", replaced("sglang/srt/server_args.py"), GONE, "sglang"),
    Variant("u10-folder-of-sglang-gone", "good058", deleted("sglang/srt/layers"), GONE, "sglang"),
    Variant("u11-triton-backends-gone", "good058", deleted("triton/backends"), LIBRARY, "triton"),
    Variant("u12-flash-attn-of-newer-torch", "good058", flash_attn(CHECK + "jb"), "abi-undefined-symbol", "flash-attn"),
    Variant("u13-flash-attn-of-old-abi", "good0523",
            flash_attn("_ZN3c106detail23torchInternalAssertFailEPKcS2_jS2_RKSs"), "abi-undefined-symbol", "flash-attn"),
    Variant("u14-flash-attn-that-fits", "good058", flash_attn(CHECK + "ib")),
    Variant("u15-cudnn-8", "good058", only("nvidia-cudnn-cu12==8.9.7.29"), "missing-libcudnn", "libcudnn.so.9"),
    Variant("u16-nccl-of-cu13", "good058", only("nvidia-nccl-cu13==2.28.9"), "cuda-major-mismatch", "nccl"),
    Variant("u17-pydantic-core-alone", "good058", only("pydantic_core==2.41.5"), CONFLICT, "pydantic-core"),
    Variant("u18-base-python-gone", "good058", base_gone, CONFLICT, "Python"),
    Variant("u19-cutlass-halves-differ", "good0523", only("nvidia_cutlass_dsl_libs_base==4.6.0"), CONFLICT,
            "nvidia-cutlass-dsl-libs-base", "warning"),
    Variant("u20-own-deep-ep", "good0523", own_deep_ep, "abi-undefined-symbol", "deep"),
    Variant("u21-nvidia-folder-gone", "good058", deleted("nvidia"), "missing-libcudnn", "libcudnn"),
    Variant("u22-numpy-zeroed", "good0523", replaced("numpy/_core/_multiarray_umath*.so"), LIBRARY, "multiarray"),
    Variant("u23-kernel-of-the-older-over", "good058", steps(
        beside("old", "sgl-kernel==0.3.19"),
        lambda copy: copy.write("sgl_kernel/sm90/common_ops.abi3.so",
                                (copy.folder / "old/sgl_kernel/sm90/common_ops.abi3.so").read_bytes()),
    ), LIBRARY, "sgl-kernel"),
    Variant("u24-no-deep-gemm", "good0523", without("sgl-deep-gemm"), GONE, "sgl-deep-gemm"),
    Variant("u25-torch-behind-a-link", "good0516", moved_torch),
    Variant("u26-image-pins", "good058", only("nvidia-cudnn-cu12==9.16.0.29", "nvidia-nccl-cu12==2.28.3")),
    Variant("u27-cubin-older", "good058", only("flashinfer-cubin==0.5.3"), "flashinfer-version-mismatch", "flashinfer"),
    Variant("u28-torchvision-older", "good0523", only("torchvision==0.24.1"), "torch-changed", "torchvision"),
)  # fmt: skip
