"""How much a model's weights and its KV cache take: the facts ``model.parts`` and ``model.cache``.

Weights are read from the headers of the safetensors files (the format: 8 bytes of length, then JSON that names each
tensor's type, shape and place); without files, they follow from ``config.json``. No tensor is ever read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any

_HEADER = 64 << 20  # a header is some MiB at most
_FILES = 512
_NAMED = lazy(r"(?i)fp8|fp4|int[48]|awq|gptq|w[48]a|\d-?bit|bnb|gguf|quant|nf4|exl\d|autoround")
_LAYER = lazy(r"\blayers?\.(\d{1,4})\.")
_PARTS = (
    # part, what its tensors are called; the first that fits
    ("draft", lazy(r"(?:^|\.)(?:mtp|nextn|eagle|draft)")),
    ("vision", lazy(r"(?:^|\.)(?:visual|vision|vit|image|mm_|multi_modal|multimodal|audio|embed_vision)")),
    ("shared", lazy(r"\.shared_experts?\.")),
    ("experts", lazy(r"\.experts?\.|\.experts$|expert_bias$")),
    ("embedding", lazy(r"embed_tokens|\bwte\b|word_embeddings|tok_embeddings|embed_in\b")),
    ("head", lazy(r"(?:^|\.)(?:lm_head|output|embed_out)\.(?:weight|qweight|scales|weight_scale)")),
    ("latent", lazy(r"\.kv_b_proj\.")),
    ("attention", lazy(r"\.(?:self_attn|attn|attention|linear_attn|mixer|mamba|conv)\b(?!.*norm)")),
    ("mlp", lazy(r"\.(?:mlp|feed_forward|ffn|block_sparse_moe)\b(?!.*\bgate\.)")),
)


def weights(folder: str, config: Mapping[str, Any], text: Mapping[str, Any], model: Row) -> Facts:
    """What is known of the memory of a model in ``folder``; ``text`` is the language model's part of the config."""
    facts = Facts()
    cache = geometry(text, model)
    if cache is not None:
        facts.put("model.cache", cache, "probe")
    parts = _read(folder, int(model.get("layers") or 0))
    if not parts and not _quantized_elsewhere(folder, config, text):
        parts = estimate(config, text, model)
    if parts:
        facts.put("model.parts", parts, "probe")
    return facts


def _quantized_elsewhere(folder: str, config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Whether the weights are smaller than ``config.json`` tells: ModelOpt describes them in a file of its own.

    Without that file the name may still say so (``-FP8``, ``-AWQ``): then nothing is estimated.
    """
    if bits(config, text):
        return False
    parts = folder.rstrip("/").split("/")
    named = [part for part in parts if part.startswith("models--")] or parts[-1:]
    return os.path.exists(os.path.join(folder, "hf_quant_config.json")) or bool(_NAMED.search(named[-1]))


def _read(folder: str, layers: int) -> list[Row]:
    """The parts by the headers of all safetensors files; nothing where one is absent, damaged or not downloaded yet."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
        with open(os.path.join(folder, "model.safetensors.index.json"), "rb") as stream:
            index = json.loads(stream.read(_HEADER))
        wanted = sorted(set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names, wanted, index = (names if "names" in locals() else []), [], {}
    files = wanted or [name for name in names if not name.startswith("consolidated")]
    if not files or len(files) > _FILES or any(not isinstance(name, str) or "/" in name for name in files):
        return []
    sums: dict[str, int] = {}
    wide: dict[str, int] = {}
    for name in files:
        header = _header(os.path.join(folder, name))
        if header is None:
            return []
        for tensor, entry in header.items():
            if tensor == "__metadata__":
                continue
            try:
                begin, end = entry["data_offsets"]
                size = int(end) - int(begin)
            except (KeyError, TypeError, ValueError):
                return []
            part = part_of(tensor, layers)
            sums[part] = sums.get(part, 0) + size
            if entry.get("dtype") in ("BF16", "F16", "F32"):
                wide[part] = wide.get(part, 0) + size
    return [
        {"part": part, "bytes": size, "bits": 16 if wide.get(part, 0) > 0.9 * size else 8, "source": "headers"}
        for part, size in sorted(sums.items())
    ]


def _header(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= _HEADER:
                return None
            header = json.loads(stream.read(length))
    except (OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def part_of(tensor: str, layers: int) -> str:
    """The part of a model that a tensor belongs to; layers beyond the last one are those of a draft model."""
    at = _LAYER.search(tensor)
    if at and layers and int(at[1]) >= layers and "vis" not in tensor:
        return "draft"
    return next((part for part, pattern in _PARTS if pattern.search(tensor)), "other")


def geometry(text: Mapping[str, Any], model: Row) -> Row | None:
    """What one token takes in the KV cache, in elements; None where the config does not say enough.

    As ``get_cell_size_per_token`` of ``srt/model_executor/model_runner_kv_cache_mixin.py`` (0.5.8; later
    ``pool_configurator.py``) counts it, and the states of linear attention as ``srt/configs/mamba_utils.py`` does.
    """
    layers = model.get("layers")
    if not layers:
        return None
    full, sliding, linear = _layers(text, int(layers))
    if full is None:
        return None
    number = _numbers(text)
    head_dim = model.get("head_dim")
    row: Row = {
        "full_layers": full, "sliding_layers": sliding, "linear_layers": linear,
        "kv_heads": model.get("kv_heads"), "head_dim": head_dim,
        "v_head_dim": number("v_head_dim") or head_dim,
        "sliding_kv_heads": number("swa_num_key_value_heads") or model.get("kv_heads"),
        "sliding_head_dim": number("swa_head_dim") or head_dim,
        "latent": 0, "indexer": 0, "conv": 0, "state": 0, "state_bytes": 4,
    }  # fmt: skip
    if number("global_head_dim"):  # gemma4: layers with full attention have heads of their own
        row["head_dim"] = row["v_head_dim"] = number("global_head_dim")
        row["kv_heads"] = number("num_global_key_value_heads") or row["kv_heads"]
    if model.get("mla"):
        rank, rope = number("kv_lora_rank"), number("qk_rope_head_dim")
        if not rank or not rope:
            return None
        row["latent"] = rank + rope
        index = number("index_head_dim")
        # NSATokenToKVPool: the indexer's keys in FP8, with a scale of 4 bytes for each 128.
        row["indexer"] = (index + index // 128 * 4) if index else 0
    elif not row["kv_heads"] or not head_dim:
        return None
    if linear:
        state = _state(text)
        if state is None:
            return None
        row["conv"], row["state"] = state
        row["state_bytes"] = 2 if text.get("mamba_ssm_dtype") in ("bfloat16", "float16") else 4
    return row


def _numbers(text: Mapping[str, Any]) -> Any:
    def number(*keys: str) -> int:
        for key in keys:
            value = text.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 24:
                return value
        return 0

    return number


def _layers(text: Mapping[str, Any], layers: int) -> tuple[int | None, int, int]:
    """Layers with full, sliding-window and linear attention; None where their kinds are not known."""
    kinds = text.get("layer_types")
    if isinstance(kinds, list) and len(kinds) >= layers:
        kinds = [str(kind) for kind in kinds[:layers]]
        sliding = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
        full = sum(kind in ("full_attention", "attention") for kind in kinds)
        return full, sliding, layers - full - sliding
    pattern = text.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        return pattern.count("*"), 0, pattern.count("M")
    interval = text.get("full_attention_interval")
    if isinstance(interval, int) and interval > 1:
        full = layers // interval
        return full, 0, layers - full
    linear = text.get("linear_attn_config")
    if isinstance(linear, dict) and isinstance(linear.get("full_attn_layers"), list):
        full = len(linear["full_attn_layers"])
        return full, 0, layers - full
    hybrid = text.get("hybrid_layer_pattern")
    if isinstance(hybrid, list) and len(hybrid) >= layers:
        sliding = sum(kind == 1 for kind in hybrid[:layers])
        return layers - sliding, sliding, 0
    if any(key in text for key in ("mamba_d_state", "ssm_state_size", "layer_group_size", "attn_layer_indices")):
        return None, 0, 0
    return layers, 0, 0


def _state(text: Mapping[str, Any]) -> tuple[int, int] | None:
    """Elements of the convolution and of the recurrent state, for one request and layer, over all GPUs."""
    number = _numbers(text)
    if number("linear_num_value_heads"):  # gated delta net: qwen3_next.py
        heads, size = number("linear_num_value_heads"), number("linear_value_head_dim")
        keys, key_size = number("linear_num_key_heads"), number("linear_key_head_dim")
        conv = heads * size + 2 * keys * key_size
        return conv * (number("linear_conv_kernel_dim") - 1), heads * size * key_size
    linear = text.get("linear_attn_config")
    if isinstance(linear, dict):  # Kimi delta attention: kimi_linear.py
        inner = _numbers(linear)
        heads, size = inner("num_heads"), inner("head_dim")
        return 3 * heads * size * (inner("short_conv_kernel_size") - 1), heads * size * size
    if number("mamba_num_heads"):  # nemotron_h.py
        heads, size, state = number("mamba_num_heads"), number("mamba_head_dim"), number("ssm_state_size")
        conv = heads * size + 2 * number("n_groups") * state
        return conv * (number("conv_kernel") - 1), heads * size * state
    if number("mamba_n_heads"):  # falcon_h1.py, granitemoehybrid.py
        heads, state = number("mamba_n_heads"), number("mamba_d_state")
        inner_size = number("mamba_d_ssm") or number("mamba_expand") * number("hidden_size")
        conv = inner_size + 2 * number("mamba_n_groups") * state
        return conv * (number("mamba_d_conv") - 1), inner_size * state
    if number("conv_L_cache"):  # lfm2.py: a short convolution, no recurrent state
        return number("hidden_size") * (number("conv_L_cache") - 1), 0
    return None


def estimate(config: Mapping[str, Any], text: Mapping[str, Any], model: Row) -> list[Row]:
    """The parts as the dimensions in ``config.json`` give them; nothing where they do not suffice."""
    number = _numbers(text)
    hidden, layers, vocab = model.get("hidden"), model.get("layers"), model.get("vocab")
    heads, kv, head_dim = model.get("heads"), model.get("kv_heads"), model.get("head_dim")
    if not (hidden and layers and vocab and heads and kv and head_dim):
        return []
    full, sliding, linear = _layers(text, int(layers))
    if full is None or (linear and not number("linear_num_value_heads")):
        return []
    counts: dict[str, float] = {"embedding": vocab * hidden}
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    counts["head"] = 0 if tied else vocab * hidden
    if model.get("mla"):
        nope, rope = number("qk_nope_head_dim"), number("qk_rope_head_dim")
        rank, query, value = number("kv_lora_rank"), number("q_lora_rank"), number("v_head_dim")
        asks = query * (hidden + heads * (nope + rope)) if query else hidden * heads * (nope + rope)
        counts["attention"] = (full + sliding) * (asks + hidden * (rank + rope) + heads * value * hidden)
        counts["latent"] = (full + sliding) * rank * heads * (nope + value)
    else:
        gated = 2 if text.get("attn_output_gate") or number("linear_num_value_heads") else 1
        each = hidden * head_dim * (heads * gated + 2 * kv) + heads * head_dim * hidden
        counts["attention"] = (full + sliding) * each
    if linear:
        values = number("linear_num_value_heads") * number("linear_value_head_dim")
        keys = number("linear_num_key_heads") * number("linear_key_head_dim")
        counts["attention"] += linear * hidden * (2 * keys + 3 * values)
    matrices = 3 if text.get("hidden_act", text.get("hidden_activation", "silu")) not in ("gelu_new", "relu") else 2
    experts = int(model.get("experts") or 0)
    dense = _dense(text, int(layers)) if experts else int(layers)
    inner = model.get("intermediate") or 0
    counts["mlp"] = dense * matrices * hidden * inner
    if experts:
        size = model.get("expert_intermediate") or 0
        counts["experts"] = (layers - dense) * experts * 3 * hidden * size
        shared = model.get("shared_intermediate") or number("n_shared_experts", "num_shared_experts") * size
        counts["shared"] = (layers - dense) * 3 * hidden * shared
        counts["other"] = (layers - dense) * experts * hidden
    vision = config.get("vision_config")
    if isinstance(vision, dict):
        sizes = _numbers(vision)
        width, depth = sizes("hidden_size", "embed_dim"), sizes("num_hidden_layers", "depth")
        counts["vision"] = depth * (4 * width * width + 2 * width * (sizes("intermediate_size") or 4 * width))
    return _sized(counts, config, text, model)


def _dense(text: Mapping[str, Any], layers: int) -> int:
    """Layers whose feed-forward is not split into experts."""
    first = text.get("first_k_dense_replace")
    if isinstance(first, int) and not isinstance(first, bool):
        return min(max(first, 0), layers)
    listed = text.get("mlp_only_layers")
    if isinstance(listed, list) and listed:
        return len(listed)
    step = text.get("decoder_sparse_step") or text.get("interleave_moe_layer_step") or 1
    if isinstance(step, int) and step > 1:
        return layers - layers // step
    return 0


def _sized(counts: Mapping[str, float], config: Mapping[str, Any], text: Mapping[str, Any], model: Row) -> list[Row]:
    """Elements to bytes, by the type of the checkpoint and what its quantization leaves out."""
    plain = 32 if str(text.get("torch_dtype") or text.get("dtype") or config.get("torch_dtype")) == "float32" else 16
    plain = 16 if plain == 32 else plain  # SGLang loads a float32 checkpoint in 16 bits
    quantized = bits(config, text)
    left = _left_out(config, text)
    rows: list[Row] = []
    for part, count in sorted(counts.items()):
        wide = part in ("embedding", "head", "vision", "other") or part in left
        wide = wide or (part in ("attention", "latent") and bool(model.get("plain_attention")))
        each = plain if wide or not quantized else quantized
        if count:
            rows.append({"part": part, "bytes": int(count * each / 8), "bits": each, "source": "config"})
    return rows


_SAMPLES = {
    "attention": "model.layers.9.self_attn.o_proj", "latent": "model.layers.9.self_attn.kv_b_proj",
    "mlp": "model.layers.0.mlp.gate_proj", "shared": "model.layers.9.mlp.shared_experts.gate_proj",
    "experts": "model.layers.9.mlp.experts.0.gate_proj",
}  # fmt: skip
"""The name of one layer of each part, to ask whether the quantization leaves it out."""


def _left_out(config: Mapping[str, Any], text: Mapping[str, Any]) -> set[str]:
    """The parts that a quantization does not touch, by its lists of names and of patterns (``re:...``)."""
    found = config.get("quantization_config") or text.get("quantization_config") or config.get("compression_config")
    if not isinstance(found, dict):
        return set()
    names: list[str] = []
    for key in ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules"):
        value = found.get(key)
        names += [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
    out = set()
    for part, sample in _SAMPLES.items():
        plain = re.sub(r"\d+", "#", sample)
        for name in names[:4096]:
            if name.startswith("re:"):
                try:
                    hit = re.match(name[3:], sample) is not None
                except re.error:
                    hit = False
            else:
                # Lists name each layer, or all with a star; what is said of one layer of a kind holds for all.
                wanted = re.sub(r"\d+", "#", name).replace("*", "").strip(".")
                wanted = wanted.removeprefix("language_model.")
                hit = bool(wanted) and wanted in plain and wanted not in ("model", "model.layers.#", "model.layers")
            if hit:
                out.add(part)
                break
    return out


def bits(config: Mapping[str, Any], text: Mapping[str, Any]) -> float:
    """Bits for each weight of a quantized layer with its scales; 0 for a checkpoint that is not quantized."""
    found = config.get("quantization_config") or text.get("quantization_config") or config.get("compression_config")
    if not isinstance(found, dict):
        return 0
    method = str(found.get("quant_method") or found.get("quant_algo") or "").lower()
    group = found.get("group_size", found.get("q_group_size"))
    each = found.get("bits", found.get("w_bit"))
    groups = found.get("config_groups")
    if isinstance(groups, dict) and groups:
        weights_of = next((g.get("weights") for g in groups.values() if isinstance(g, dict)), None)
        if isinstance(weights_of, dict):
            each, group = weights_of.get("num_bits", each), weights_of.get("group_size", group)
    algorithm = str(found.get("quant_algo") or "").lower()
    if "mxfp4" in method:
        return 4.25  # a scale of one byte for 32 weights
    if "fp4" in method or "fp4" in algorithm:
        return 4.5  # a scale of one byte for 16 weights
    if isinstance(each, int) and 2 <= each <= 8:
        scales = 16 / group if isinstance(group, int) and group > 0 else 0
        return each + scales * (1.25 if each < 8 else 1)
    if "fp8" in method or "fp8" in algorithm or "int8" in method or method in ("w8a8_fp8", "fbgemm_fp8"):
        return 8.01
    if method == "bitsandbytes":
        return 8 if found.get("load_in_8bit") else 4.5
    return 0 if not method else 16
