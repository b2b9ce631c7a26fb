"""Which distribution or system package a shared library comes from, from ``data/libraries.json``."""

from __future__ import annotations

from sgldoctor.knowledge.releases import load
from sgldoctor.typed import Any


def stem(soname: str) -> str:
    """``libcudnn`` of ``libcudnn.so.9``."""
    return soname.partition(".so")[0]


def family(soname: str) -> str:
    """The distribution, without its CUDA suffix, that ships a library: ``nvidia-cudnn``; ``""`` if none is known.

    A library that is not listed belongs to the family of which its name is an extension (``libcudnn_ops.so.9``).
    """
    families: dict[str, str] = load("libraries.json")["families"]
    name = stem(soname)
    while name:
        if name in families:
            return families[name]
        name = name.rpartition("_")[0]
    return ""


def of_driver(soname: str) -> bool:
    """Whether a library comes with the NVIDIA driver, never with a wheel."""
    return stem(soname) in load("libraries.json")["driver"]


def system_package(soname: str) -> dict[str, str]:
    """Package names by family of distributions (``debian``, ``fedora``) of a system library; empty if not known."""
    found: Any = load("libraries.json")["system"].get(soname, {})
    return dict(found)


def flashinfer_warns_since() -> str:
    """The first flashinfer-python that only warns of a cubin or jit-cache wheel of another version."""
    return str(load("libraries.json")["flashinfer"]["mismatch_only_warns_since"])
