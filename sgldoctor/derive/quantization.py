"""Whether the GPUs can compute the quantisation that a launch line or its model asks for."""

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


def minimum(method: str, release: str) -> int:
    """The least compute capability of a method in a release, times ten; 0 where it is not known."""
    rows = load("quantization-limits.json")["methods"].get(method, ())
    return next((least for least, since, until in rows if inside([[since, until]], release)), 0)


def _number(capability: str) -> int:
    major, _, minor = capability.partition(".")
    return int(major) * 10 + int(minor) if major.isdigit() and minor.isdigit() else 0
