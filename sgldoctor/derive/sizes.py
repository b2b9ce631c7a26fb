"""The tensor-parallel sizes worth trying for a model, each judged as a launch line that asks for it would be."""

from __future__ import annotations

from collections.abc import Mapping

from sgldoctor.derive.effective import read
from sgldoctor.derive.parallel import Layout, Size, layout_of, sizes
from sgldoctor.facts import Facts
from sgldoctor.typed import Any, NamedTuple


class Sharing(NamedTuple):
    """The other sizes of a launch line: expert and data parallelism, and whether attention is data-parallel."""

    ep: int = 1
    dp: int = 1
    dp_attention: bool = False

    def gpus(self, tp: int) -> int:
        """GPUs of a server with this tensor-parallel size: each replica has its own, attention groups share."""
        return tp if self.dp_attention else tp * self.dp


def candidates(model: Mapping[str, Any], largest: int, sharing: Sharing) -> list[int]:
    """Powers of two, and divisors of ``largest`` and of the attention heads, that need at most ``largest`` GPUs."""
    heads = model.get("heads") or 0

    def worth_trying(tp: int) -> bool:
        return tp & (tp - 1) == 0 or largest % tp == 0 or (heads > 0 and heads % tp == 0)

    return [tp for tp in range(1, largest + 1) if sharing.gpus(tp) <= largest and worth_trying(tp)]


def table(model: Mapping[str, Any], release: str, largest: int, sharing: Sharing) -> list[Size]:
    """Every candidate with what forbids it in ``release``; ``model`` is a row of the fact ``model``."""
    return sizes(model, candidates(model, largest, sharing), layout(release, sharing))


def layout(release: str, sharing: Sharing) -> Layout | None:
    """How a launch line with these sizes shares the model in ``release``; ``tp`` is left open."""
    given = {"--tp-size": "1", "--ep-size": str(sharing.ep), "--dp-size": str(sharing.dp)}
    given |= {"--enable-dp-attention": ""} if sharing.dp_attention else {}
    facts = Facts()
    facts.put("sglang", {"version": release}, "launch")
    facts.put(
        "launch.option", [{"flag": flag, "value": value, "given": flag} for flag, value in given.items()], "launch"
    )
    return layout_of(read(facts))
