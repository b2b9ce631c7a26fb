"""Whether the GPUs can compute the quantisation of a launch line and its model, and whether both ask for the same."""

from __future__ import annotations

from sgldoctor.derive.effective import Settings
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.flags import inside
from sgldoctor.knowledge.releases import load

WHERE = "model_loader/loader.py:_get_quantization_config"
SAYS = "The quantization method {…} is not supported for the current GPU. Minimum capability: {…}."


def too_new(facts: Facts, s: Settings) -> list[Row]:
    """A row for ``launch.conflict`` where a GPU is older than the method needs in this release; none where unknown."""
    given = s.given("--quantization")
    method = s.text("--quantization") if given else str(s.model.get("quantization") or "")
    least = minimum(method, s.release)
    found = [capability for row in facts.rows("gpus") if (capability := _number(str(row.get("capability") or "")))]
    if not least or not found or min(found) >= least or s.text("--device") not in ("", "cuda", "auto"):
        return []
    here, needs = (f"{number // 10}.{number % 10}" for number in (min(found), least))
    whose = f"--quantization {method}" if given else f"the model's quantisation {method}"
    note = f"{whose} needs compute capability {needs}, and a GPU here has {here}"
    return [
        {
            "name": "quantization-gpu",
            "kind": "quantization",
            "flags": ["--quantization"],
            "note": note,
            "says": SAYS,
            "where": WHERE,
            "method": method,
        }
    ]


_ROW = {
    "name": "quantization-checkpoint",
    "flags": ["--quantization"],
    "says": "Unknown quantization method: {…}. Must be one of {…}.",
    "where": "configs/model_config.py:ModelConfig._verify_quantization",
}


def mismatched(s: Settings) -> list[Row]:
    """A row for ``launch.conflict`` where the checkpoint is quantised by a method that the one given does not fit."""
    method, checkpoint = s.text("--quantization").lower(), str(s.model.get("quantization") or "")
    known = _accepted("", s.release)
    if not s.given("--quantization") or not method or not known or s.given("--json-model-override-args"):
        return []
    if s.model and not checkpoint and method not in known:
        note = f"SGLang {s.release} has no quantisation method {method} on NVIDIA GPUs"
        return [{**_ROW, "kind": "range", "note": note}]
    accepted = _accepted(checkpoint, s.release) if checkpoint else []
    if not accepted or method in accepted:
        return []
    return [
        {
            **_ROW,
            "kind": "checkpoint",
            "note": f"--quantization {method}, and the checkpoint is quantised by {checkpoint}: see its config.json",
            "says": "Quantization method specified in the model config ({…}) does not match the quantization method",
            "argument": method,
            "config": checkpoint,
        }
    ]


def _accepted(checkpoint: str, release: str) -> list[str]:
    """The values of ``--quantization`` that a kind of checkpoint takes; none where the kind is not known."""
    rows = load("quantization-matches.json")["methods"].get(checkpoint, ())
    return next((given.split(" ") for since, until, given in rows if inside([[since, until]], release)), [])


def minimum(method: str, release: str) -> int:
    """The least compute capability of a method in a release, times ten; 0 where it is not known."""
    rows = load("quantization-limits.json")["methods"].get(method, ())
    return next((least for least, since, until in rows if inside([[since, until]], release)), 0)


def _number(capability: str) -> int:
    major, _, minor = capability.partition(".")
    return int(major) * 10 + int(minor) if major.isdigit() and minor.isdigit() else 0
