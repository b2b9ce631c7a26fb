"""Installations that were cut off, and environments that lost what they stand on: a third round of the unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from tests.lab.env import Copy, Variant
from tests.lab.moved import only

Do = Callable[[Copy], None]
GONE, CONFLICT = "python-module-missing", "python-module-conflict"


def deleted(*patterns: str) -> Do:
    return lambda copy: copy.delete(*patterns)


def emptied(pattern: str) -> Do:
    return lambda copy: copy.write(pattern, b"")


def halved(pattern: str) -> Do:
    return lambda copy: copy.edit(pattern, lambda data: data[: len(data) // 2])


def latter_half(folder: str) -> Do:
    """What an unpacking that was killed has not come to, in the order of names."""

    def do(copy: Copy) -> None:
        names = sorted(os.listdir(copy.site / folder))
        copy.delete(*(f"{folder}/{name}" for name in names[len(names) // 2 :]))

    return do


def of_musl(copy: Copy) -> None:
    """orjson as its wheel for Alpine has it: the same module under a name that this Python does not look for."""
    file = copy.file("orjson/orjson.cpython-311-*.so")
    file.rename(file.with_name("orjson.cpython-311-x86_64-linux-musl.so"))
    info = copy.file("orjson-*.dist-info")
    copy.edit(f"{info.name}/RECORD", lambda data: data.replace(b"-linux-gnu.so", b"-linux-musl.so"))
    copy.write(f"{info.name}/WHEEL", b"Wheel-Version: 1.0\nTag: cp311-cp311-musllinux_1_2_x86_64\n")


def no_permission(copy: Copy) -> None:
    copy.edit("triton/backends/nvidia/bin/ptxas", lambda data: data)
    copy.file("triton/backends/nvidia/bin/ptxas").chmod(0o644)


def newer_python(copy: Copy) -> None:
    """The system's Python was upgraded under the environment: its links lead to another minor release."""
    base = copy.folder / "base/bin/python3.12"
    base.parent.mkdir(parents=True)
    shutil.copy("/bin/true", base)
    for link in (copy.folder / "bin").glob("python*"):
        link.unlink()
    os.symlink(base, copy.folder / "bin/python")


def no_settings(copy: Copy) -> None:
    (copy.folder / "pyvenv.cfg").unlink()


def sources(gone: bool, finder: bool) -> Do:
    """An editable install by path or by finder, of sources that are there or were moved away."""

    def do(copy: Copy) -> None:
        place = copy.folder / "src/python"
        place.mkdir(parents=True)
        (copy.site / "sglang").rename(place / "sglang")
        info = copy.file("sglang-*.dist-info")
        where = "/workspace/sglang/python" if gone else str(place)
        line = "import __editable___sglang_finder; __editable___sglang_finder.install()" if finder else where
        copy.write("__editable__.sglang.pth", f"{line}\n".encode())
        if finder:
            copy.write("__editable___sglang_finder.py", f"MAPPING = {{'sglang': '{where}/sglang'}}\n".encode())
        copy.write(f"{info.name}/RECORD", f"__editable__.sglang.pth,,\n{info.name}/METADATA,,\n".encode())
        said = f'{{"url": "file://{where}", "dir_info": {{"editable": true}}}}'
        copy.write(f"{info.name}/direct_url.json", said.encode())

    return do


def foreign_library(copy: Copy) -> None:
    """A library for another machine on the path, before the right one: the loader passes it over."""
    (copy.folder / "other").mkdir()
    data = (copy.site / "nvidia/nccl/lib/libnccl.so.2").read_bytes()[:4096]
    (copy.folder / "other/libnuma.so.1").write_bytes(data[:18] + b"\xb7\x00" + data[20:])


CUT_OFF: tuple[Variant, ...] = (
    Variant("w01-transformers-half", "good058", latter_half("transformers/models"), GONE, "transformers"),
    Variant("w02-torch-module-empty", "good058", emptied("torch/functional.py"), GONE, "torch"),
    Variant("w03-fastapi-module-empty", "good0523", emptied("fastapi/applications.py"), GONE, "fastapi"),
    Variant("w04-hub-module-cut", "good058", halved("huggingface_hub/hf_api.py"), GONE, "huggingface-hub"),
    Variant("w05-sources-of-flashinfer-gone", "good058", deleted("flashinfer/data"), GONE, "flashinfer"),
    Variant("w06-assembler-gone", "good058", deleted("triton/backends/nvidia/bin/ptxas"), GONE, "triton"),
    Variant("w07-assembler-without-permission", "good058", no_permission, "compiler-missing", "triton"),
    Variant("w08-wheel-of-musl", "good058", of_musl, CONFLICT, "orjson"),
    Variant("w09-newer-python", "good058", newer_python, CONFLICT, "3.12"),
    Variant("w10-no-pyvenv-cfg", "good0523", no_settings, CONFLICT, "Python"),
    Variant("w11-editable-sources-gone", "good058", sources(gone=True, finder=False), GONE, "sglang"),
    Variant("w12-editable-finder-gone", "good0523", sources(gone=True, finder=True), GONE, "sglang"),
    Variant("w13-editable-finder", "good0523", sources(gone=False, finder=True)),
    Variant("w14-foreign-library-first", "good058", foreign_library, environ={"LD_LIBRARY_PATH": "{}/other"}),
    Variant("w15-tokenizers-much-older", "good0523", only("tokenizers==0.15.2"), CONFLICT, "tokenizers"),
    Variant("w16-torchcodec-newer", "good058", only("torchcodec==0.11.0"), CONFLICT, "torchcodec", "warning"),
)
