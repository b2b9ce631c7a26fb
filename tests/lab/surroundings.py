"""Variables, folders and layouts around the packages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from tests.lab.env import Copy, Variant


def _other_release(folder: str, *requirements: str) -> Callable[[Copy], None]:
    """Unpack wheels into a folder beside the copy's own site-packages, as ``pip install --target`` does."""

    def do(copy: Copy) -> None:
        copy.pip("install", "--prerelease=allow", "--no-deps", "--target", str(copy.folder / folder), *requirements)

    return do


def _path_file(copy: Copy) -> None:
    _other_release("old", "numpy==1.26.4")(copy)
    (copy.site / "extra.pth").write_text(f"{copy.folder}/old\n")


def _dead_path_file(copy: Copy) -> None:
    (copy.site / "gone.pth").write_text("/mnt/that/is/gone\n")


def _conda(copy: Copy) -> None:
    """The layout of a conda environment: no pyvenv.cfg, conda-meta, the interpreter inside."""
    (copy.folder / "pyvenv.cfg").unlink()
    (copy.folder / "conda-meta").mkdir()
    (copy.folder / "conda-meta/python-3.11.7-h955ad1f_0.json").write_text('{"name": "python", "version": "3.11.7"}')


def _read_only(copy: Copy) -> None:
    copy.site.chmod(0o555)


def _vcs_version(copy: Copy) -> None:
    """A build from the repository: setuptools-scm counts commits since the release."""
    info = copy.file("sglang-*.dist-info")
    text = (info / "METADATA").read_bytes()
    old = info.name.split("-")[1].removesuffix(".dist-info")
    new = f"{old}.post1.dev42+g1a2b3c4d5"
    moved = info.with_name(f"sglang-{new}.dist-info")
    info.rename(moved)
    copy.write(f"{moved.name}/METADATA", text.replace(f"Version: {old}".encode(), f"Version: {new}".encode(), 1))


def _editable(copy: Copy) -> None:
    """An editable install of the sources: the package lies elsewhere and a .pth file leads to it."""
    source = copy.folder / "src/sglang/python"
    source.mkdir(parents=True)
    (copy.site / "sglang").rename(source / "sglang")
    info = copy.file("sglang-*.dist-info")
    (copy.site / "__editable__.sglang.pth").write_text(f"{source}\n")
    copy.write(f"{info.name}/RECORD", b"__editable__.sglang.pth,,\n" + f"{info.name}/METADATA,,\n".encode())
    copy.write(
        f"{info.name}/direct_url.json", f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}'.encode()
    )


def _source_only(copy: Copy) -> None:
    """Sources on PYTHONPATH and no metadata at all."""
    _editable(copy)
    shutil.rmtree(copy.file("sglang-*.dist-info"))
    (copy.site / "__editable__.sglang.pth").unlink()


def _copied_to_other_minor(copy: Copy) -> None:
    """Packages of Python 3.11 carried over to a 3.12, as an image does whose base was upgraded."""
    lib = copy.folder / "lib"
    (lib / "python3.11").rename(lib / "python3.12")
    copy_config = copy.folder / "pyvenv.cfg"
    text = copy_config.read_text().replace("3.11.7", "3.12.1")
    copy_config.unlink()
    copy_config.write_text(text)


def _stub_driver(copy: Copy) -> None:
    folder = copy.folder / "cuda/lib64/stubs"
    folder.mkdir(parents=True)
    shutil.copy("/lib/x86_64-linux-gnu/libm.so.6", folder / "libcuda.so.1")


def _shadow_module(copy: Copy) -> None:
    folder = copy.folder / "notes/transformers"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")


def _arm_kernel(copy: Copy) -> None:
    for name in ("sm90", "sm100"):
        copy.edit(f"sgl_kernel/{name}/common_ops.abi3.so", lambda data: data[:18] + b"\xb7\x00" + data[20:])


def _links(copy: Copy) -> None:
    """NVIDIA's wheels moved to another disk, with links in their place."""
    store = copy.folder / "store"
    (copy.site / "nvidia").rename(store)
    os.symlink(store, copy.site / "nvidia")


CUDNN = "nvidia-cudnn-cu12==9.16.0.29"

SURROUNDINGS: tuple[Variant, ...] = (
    Variant(
        "s01-cudnn-on-library-path",
        "good058",
        _other_release("other", CUDNN),
        "cudnn-version",
        "cuDNN",
        "error",
        {"LD_LIBRARY_PATH": "{}/other/nvidia/cudnn/lib"},
    ),
    Variant(
        "s02-preload-gone",
        "good058",
        lambda copy: None,
        "missing-shared-library",
        "libgone",
        "warning",
        {"LD_PRELOAD": "/opt/lib/libgone.so"},
    ),
    Variant("s03-older-numpy-by-pth", "good058", _path_file),
    Variant("s04-dead-pth", "good058", _dead_path_file),
    Variant(
        "s05-torch-on-pythonpath",
        "good058",
        _other_release("old", "torch==2.9.1"),
        "",
        "",
        "",
        {"PYTHONPATH": "{}/old"},
    ),
    Variant(
        "s06-transformers-on-pythonpath",
        "good058",
        _other_release("old", "transformers==4.40.0"),
        "python-module-conflict",
        "transformers",
        "warning",
        {"PYTHONPATH": "{}/old"},
    ),
    Variant("s07-conda", "good058", _conda),
    Variant("s08-read-only", "good058", _read_only),
    Variant("s09-vcs-version", "good058", _vcs_version),
    Variant("s10-editable", "good058", _editable),
    Variant("s11-source-on-pythonpath", "good058", _source_only, "", "", "", {"PYTHONPATH": "{}/src/sglang/python"}),
    Variant("s12-other-python-minor", "good058", _copied_to_other_minor, "python-module-conflict", "3.12"),
    Variant(
        "s13-stub-driver",
        "good058",
        _stub_driver,
        "cuda-unavailable",
        "libcuda",
        "error",
        {"LD_LIBRARY_PATH": "{}/cuda/lib64/stubs"},
    ),
    Variant(
        "s14-folder-shadows-module",
        "good058",
        _shadow_module,
        "python-module-conflict",
        "transformers",
        "error",
        {"PYTHONPATH": "{}/notes"},
    ),
    Variant("s15-kernel-of-aarch64", "good058", _arm_kernel, "missing-shared-library", "common_ops"),
    Variant("s16-wheels-behind-links", "good058", _links),
    Variant(
        "s17-library-path-of-good",
        "good058",
        lambda copy: None,
        "",
        "",
        "",
        {"LD_LIBRARY_PATH": "{}/lib/python3.11/site-packages/nvidia/cudnn/lib:/usr/lib/x86_64-linux-gnu"},
    ),
)
