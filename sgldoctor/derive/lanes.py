"""Wheels of two CUDA majors in one environment. Pure."""

from __future__ import annotations

from sgldoctor.derive import needs
from sgldoctor.derive.needs import Table
from sgldoctor.derive.requirement import read as read_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.releases import normalise
from sgldoctor.lazy import lazy

LINKED = lazy(r"nvidia-(?:cudnn|nccl|cusparselt|nvshmem|cublas|cuda-runtime)-cu(\d\d)")
"""The wheels that torch links to and that say their CUDA major in their name."""
SUFFIXED = lazy(r"nvidia-(.+)-cu\d+")
LABEL = lazy(r"\+(?:[\w.]*\.)?cu(\d\d)\d")
LABELLED = lazy(
    r"torch|torchvision|torchaudio|flashinfer-jit-cache|sgl(?:ang)?-kernel|vllm|flash-attn|(?:sgl-)?deep-ep"
)


def mixed(known: Table, have: dict[str, Row], facts: Facts) -> list[Row]:
    """Wheels of one NVIDIA library for two CUDA majors: they write the same files, and the last one installed wins."""
    families: dict[str, list[str]] = {}
    for name in have:
        match = SUFFIXED.fullmatch(name)
        if match:
            families.setdefault(match[1], []).append(name)
    rows = []
    for family, names in sorted(families.items()):
        wanted = [name for name in names if name in known.pins]
        for unwanted in names if len(wanted) == 1 and len(names) > 1 else ():
            if unwanted != wanted[0]:
                both = " and ".join(f"{name} {have[name]['version']}" for name in (wanted[0], unwanted))
                text = f"{both} are both installed"
                pin = known.pins[wanted[0]].pin
                row = {"name": family, "wanted": wanted[0], "unwanted": unwanted, "pin": pin, "text": text}
                rows.append({**row, "asked_by": asked_by(unwanted, have, facts)})
    return rows


def asked_by(name: str, have: dict[str, Row], facts: Facts, but: frozenset[str] = frozenset()) -> str:
    """Who of the installed distributions requires one, ``""`` if nobody; "somebody" where their needs are not known.

    Args:
        name: of the one in question.
        have: what is installed.
        facts: for the markers of requirements.
        but: whose requirements do not count: what is about to go.
    """
    told = False
    for other, row in have.items():
        lines = row.get("requires")
        told = told or lines is not None
        for line in lines or () if other not in but else ():
            # A glance first: there are thousands of lines.
            if "nvidia" not in line and name[:6] == "nvidia":
                continue
            requirement = read_line(line)
            if requirement is not None and normalise(requirement.name) == name and needs.applies(line, facts):
                return other
    return "" if told else "somebody"


def other_cuda(have: dict[str, Row]) -> list[Row]:
    """Builds whose label names another CUDA major than the libraries that torch links to.

    Only the wheels of those libraries tell the major of an environment: others, such as nvidia-cutlass-dsl-libs-cu12,
    come for both majors at once. Where both majors are there, ``packages.mixed_cuda`` is about it.
    """
    majors = {match[1] for name in have if (match := LINKED.fullmatch(name))}
    rows: list[Row] = []
    for name, row in have.items() if len(majors) == 1 else ():
        label = LABEL.search(str(row["version"]))
        if label and LABELLED.fullmatch(name) and label[1] not in majors:
            (others,) = majors
            text = f"{name} {row['version']} is a build for cu{label[1]}, torch's libraries here are of cu{others}"
            rows.append({"name": name, "version": row["version"], "built": label[1], "others": others, "text": text})
    return rows
