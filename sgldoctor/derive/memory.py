"""Whether weights and KV cache fit into the GPUs of a launch line, as SGLang itself divides their memory.

``launch.memory`` is an estimate; that something does not fit is said only where it holds with a margin. How far the
figures are from those that SGLang logs is measured in ``tests/derive/test_memory_logs.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sgldoctor.derive import reserve
from sgldoctor.derive.effective import Settings, read, whole_line
from sgldoctor.derive.parallel import Layout, layout_of
from sgldoctor.facts import Facts, Row
from sgldoctor.typed import Any, NamedTuple

GIB = 1 << 30
SURE = {"headers": 0.97, "config": 0.88}
"""What part of the weights is certainly there, by where their size comes from: below it nothing is claimed."""
ELSEWHERE = (
    "--cpu-offload-gb", "--offload-group-size", "--kt-weight-path", "--load-format", "--json-model-override-args",
    "--torchao-config", "--modelopt-quant", "--quantize-and-serve", "--ple-offload-embedding",
)  # fmt: skip
"""Flags with which weights are not, or not all, in the memory of the GPU."""
ONLINE = {"fp8": 8.01, "w8a8_fp8": 8.01, "w8a8_int8": 8.01, "bitsandbytes": 4.5, "mxfp4": 4.25}
"""Bits of a weight that ``--quantization`` makes of 16 while loading."""


class Use(NamedTuple):
    """GiB of each GPU: its memory, what is free when loading begins, the weights, and what remains for the cache.

    ``fraction`` is ``--mem-fraction-static``, ``token`` the bytes of one token in the cache, ``state`` those of the
    linear-attention state of one request, ``tokens`` how many tokens the pool holds.
    """

    total: float
    free: float
    weights: float
    fraction: float
    pool: float
    token: float
    state: float
    tokens: int


def memory(facts: Facts) -> Facts:
    """``launch.memory``, where the line, the model and the size of the GPUs are known."""
    out = Facts()
    sizes = [row.get("memory_total_mib") for row in facts.rows("gpus")]
    parts = facts.rows("model.parts")
    if not facts.known("launch.option") or not parts or not sizes or not whole_line(facts):
        return out
    if any(not isinstance(size, (int, float)) or size <= 0 for size in sizes):
        return out
    settings = read(facts)
    layout = layout_of(settings)
    known = reserve.of(settings.release)
    if layout is None or known is None or settings.text("--device") not in ("", "cuda", "auto"):
        return out
    if any(settings.given(flag) for flag in ELSEWHERE):
        return out
    chosen = settings.text("--quantization")
    plain = all(row["bits"] >= 16 for row in parts)
    if chosen and plain and chosen not in ONLINE:
        out.put_unknown("memory", f"how large the weights become by --quantization {chosen} is not known")
        return out
    total = min(float(size) for size in sizes if size is not None)
    pp = max(settings.number("--pp-size") or 1, 1)
    split = _split(parts, layout, pp, ONLINE.get(chosen, 0.0) if plain else 0.0)
    used = use(total, split, settings, layout, pp, facts.one("model.cache"), known, facts.one("model"))
    source = str(parts[0]["source"])
    out.put("launch.memory", _row(used, source, settings, facts), "derived")
    return out


def _split(parts: tuple[Row, ...], layout: Layout, pp: int, online: float) -> float:
    """Bytes of weights on the fullest GPU."""
    groups = max(layout.attn_dp * layout.attn_cp, 1)
    attention = max(layout.tp // groups, 1)
    by = {
        # With attention data parallelism every group holds all of the embedding and of the attention.
        "embedding": layout.tp if groups == 1 else 1, "head": layout.tp, "attention": attention, "latent": attention,
        "experts": max(layout.tp // max(layout.moe_dp, 1), 1), "shared": 1 if layout.a2a else layout.tp,
        "mlp": layout.dense_tp or layout.tp, "vision": layout.tp,
    }  # fmt: skip
    held = {str(row["part"]): float(row["bytes"]) for row in parts}
    total = 0.0
    for row in parts:
        part, size = str(row["part"]), float(row["bytes"])
        if part == "draft":
            continue
        if online and part in ("attention", "mlp", "experts", "shared"):
            size *= online / float(row["bits"])
        if part == "latent":
            # deepseek_v2.py:post_load_weights keeps w_kc and w_vc, a copy of kv_b_proj in 16 bits.
            size += size * 16 / float(row["bits"])
        if part == "embedding" and pp > 1 and size >= held.get("head", 0.0):
            total += size / by["embedding"]
        elif part != "head" or pp == 1:
            total += size / by.get(part, 1) / (1 if part in ("embedding", "vision") else pp)
    return total


def use(
    total_mib: float, weights: float, s: Settings, layout: Layout, pp: int,
    cache: Mapping[str, Any], known: Mapping[str, Any], model: Mapping[str, Any],
) -> Use:  # fmt: skip
    """How one GPU's memory is used; ``weights`` are bytes."""
    total = total_mib / 1024
    given = s.real("--mem-fraction-static") if s.given("--mem-fraction-static") else None
    fraction = given if given is not None else _default(total_mib, s, layout, pp, known, model)
    free = total - _taken(total, layout.tp * pp)
    pool = free * fraction - weights / GIB
    token, state = cell(s, layout, pp, cache, known, model)
    room = pool * GIB
    if state and token:
        ratio = s.real("--mamba-full-memory-ratio") or 0.9
        room = room / (1 + ratio)
    tokens = int(room / token) if token and room > 0 else 0
    limit = s.number("--max-total-tokens")
    if limit and limit > 0:
        tokens = min(tokens, limit)
    return Use(total, free, weights / GIB, fraction, pool, token, state, tokens)


def _taken(total: float, gpus: int) -> float:
    """GiB that driver, CUDA context and, with several GPUs, NCCL hold before the weights are loaded.

    By the logs in the tests: 0.6 to 1.5 GiB on one GPU, growing with its size; 0.2 to 2 more with several.
    """
    return 0.35 + 0.0065 * total + (0.6 if gpus > 1 else 0.0)


def _default(
    total_mib: float, s: Settings, layout: Layout, pp: int, known: Mapping[str, Any], model: Mapping[str, Any]
) -> float:
    graph = s.number("--cuda-graph-max-bs") or s.number("--cuda-graph-max-bs-decode")
    if s.on("--disable-cuda-graph"):
        graph = 0 if "table" not in known and known["deepep"] else graph
    wants = reserve.Wants(
        tp=layout.tp, pp=pp,
        dp_attention=layout.attn_dp if layout.attn_dp > 1 or s.on("--enable-dp-attention") else 0,
        chunked=s.number("--chunked-prefill-size") if s.given("--chunked-prefill-size") else None,
        graph=graph, speculative=s.text("--speculative-algorithm").upper(),
        deepep=s.text("--moe-a2a-backend") == "deepep", prefill_graph=_prefill_graph(s), mla=bool(model.get("mla")),
    )  # fmt: skip
    fraction = reserve.fraction(known, total_mib, wants)
    # A tower whose sizes have names of their own (Kimi) counts as one of the sizes that SGLang then takes.
    return fraction * _for_images(model) if model.get("vision") and not s.on("--language-only") else fraction


def _prefill_graph(s: Settings) -> bool:
    """Whether prefill is captured: asked for by a switch in old releases, by default where a switch can turn it off."""
    if "--enable-piecewise-cuda-graph" in s.flags and "--disable-piecewise-cuda-graph" not in s.flags:
        return s.on("--enable-piecewise-cuda-graph")
    if "--disable-piecewise-cuda-graph" in s.flags or "--cuda-graph-backend-prefill" in s.flags:
        off = s.text("--cuda-graph-backend-prefill") == "disabled" or s.on("--disable-piecewise-cuda-graph")
        return not off and not s.on("--disable-cuda-graph")
    return False


def _for_images(model: Mapping[str, Any]) -> float:
    """By the size of the vision tower: ``adjust_mem_fraction_for_vlm`` (``server_args.py``, 0.5.1 to 0.5.19)."""
    layers, hidden = model.get("vision_layers") or 24, model.get("vision_hidden") or 1024
    factor = 1.0 - 0.1 * (layers * hidden**2 / (24 * 1024**2) - 1.0)
    return 0.95 * max(0.8, min(1.05, factor))


def cell(
    s: Settings, layout: Layout, pp: int, cache: Mapping[str, Any], known: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[float, float]:
    """Bytes of a token, and of the state of a request, on one GPU; zeros where the geometry is not known."""
    if not cache:
        return 0.0, 0.0
    atp = max(layout.tp // max(layout.attn_dp * layout.attn_cp, 1), 1)
    wide = s.text("--kv-cache-dtype") or "auto"
    each = 1.0 if "fp8" in wide else 0.5625 if "fp4" in wide else 2.0
    full, sliding, linear = cache["full_layers"], cache["sliding_layers"], cache["linear_layers"]
    own = any(name in known["swa"] for name in model.get("architectures") or ())
    if not own or s.on("--disable-hybrid-swa-memory"):
        full, sliding = full + sliding, 0
    if cache["latent"]:
        one = cache["latent"] * each + cache["indexer"]
        near = one
    else:
        one = max(cache["kv_heads"] // atp, 1) * (cache["head_dim"] + cache["v_head_dim"]) * each
        near = max(cache["sliding_kv_heads"] // atp, 1) * (cache["sliding_head_dim"] * 2) * each
    ratio = s.real("--swa-full-tokens-ratio")
    token = (full * one + sliding * near * (0.8 if ratio is None else ratio)) / pp
    state = linear * (cache["conv"] * 2 + cache["state"] * cache["state_bytes"]) / atp / pp
    return token, state


def _row(u: Use, source: str, s: Settings, facts: Facts) -> Row:
    context = s.number("--context-length") or facts.value("model", "context")
    asked = s.number("--context-length") if s.given("--context-length") else None
    verdict, sure = "fits", u.weights * SURE.get(source, 0.88)
    # The most that can be free is all of the GPU but the CUDA context, which no process does without.
    most = u.total * 0.995 - 0.25
    if sure > most:
        verdict = "weights"
    elif sure >= most * u.fraction:
        verdict = "cache"
    elif u.token and asked and u.tokens * 1.25 < asked and not s.given("--max-total-tokens"):
        verdict = "context"
    elif u.pool <= 0:
        verdict = "close"
    least = min(math.ceil(u.weights / u.free * 100 + 2) / 100, 0.99) if u.free > 0 else 0.0
    row: Row = {
        "verdict": verdict, "gpu_gib": round(u.total, 1), "weights_gib": round(u.weights, 1), "source": source,
        "fraction": round(u.fraction, 3), "given": s.given("--mem-fraction-static"), "pool_gib": round(u.pool, 1),
        "token_bytes": round(u.token), "state_bytes": round(u.state), "tokens": u.tokens, "context": context or 0,
        "concurrency": u.tokens // context if context and u.tokens else 0, "minimum": least,
        "gpus": max(math.ceil(u.weights / max(most * 0.85, 1)), 1), "note": "",
    }  # fmt: skip
    row["note"] = row["text"] = _note(row)
    return row


def _note(row: Row) -> str:
    where = {"headers": "by the headers of the files", "config": "estimated from config.json"}[row["source"]]
    note = f"weights {row['weights_gib']:g} of {row['gpu_gib']:g} GiB on each GPU ({where})"
    chosen = "given" if row["given"] else "the default here"
    share = f"--mem-fraction-static {row['fraction']:g} ({chosen})"
    if row["verdict"] == "weights":
        return f"{note}: they do not fit"
    if row["verdict"] in ("cache", "close"):
        return f"{note}; {share} leaves {'nothing' if row['verdict'] == 'cache' else 'almost nothing'} for the KV cache"
    note += f"; {share} leaves {row['pool_gib']:g} GiB for the KV cache"
    if not row["token_bytes"]:
        return note
    kib = row["token_bytes"] / 1024
    note += f": about {row['tokens']:,} tokens of {kib:.3g} KiB"
    if row["context"]:
        full = row["concurrency"]
        tail = f"{full} requests of {row['context']:,}" if full else f"less than one request of {row['context']:,}"
        note += f", {tail}"
    return note
