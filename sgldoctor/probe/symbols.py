"""Undefined symbols of the kernels and of torch itself against what the loaded libraries export."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.demangle import demangle, qualified
from sgldoctor.probe.elf import BadElf, Elf, gnu_hash
from sgldoctor.probe.loader import Node

KINDS: tuple[tuple[str, re.Pattern[bytes], str], ...] = (
    # kind, symbols of that kind, stem of the library that exports them
    ("torch", lazy(rb"(?:N|NK|^_Z\w{0,3}|I|S)(?:3c10|2at|5torch|6caffe2)"), "libtorch"),
    ("nccl", lazy(rb"p?nccl[A-Z]\w*$"), "libnccl"),
    ("nvshmem", lazy(rb"nvshmem\w*$"), "libnvshmem_host"),
    ("cudnn", lazy(rb"cudnn[A-Z]\w*$"), "libcudnn"),
    ("other", lazy(rb"cuFile\w*$"), "libcufile"),
    ("driver", lazy(rb"cu[A-Z]\w*$"), "libcuda"),
    ("other", lazy(rb"cublasLt\w*$"), "libcublasLt"),
    ("other", lazy(rb"cublas\w*$"), "libcublas"),
    ("other", lazy(rb"cusparseLt\w*$"), "libcusparseLt"),
    ("other", lazy(rb"cusparse\w*$"), "libcusparse"),
    ("other", lazy(rb"cusolver\w*$"), "libcusolver"),
    ("other", lazy(rb"cufft\w*$"), "libcufft"),
    ("other", lazy(rb"curand\w*$"), "libcurand"),
    ("other", lazy(rb"(?:__)?nvJitLink\w*$"), "libnvJitLink"),
    ("other", lazy(rb"nvrtc[A-Z]\w*$"), "libnvrtc"),
    ("other", lazy(rb"cupti[A-Z]\w*$"), "libcupti"),
    ("system", lazy(rb"numa_\w+$"), "libnuma"),
    ("system", lazy(rb"ibv_\w+$"), "libibverbs"),
    ("other", lazy(rb"cuda[A-Z]\w*$|__cuda[A-Z]\w*$"), "libcudart"),
)

CHECKED = lazy(
    rb"(?:_Z|N|S|I).{0,4000}?(?:3c10|2at|5torch|6caffe2)"
    rb"|p?nccl[A-Z]|nvshmem|cu(?:[A-Z]|dnn|blas|sparse|solver|fft|rand|pti|da[A-Z])|__cuda|(?:__)?nvJitLink|nvrtc|numa_|ibv_"
)
"""A quick first look: most of the ten thousand symbols of a process are of no kind above."""

BEGINNING = 9
"""Bytes of a name, such as ``_ZN2at4_o``: the namespace, in most of them."""
NOBODY = Elf.__new__(Elf)
"""Stands for who exports a symbol that is of no kind that is checked."""


class Undefined:
    """Symbols of one kind that nothing in the scope of a file exports, in the order of its symbol table."""

    __slots__ = ("kind", "library", "names")

    def __init__(self, kind: str, library: str) -> None:
        self.kind, self.library = kind, library
        self.names: list[bytes] = []


def kind_of(name: bytes) -> tuple[str, str] | None:
    """``(kind, stem of the exporting library)`` of a symbol that is checked, None for any other."""
    if CHECKED.match(name) is None:
        return None
    for kind, pattern, library in KINDS:
        if pattern.search(name) if kind == "torch" else pattern.match(name):
            return kind, library
    return None


def undefined(elf: Elf, scope: Iterable[Node], kinds: frozenset[str], known: dict[bytes, Elf]) -> list[Undefined]:
    """What ``elf`` needs and no library of ``scope`` exports, for symbols of these kinds; weak ones need nobody.

    ``known`` keeps who exports what, from one file of a process to the next: they need much the same.
    """
    nodes = list(dict.fromkeys(node.elf for node in scope if node.elf is not elf))
    nodes.sort(key=lambda other: not ("libc10" in other.path or "libtorch" in other.path))
    there = {NOBODY, *nodes}
    found: dict[tuple[str, str], Undefined] = {}
    last: dict[bytes, Elf] = {}  # who exported the last name that began alike most likely exports this one, too
    try:
        for number, (name, weak) in enumerate(elf.undefined(mangled="torch" in kinds)):
            if not number & 255:
                rooted.count()  # every look-up may wait for the disk
            if weak or known.get(name) in there:
                continue
            kind = kind_of(name)
            if kind is None:
                known[name] = NOBODY
            elif kind[0] in kinds:
                exporter = _exporter(name, nodes, last)
                if exporter is not None:
                    known[name] = exporter
                    continue
                found.setdefault(kind, Undefined(*kind)).names.append(name)
    except BadElf:
        return []
    return list(found.values())


def _exporter(name: bytes, nodes: list[Elf], last: dict[bytes, Elf]) -> Elf | None:
    hashed = gnu_hash(name)
    begin = name[:BEGINNING]
    likely = last.get(begin)
    for elf in nodes if likely is None else (likely, *nodes):
        try:
            if elf.exports(name, hashed):
                last[begin] = elf
                return elf
        except BadElf:
            continue
    return None


def other_form(symbol: bytes, library: Elf) -> str:
    """What ``library`` exports under the same qualified name with other arguments, as C++; ``""`` if it has none.

    A mangled name begins with its qualified name, so another form of a function shares all up to there.
    """
    name = qualified(symbol.decode("ascii", "replace"))
    stem = symbol[: symbol.rfind(name.rpartition("::")[2].encode()) + len(name.rpartition("::")[2])] if name else b""
    if len(stem) < len("_ZN") + 8:
        return ""
    try:
        for found in library.defined(stem):
            if found != symbol and qualified(found.decode("ascii", "replace")) == name:
                return demangle(found.decode("ascii", "replace"))
    except BadElf:
        return ""
    return ""
