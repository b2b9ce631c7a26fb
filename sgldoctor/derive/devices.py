"""What a launch line needs and the machine or the environment lacks: GPUs, packages."""

from __future__ import annotations

import re

from sgldoctor.derive.effective import Settings, read, whole_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.releases import load, normalise, release
from sgldoctor.typed import Any


def devices(facts: Facts) -> Facts:
    """``launch.devices`` where the line asks this node for more GPUs than it has; nothing where either is unknown."""
    out = Facts()
    visible = _visible(facts)
    if not facts.known("launch.option") or visible is None or not whole_line(facts):
        return out
    settings = read(facts)
    asked = asked_for(settings)
    if asked is None or settings.text("--device") not in ("", "cuda", "auto"):
        return out
    tp, nodes = settings.number("--tp-size") or 1, settings.number("--nnodes") or 1
    rows: list[Row] = [{"asked": asked, "visible": visible, "tp": tp, "nnodes": nodes}] if asked > visible else []
    out.put("launch.devices", rows, "derived")
    return out


def asked_for(s: Settings) -> int | None:
    """GPUs that the line wants on one node, counted from the first; None where a size in it is not known.

    tp x pp, over the nodes, times the data-parallel replicas unless these share the tensor-parallel GPUs
    (``entrypoints/engine.py``, ``managers/data_parallel_controller.py``), shifted by ``--base-gpu-id`` and its step.
    """
    tp, pp, nodes = s.number("--tp-size"), s.number("--pp-size"), s.number("--nnodes")
    dp, first, step = s.number("--dp-size"), s.number("--base-gpu-id"), s.number("--gpu-id-step")
    if tp is None or pp is None or nodes is None or dp is None or s.on("--use-ray"):
        return None
    if s.unsure("--base-gpu-id") or s.unsure("--gpu-id-step"):
        return None
    if min(tp, pp, nodes, dp) < 1 or tp * pp % nodes:
        return None
    count = tp * pp // nodes * (1 if s.on("--enable-dp-attention") else dp)
    return (first or 0) + (count - 1) * max(step or 1, 1) + 1


def _visible(facts: Facts) -> int | None:
    """The GPUs that CUDA lets the server see: ``CUDA_VISIBLE_DEVICES`` counts, as far as such GPUs exist."""
    if not facts.known("gpus"):
        return None
    if any(row.get("index") == "any" for row in facts.rows("gpus")):
        return None  # GPUs of this kind, but nobody said how many
    there = len(facts.rows("gpus"))
    chosen = [row["value"] for row in facts.rows("environment") if row.get("name") == "CUDA_VISIBLE_DEVICES"]
    if not chosen:
        return there
    # The line's own variables come after those of the shell. CUDA stops at the first entry that names no GPU.
    count = 0
    for entry in str(chosen[-1]).split(","):
        entry = entry.strip()
        if not entry or entry == "-1" or (entry.isdigit() and int(entry) >= there):
            break
        count += 1
    return min(count, there)


def packages(facts: Facts) -> Facts:
    """``launch.missing_package``: what an argument needs and the environment lacks, as far as that is known."""
    out = Facts()
    if not facts.known("launch.option") or not (facts.known("components") or facts.known("packages")):
        return out
    settings = read(facts)
    rows: list[Row] = []
    for need in load("launch-packages.json")["needs"]:
        because = _wanted(settings, need)
        if because and _absent(facts, need) and not any(row["module"] == need["module"] for row in rows):
            name = need["cu13"] if need["cu13"] and _cuda_major(facts) >= 13 else need["package"]
            rows.append({"package": name, "module": need["module"], "because": because, "pin": _pin(facts, name)})
    out.put("launch.missing_package", rows, "derived")
    return out


def _wanted(s: Settings, need: dict[str, Any]) -> str:
    flag = need["flag"]
    if need.get("only") == "disaggregation" and s.text("--disaggregation-mode") not in ("prefill", "decode"):
        return ""
    if not need["values"]:
        return flag if s.on(flag) else ""
    value = s.text(flag)
    return f"{flag} {value}" if value in need["values"] and not s.unsure(flag) else ""


def _absent(facts: Facts, need: dict[str, Any]) -> bool:
    for row in facts.rows("components"):
        if row.get("name") == need.get("component"):
            return row.get("present") is False
    if not facts.known("packages") or facts.source("packages") == "log":
        return False  # a list in a log may be cut
    names = {normalise(str(row.get("name", ""))) for row in facts.rows("packages")}
    return not names & {normalise(name) for name in (need["package"], need["cu13"], need["module"]) if name}


def _cuda_major(facts: Facts) -> int:
    major = str(facts.value("torch", "cuda") or "").split(".")[0]
    return int(major) if major.isdigit() else 0


def _pin(facts: Facts, name: str) -> str:
    """The requirement as this release pins it, else the bare name."""
    found = release(str(facts.value("sglang", "version") or ""))
    pinned = [pin for pin in (found.pins if found else ()) if re.match(re.escape(name) + r"\s*==\s*[\w.+]+$", pin)]
    return pinned[0] if pinned else name
