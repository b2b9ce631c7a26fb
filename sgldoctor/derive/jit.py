"""Compiled kernels in a cache that are for other GPUs than those here. Pure."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row


def derive(facts: Facts) -> Facts:
    """``jit.other_gpu``, where the GPUs are known and the caches say for which theirs were compiled."""
    found = Facts()
    capabilities = sorted({str(gpu["capability"]) for gpu in facts.rows("gpus") if gpu.get("capability")})
    if capabilities:
        rows: list[Row] = []
        for row in facts.rows("jit.built"):
            lacking = [one for one in capabilities if not runs(row["machines"], row["virtual"], one)]
            if lacking:
                said = ", ".join(f"sm_{one}" for one in row["machines"]) or ", ".join(row["virtual"])
                text = f"{row['file']} was compiled for {said}, and compute capability {lacking[0]} cannot run it"
                rows.append(
                    {"file": row["file"], "cache": row["cache"], "built": said, "here": lacking[0], "text": text}
                )
        found.put("jit.other_gpu", rows, "derived")
    return found


def runs(machines: list[str], virtual: list[str], capability: str) -> bool:
    """Whether a GPU takes one of these builds (CUDA Programming Guide, compute capability and compatibility).

    A build runs on GPUs of its major and at least its minor; one with ``a`` on its very own, one with ``f`` on its
    family. The portable form is translated for any later GPU.
    """
    major, minor = _split(capability)
    for machine in machines:
        built = _number(machine)
        if built == (major, minor) or (built[0] == major and built[1] <= minor and not machine.endswith("a")):
            return True
    portable = [_number(one) for one in virtual if one[-1].isdigit()]
    return any(one <= (major, minor) for one in portable) or (major, minor) in [_number(one) for one in virtual]


def _split(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major or 0), int(minor or 0)


def _number(machine: str) -> tuple[int, int]:
    digits = machine.rstrip("af")
    return int(digits[:-1]), int(digits[-1])
