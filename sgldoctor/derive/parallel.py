"""Which tensor-parallel sizes a model's dimensions allow, as plain arithmetic.

Each limit is an assert or ``ValueError`` of SGLang's own code (read in 0.5.2, 0.5.8 and 0.5.23, the same in all three):
``models/*.py`` (heads, KV heads), ``layers/linear.py`` and ``distributed/utils.py`` (divisibility),
``layers/moe/fused_moe_triton/layer.py`` (experts), ``layers/quantization/fp8.py`` (blocks),
``layers/quantization/{gptq,awq,marlin_utils}.py`` (groups). The vocabulary is padded to a multiple of 64, which
most sizes divide; since when it is padded further is in ``knowledge/data/parallel-limits.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sgldoctor.derive.effective import Settings, read, whole_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.flags import inside
from sgldoctor.knowledge.releases import load
from sgldoctor.typed import Any, NamedTuple

LARGEST = 64
"""Tensor-parallel sizes from 1 to this are tried when the ones that work are listed."""

SHARING = ("--dp-size", "--ep-size", "--attn-dp-size", "--attn-cp-size", "--moe-dp-size", "--moe-dense-tp-size")
"""Flags beside ``--tp-size`` that decide how GPUs share a model."""


class Layout(NamedTuple):
    """How GPUs share a model. ``tp`` counts all of them; the others divide it. ``ep`` 0 means "as many as tp".

    ``vocabulary`` is the multiple to which the release pads the vocabulary before it splits it, 0 where any size fits.
    ``encoder_whole``: every GPU has the whole vision tower (``--mm-enable-dp-encoder``).
    """

    tp: int
    ep: int = 1
    attn_dp: int = 1
    attn_cp: int = 1
    moe_dp: int = 1
    dense_tp: int = 0
    a2a: bool = False
    vocabulary: int = 0
    encoder_whole: bool = False


class Limit(NamedTuple):
    """Why a size does not work: ``dimension`` of ``size`` over ``by`` GPUs; ``kind`` is ``plain`` or ``block``."""

    dimension: str
    size: int
    by: int
    kind: str
    block: int
    note: str


class Size(NamedTuple):
    """A tensor-parallel size and what forbids it; nothing does where ``limits`` is empty."""

    tp: int
    limits: tuple[Limit, ...]


def sizes(
    model: Mapping[str, Any], tps: Iterable[int] = range(1, LARGEST + 1), layout: Layout | None = None
) -> list[Size]:
    """For each size of ``tps`` the constraints that forbid it; ``model`` is a row of the fact ``model``.

    ``layout`` gives the other sizes (its ``tp`` is ignored). A dimension that the model does not state limits nothing.
    """
    base = layout or Layout(1)
    return [Size(tp, tuple(limits(model, base._replace(tp=tp)))) for tp in tps]


def working(
    model: Mapping[str, Any], tps: Iterable[int] = range(1, LARGEST + 1), layout: Layout | None = None
) -> list[int]:
    """The sizes of ``tps`` that nothing forbids."""
    return [size.tp for size in sizes(model, tps, layout) if not size.limits]


def limits(model: Mapping[str, Any], layout: Layout) -> list[Limit]:
    """Everything that forbids ``layout`` for ``model``."""
    tp = layout.tp
    if tp < 1:
        return [Limit("tensor parallel size", tp, 1, "plain", 0, f"a tensor parallel size of {tp} is not possible")]
    out: list[Limit] = []
    groups = layout.attn_dp * layout.attn_cp
    if groups < 1 or tp % groups:
        out.append(_plain("tensor parallel size", tp, groups, "attention groups (dp x cp)"))
    else:
        out += _attention(model, tp // groups)
        out += [] if layout.encoder_whole else _vision(model, tp // groups)
    if layout.vocabulary and groups == 1 and model.get("vocab"):
        padded = -(-model["vocab"] // layout.vocabulary) * layout.vocabulary
        out += [_plain("vocabulary size", padded, tp)] if padded % tp else []
    out += _dense(model, layout)
    if model.get("experts"):
        out += _experts(model, layout)
    return out


def _plain(dimension: str, size: int, by: int, what: str = "GPUs") -> Limit:
    counted = dimension.endswith(("size", "width"))
    named = f"{dimension} {size}" if counted else f"{size} {dimension}"
    return Limit(dimension, size, by, "plain", 0, f"{named} cannot be split over {by} {what}")


def _blocks(dimension: str, size: int, by: int, block: int, unit: str) -> Limit:
    return Limit(
        dimension, size, by, "block", block,
        f"{dimension} {size} over {by} GPUs leaves {size // by}: no multiple of the quantization {unit} {block}",
    )  # fmt: skip


def _attention(model: Mapping[str, Any], atp: int) -> list[Limit]:
    heads, kv, head_dim = model.get("heads"), model.get("kv_heads"), model.get("head_dim")
    out: list[Limit] = []
    if heads and heads % atp:
        return [_plain("attention heads", heads, atp)]
    if kv and not model.get("mla"):
        if kv >= atp and kv % atp:
            out.append(_plain("KV heads", kv, atp))
        elif kv < atp and atp % kv:
            note = f"{kv} KV heads cannot be repeated evenly over {atp} GPUs"
            out.append(Limit("KV heads", kv, atp, "plain", 0, note))
    if out or not heads or atp == 1 or model.get("plain_attention"):
        return out
    widths: list[tuple[str, int, bool]] = []  # dimension, its size over all GPUs, whether it is a split input
    if model.get("mla"):
        nope, rope, v = (model.get(key) or 0 for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        if nope and rope and v:
            widths = [("query width", heads * (nope + rope), False), ("key and value width", heads * (nope + v), False),
                      ("attention output width", heads * v, True)]  # fmt: skip
    elif head_dim:
        widths = [("query width", heads * head_dim, False), ("attention output width", heads * head_dim, True)]
        if kv:
            widths.append(("key width", max(kv, atp) * head_dim, False))
    for dimension, width, is_input in widths:
        out += _split(model, dimension, width, atp, is_input=is_input)
    return out


def _vision(model: Mapping[str, Any], atp: int) -> list[Limit]:
    """The heads of the vision tower, where the model's implementation splits them without padding."""
    heads = model.get("vision_heads")
    split = load("parallel-limits.json")["vision"]["architectures"]
    if not heads or heads % atp == 0 or not set(split).intersection(model.get("architectures") or ()):
        return []
    return [_plain("vision attention heads", heads, atp)]


def _split(
    model: Mapping[str, Any], dimension: str, size: int, by: int, *, is_input: bool, grouped: bool = True
) -> list[Limit]:
    """Block or group limits of one dimension that is split ``by`` GPUs: groups run along inputs only."""
    if by == 1 or size % by:
        return []
    block = model.get("block") or []
    group = (model.get("group") or 0) if grouped else 0
    if block and (size // by) % block[1 if is_input else 0]:
        return [_blocks(dimension, size, by, block[1 if is_input else 0], "block")]
    if group and is_input and group < size and (size // by) % group:
        return [_blocks(dimension, size, by, group, "group")]
    return []


def _feed_forward(model: Mapping[str, Any], dimension: str, size: int, by: int, *, grouped: bool = True) -> list[Limit]:
    """A gate, up and down projection: the size is an output of the first two and the input of the last.

    Experts are not ``grouped``: their kernels (``moe_wna16``) take a smaller group where the group does not fit.
    """
    if size % by:
        return [_plain(dimension, size, by)]
    if model.get("plain_mlp"):
        return []
    return _split(model, dimension, size, by, is_input=False) or _split(
        model, dimension, size, by, is_input=True, grouped=grouped
    )


def _dense(model: Mapping[str, Any], layout: Layout) -> list[Limit]:
    size = model.get("intermediate")
    if not size or not model.get("dense_layers", True):
        return []
    by = layout.dense_tp if layout.dense_tp and model.get("experts") else layout.tp
    return _feed_forward(model, "intermediate size", size, by)


def _experts(model: Mapping[str, Any], layout: Layout) -> list[Limit]:
    experts, size, shared = model["experts"], model.get("expert_intermediate"), model.get("shared_intermediate")
    ep = layout.ep or layout.tp
    if layout.tp % (ep * layout.moe_dp):
        return [_plain("tensor parallel size", layout.tp, ep * layout.moe_dp, "expert groups (ep x moe dp)")]
    moe_tp = layout.tp // ep // layout.moe_dp
    out: list[Limit] = []
    if experts % ep:
        out.append(_plain("experts", experts, ep))
    if model.get("experts_checked") and moe_tp > experts:
        out.append(Limit("experts", experts, moe_tp, "plain", 0, f"{moe_tp} GPUs are more than the {experts} experts"))
    if size:
        out += _feed_forward(model, "expert intermediate size", size, moe_tp, grouped=False)
    if shared and not layout.a2a:
        out += _feed_forward(model, "shared expert intermediate size", shared, layout.tp)
    return out


def layout_of(settings: Settings) -> Layout | None:
    """How the launch line shares the model, None where a size in it is not known."""
    tp, dp, ep = settings.number("--tp-size"), settings.number("--dp-size"), settings.number("--ep-size")
    attn_dp, attn_cp = settings.number("--attn-dp-size"), settings.number("--attn-cp-size")
    moe_dp, dense = settings.number("--moe-dp-size"), settings.number("--moe-dense-tp-size")
    if tp is None or any(settings.unsure(flag) for flag in SHARING):
        return None
    if settings.on("--enable-dp-attention") and (dp or 1) > 1:
        attn_dp = dp
    a2a = settings.text("--moe-a2a-backend") not in ("", "none")
    # An all-to-all backend sets ep to tp by itself.
    share = 0 if a2a else max(ep or 1, 1)
    vocabulary = load("parallel-limits.json")["vocabulary"]
    return Layout(
        tp=tp,
        ep=share,
        attn_dp=max(attn_dp or 1, 1),
        attn_cp=max(attn_cp or 1, 1),
        moe_dp=max(moe_dp or 1, 1),
        dense_tp=max(dense or 0, 0),
        a2a=a2a,
        encoder_whole=settings.on("--mm-enable-dp-encoder"),
        vocabulary=vocabulary["multiple"] if inside(vocabulary["present"], settings.release) else 0,
    )


def indivisible(facts: Facts) -> Facts:
    """``launch.indivisible`` from ``launch.option`` and ``model``; nothing where either is unknown."""
    out = Facts()
    model = facts.one("model")
    if not facts.known("launch.option") or not model or not whole_line(facts):
        return out
    settings = read(facts)
    if settings.text("--device") == "cpu":
        return out  # there SGLang pads heads and intermediate sizes (configs/update_config.py)
    layout = layout_of(settings)
    if layout is None:
        out.put_unknown("parallel sizes", "the launch line takes a size from a variable that is not known")
        return out
    works = working(model, range(1, LARGEST + 1), layout)
    best = max((size for size in works if size < layout.tp), default="")
    rows: list[Row] = [
        {**limit._asdict(), "tp": layout.tp, "works": works, "best": best} for limit in limits(model, layout)
    ]
    out.put("launch.indivisible", rows, "derived")
    return out
