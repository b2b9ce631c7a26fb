"""From GPUs, driver and torch to: is the driver new enough, are the GPUs supported, who holds their memory."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row

BUSY = 10.0
"""Percent of a GPU's memory in use from which on it counts as busy.

SGLang refuses to start when the least free GPU has less than 90 % of the others' free memory
(``srt/distributed/bootstrap.py:_check_tp_memory_balance``, 0.5.23).
"""


def derive(facts: Facts) -> Facts:
    """The facts ``driver.minimum``, ``gpu.busy``, ``gpus.unsupported`` and ``gpus.mixed``, as far as they follow."""
    found = Facts()
    _minimum(facts, found)
    if facts.known("gpus"):
        found.put("gpu.busy", _busy(facts), "derived")
        found.put("gpus.unsupported", _unsupported(facts), "derived")
        models = sorted({str(row.get("name", "")) for row in facts.rows("gpus") if row.get("name")})
        found.put("gpus.mixed", [{"models": models}] if len(models) > 1 else [], "derived")
    return found


def _minimum(facts: Facts, found: Facts) -> None:
    from sgldoctor.knowledge.drivers import minimum, newest_major, parts, shipped

    installed, cuda = str(facts.value("driver", "version") or ""), str(facts.value("torch", "cuda") or "")
    needed = minimum(cuda) if cuda else ""
    if not parts(installed) or not needed:
        return
    enough = parts(installed) >= parts(needed)
    full = shipped(cuda)
    newest = newest_major(installed)
    # A cuda-compat package puts a newer libcuda on an older driver (data-centre GPUs): what CUDA itself says counts.
    loaded = str(facts.value("cuda.init", "cuda") or "")
    works = facts.value("cuda.init", "code") == 0
    compat = not enough and works and _major(loaded) >= _major(cuda)
    if compat:
        note = f"driver {installed} is older than {needed}, but its libcuda answers for CUDA {loaded} (cuda-compat)"
    elif not enough:
        able = f"; it runs CUDA {newest}.x at most" if newest else ""
        note = f"torch is built with CUDA {cuda}, which needs driver {needed} or newer; installed is {installed}{able}"
    elif full and parts(installed) < parts(full):
        note = f"driver {installed} runs CUDA {cuda} by minor-version compatibility; all its features need {full}"
    else:
        note = f"driver {installed} is new enough for CUDA {cuda}"
    row: Row = {
        "installed": installed,
        "needed": needed,
        "cuda": cuda,
        "ok": enough or compat,
        "full": full,
        "supports": newest,
        "note": note,
    }
    found.put("driver.minimum", row, "derived")


def _major(release: str) -> int:
    head = release.partition(".")[0]
    return int(head) if head.isdecimal() else -1


def _busy(facts: Facts) -> list[Row]:
    rows: list[Row] = []
    for gpu in facts.rows("gpus"):
        percent = gpu.get("memory_used_percent")
        if not isinstance(percent, (int, float)) or percent < BUSY:
            continue
        holders = [
            f"{process.get('name') or 'a process of another container'} (pid {process.get('pid', '?')})"
            for process in facts.rows("gpu.processes")
            if process.get("index") == gpu.get("index")
        ]
        rows.append(
            {
                "index": gpu.get("index"),
                "free_mib": gpu.get("memory_free_mib"),
                "total_mib": gpu.get("memory_total_mib"),
                "percent": percent,
                "holders": ", ".join(holders) or "a process that is not visible from here",
            }
        )
    return rows


def _unsupported(facts: Facts) -> list[Row]:
    rows: list[Row] = []
    for gpu in facts.rows("gpus"):
        capability = _pair(str(gpu.get("capability") or ""))
        if capability is None:
            continue
        from sgldoctor.knowledge.variables import knowledge

        limit = knowledge().capability
        if capability < (_pair(limit) or (0, 0)):
            rows.append(
                {
                    "index": gpu.get("index"),
                    "name": gpu.get("name", ""),
                    "capability": gpu.get("capability"),
                    "minimum": limit,
                }
            )
    return rows


def _pair(capability: str) -> tuple[int, int] | None:
    major, _, minor = capability.partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
