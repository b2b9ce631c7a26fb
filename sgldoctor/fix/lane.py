"""Builds of one release for several CUDA versions: which one belongs here, and which index has it.

A wheel of the default index has no label in its METADATA (``2.9.1``); those of PyTorch's and SGLang's own indexes have
one (``2.9.1+cu129``). What was installed from such an index is repaired from there, or it would change its CUDA.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sgldoctor.facts import Facts
from sgldoctor.lazy import lazy

TORCH = frozenset(("torch", "torchvision", "torchaudio"))
KERNEL = frozenset(("sgl-kernel", "sglang-kernel"))
PYTORCH_INDEX = "https://download.pytorch.org/whl/"
"""Followed by the label: https://pytorch.org/get-started/previous-versions/"""
SGLANG_INDEX = "https://docs.sglang.ai/whl/"
"""Followed by the label: the advice of ``sglang/srt`` itself where a kernel does not fit (sglang 0.5.10 and later)."""

_EXACT = lazy(r"([a-z0-9-]+)==([^,*+]+)(?:\+([a-z0-9.]+))?")


def localised(text: str, have: Mapping[str, str], facts: Facts) -> str:
    """A requirement with the label of the build that is installed, where one belongs to it.

    ``torch==X`` becomes ``torch==X+LANE`` where torch is of that lane; anything else stays as it is.
    """
    match = _EXACT.fullmatch(text)
    if match is None or match[3]:
        return text
    name, version = match[1], match[2]
    public, _, label = have.get(name, "").partition("+")
    if label and public == version:
        return f"{name}=={version}+{label}"
    if name not in TORCH | KERNEL:
        return text
    if not label and name in TORCH:
        label = have.get("torch", "").partition("+")[2]
    return f"{name}=={version}+{label}" if _fits(label, have, facts) else text


def _fits(label: str, have: Mapping[str, str], facts: Facts) -> bool:
    """Whether a label is that of this environment: the kernel has it, too, or SGLang's torch is of that CUDA major.

    A torch of a foreign lane (cpu, or cu130 over a CUDA 12 kernel) is the fault itself, not the lane to keep to.
    """
    cuda = re.fullmatch(r"cu(\d\d)\d", label)
    if cuda is None:
        return False
    if any(have.get(name, "").partition("+")[2] == label for name in KERNEL):
        return True
    from sgldoctor.derive.needs import table

    wanted = table(facts).torch_wanted
    return bool(wanted) and cuda[1] == major(f"torch=={wanted}", facts)


def major(text: str, facts: Facts) -> str:
    """The CUDA major of the torch that a requirement ``torch==X[+cuNNN]`` brings, ``""`` where that is not known.

    Without a label it is that of the default index, by the NVIDIA wheels that this build requires.
    """
    match = _EXACT.fullmatch(text)
    if match is None:
        return ""
    if match[3]:
        label = re.fullmatch(r"cu(\d\d)\d", match[3])
        return label[1] if label else ""
    from sgldoctor.derive.needs import at

    bare = Facts()  # of the default index, whatever is installed here
    bare.put("python", dict(facts.one("python")), "derived")
    needs = at("torch", match[2], bare)
    majors = {found[1] for need in needs if (found := re.search(r"-cu(\d+)$", need.name))}
    return majors.pop() if len(majors) == 1 else ""


def indexes(texts: Iterable[str]) -> tuple[str, ...]:
    """The indexes, besides the user's own, that have the labelled builds among the requirements."""
    found = []
    for text in texts:
        match = _EXACT.fullmatch(text)
        if match and match[3] and re.fullmatch(r"cu\d+|cpu|rocm[\d.]+", match[3]):
            if match[1] in TORCH:
                found.append(PYTORCH_INDEX + match[3])
            elif match[1] in KERNEL:
                found.append(SGLANG_INDEX + match[3])
    return tuple(dict.fromkeys(found))
