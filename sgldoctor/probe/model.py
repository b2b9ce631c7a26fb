"""The model's ``config.json``, from a folder or the local hub cache, as the fact ``model``. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from sgldoctor.errors import unreadable
from sgldoctor.facts import Facts, Row
from sgldoctor.lazy import lazy
from sgldoctor.probe.target import Target
from sgldoctor.typed import Any

LIMIT = 8 << 20
"""Largest config.json that is read, in bytes; real ones have a few KiB."""

_LARGEST = 1 << 24  # no dimension of a model comes near; beyond it a number is damage
REPOSITORY = lazy(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?\Z")
_EXPERT_SIZES = ("moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
# CONTEXT_LENGTH_KEYS of sglang/srt/utils/hf_transformers/common.py (0.5.23).
_CONTEXT = ("max_sequence_length", "seq_length", "max_seq_len", "model_max_length", "max_position_embeddings")
# The order of get_hf_text_config in the same file.
_NESTED = ("thinker_config", "llm_config", "language_config", "text_config")


def model(
    target: Target, name_or_path: str, *, cache: str = "", revision: str = "main", with_memory: bool = False
) -> Facts:
    """The fact ``model`` for a folder or a hub id; ``model`` stays unknown, with the reason, where it cannot be read.

    ``with_memory`` adds ``model.parts`` and ``model.cache``, what weights and KV cache take. ``cache`` is the value of
    ``--download-dir``, which takes the place of the hub's own folder.
    """
    facts = Facts()
    path, because = find(target, name_or_path, cache=cache, revision=revision)
    if not path:
        facts.put_unknown("model", because)
        return facts
    config, because = load(path)
    if config is None:
        facts.put_unknown("model", because)
        return facts
    row, odd = dimensions(config)
    row["path"] = name_or_path
    facts.put("model", row, "probe")
    for what, why in odd:
        facts.put_unknown(f"model {what}", why)
    if with_memory:
        from sgldoctor.probe.weights import weights

        facts.merge(weights(os.path.dirname(path), config, _text(config), row))
    return facts


def find(target: Target, name: str, *, cache: str = "", revision: str = "main") -> tuple[str, str]:
    """The path of the model's ``config.json``, or ``""`` and the reason."""
    if not name or "\0" in name or len(name) > 4096:
        return "", "no model path was given"
    home = target.environ.get("HOME", "")
    if name.startswith("~/") and home:
        name = os.path.join(home, name[2:])
    folder = target.path(name) if os.path.isabs(name) else name if target.live else ""
    if folder and os.path.isdir(folder):
        path = os.path.join(folder, "config.json")
        return (path, "") if os.path.isfile(path) else ("", f"{name} holds no config.json")
    if folder and os.path.isfile(folder):
        return "", f"{name} is a single file; its dimensions are not in a config.json"
    if os.path.isabs(name):
        return "", f"{name} does not exist"
    if not REPOSITORY.match(name):
        return "", f"{name[:120]} is neither a folder nor a hub id"
    hub = target.path(cache) if cache else hub_folder(target)
    if not hub:
        return "", "the folder of the hub cache is not known"
    repository = os.path.join(hub, "models--" + name.replace("/", "--"))
    if not os.path.isdir(repository):
        return "", f"{name} is not in the local hub cache"
    return _snapshot(repository, name, revision)


def hub_folder(target: Target) -> str:
    """The hub's cache folder by its own rules (huggingface_hub/constants.py), ``""`` if nothing says where."""
    environ = target.environ
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(variable):
            return target.path(environ[variable])
    home = environ.get("HOME", "")
    base = environ.get("HF_HOME") or (
        os.path.join(environ["XDG_CACHE_HOME"], "huggingface") if environ.get("XDG_CACHE_HOME")
        else os.path.join(home, ".cache", "huggingface") if home else ""
    )  # fmt: skip
    if base.startswith("~/") and home:
        base = os.path.join(home, base[2:])
    return target.path(os.path.join(base, "hub")) if base else ""


def _snapshot(repository: str, name: str, revision: str) -> tuple[str, str]:
    snapshots = os.path.join(repository, "snapshots")
    try:
        with open(os.path.join(repository, "refs", revision), encoding="utf-8", errors="replace") as file:
            commit = file.read(200).strip()
    except OSError:
        commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision) else ""
    if commit and "/" not in commit and ".." not in commit:
        path = os.path.join(snapshots, commit, "config.json")
        if os.path.isfile(path):
            return path, ""
    found = []
    try:
        with os.scandir(snapshots) as entries:
            for entry in entries:
                path = os.path.join(entry.path, "config.json")
                if os.path.isfile(path):
                    found.append((entry.stat().st_mtime, path))
    except OSError:
        pass
    if not found:
        return "", f"{name} is in the hub cache without its config.json"
    return max(found)[1], ""


def load(path: str) -> tuple[dict[str, Any] | None, str]:
    """The object in a ``config.json``, or None and the reason."""
    try:
        if os.path.getsize(path) > LIMIT:
            return None, f"{path} is larger than {LIMIT >> 20} MiB: not a model's config.json"
        with open(path, "rb") as file:
            config = json.loads(file.read(LIMIT))
    except OSError as error:
        return None, str(unreadable(path, error))
    except (ValueError, RecursionError):
        return None, f"{path} is not valid JSON"
    return (config, "") if isinstance(config, dict) else (None, f"{path} is no JSON object")


def dimensions(config: Mapping[str, Any]) -> tuple[Row, list[tuple[str, str]]]:
    """The columns of the fact ``model`` (without ``path``) and what in the config makes no sense, with the reason.

    A dimension that the config does not state is None: what rests on it is then not judged.
    """
    odd: list[tuple[str, str]] = []
    text = _text(config)

    def number(*keys: str, source: Mapping[str, Any] = text) -> int | None:
        for key in keys:
            value = source.get(key)
            if value is None:
                continue
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST:
                return value
            odd.append((key, f"config.json says {json.dumps(value, default=str)[:60]}"))
            return None
        return None

    heads = number("num_attention_heads", "n_head", "n_heads")
    hidden = number("hidden_size", "n_embd", "d_model")
    rank = text.get("kv_lora_rank")
    mla = isinstance(rank, int) and not isinstance(rank, bool) and rank > 0 and text.get("use_mla") is not False
    routed = "n_routed_experts" if text.get("n_routed_experts") is not None else "num_experts"
    counted = text.get(routed) or text.get("num_local_experts") or 0
    experts = (number(routed, "num_local_experts", "moe_num_experts") or 0) if counted not in (0, 1) else 0
    intermediate = number("intermediate_size_mlp", "intermediate_size", "ffn_hidden_size", "n_inner")
    row: Row = {
        "architectures": [str(name)[:120] for name in _list(config.get("architectures"))[:4]],
        "model_type": str(config.get("model_type") or "")[:80],
        "heads": heads,
        "kv_heads": _kv_heads(text, number, heads),
        "head_dim": number("head_dim") or (hidden // heads if hidden and heads else None),
        "hidden": hidden,
        "intermediate": intermediate,
        "layers": number("num_hidden_layers", "n_layer", "num_layers"),
        "vocab": number("vocab_size"),
        "context": _context(text, number(*_CONTEXT)),
        "mla": mla,
        "experts": experts,
        "experts_checked": bool(experts) and text.get("num_local_experts") is None,
        "expert_intermediate": number(*_EXPERT_SIZES) if experts else None,
        "dense_layers": _dense_layers(text, experts),
        "shared_intermediate": number("shared_expert_intermediate_size") if experts else None,
        "vision": isinstance(config.get("vision_config"), dict),
        "vision_heads": None,
        "vision_layers": None,
        "vision_hidden": None,
    }
    for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
        row[key] = number(key) if mla else None
    vision = config.get("vision_config")
    if not isinstance(vision, dict) and isinstance(config.get("thinker_config"), dict):
        vision = config["thinker_config"].get("vision_config")
    if isinstance(vision, dict):
        row["vision_heads"] = number("num_heads", "num_attention_heads", source=vision)
        row["vision_layers"] = number("num_hidden_layers", source=vision)
        row["vision_hidden"] = number("hidden_size", source=vision)
    row.update(_quantization(config, text, odd))
    return row, odd


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model."""
    names = _list(config.get("architectures"))
    if names and str(names[0]).startswith("Llava") and str(names[0]).endswith("ForCausalLM"):
        return config  # its own implementation, which does not use the nested part
    for key in _NESTED:
        part = config.get(key)
        if isinstance(part, dict):
            inner = part.get("text_config")
            return inner if key == "thinker_config" and isinstance(inner, dict) else part
    return config


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kv_heads(text: Mapping[str, Any], number: Any, heads: int | None) -> int | None:
    """Names and order of sglang/srt/configs/model_config.py:get_total_num_kv_heads (0.5.23)."""
    if text.get("multi_query") is True and not text.get("new_decoder_architecture"):
        return 1
    attention = text.get("attn_config")
    if isinstance(attention, dict) and attention.get("kv_n_heads") is not None:
        found = number("kv_n_heads", source=attention)
        return found if isinstance(found, int) else None
    keys = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
    if any(text.get(key) is not None for key in keys):
        found = number(*keys)
        return found if isinstance(found, int) else None
    return heads


def _context(text: Mapping[str, Any], length: int | None) -> int | None:
    """The longest context as get_context_length of the same file derives it (alike in 0.5.2, 0.5.8 and 0.5.23)."""
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    if length is None or not isinstance(scaling, dict):
        return length
    factor = scaling.get("factor", 1)
    if "original_max_position_embeddings" in scaling or scaling.get("rope_type") == "llama3":
        factor = 1
    plain = isinstance(factor, (int, float)) and not isinstance(factor, bool) and 0 < factor < _LARGEST
    return int(length * factor) if plain else None


def _dense_layers(text: Mapping[str, Any], experts: int) -> bool:
    """Whether the model has feed-forward layers that are not split into experts."""
    if not experts:
        return True
    first = text.get("first_k_dense_replace")
    if isinstance(first, int) and first > 0:
        return True
    if _list(text.get("mlp_only_layers")) or 0 in _list(text.get("moe_layer_freq")):
        return True
    steps = (text.get("decoder_sparse_step"), text.get("interleave_moe_layer_step"), text.get("moe_layer_freq"))
    return any(isinstance(step, int) and not isinstance(step, bool) and step > 1 for step in steps)


def _quantization(config: Mapping[str, Any], text: Mapping[str, Any], odd: list[tuple[str, str]]) -> Row:
    found = config.get("quantization_config") or text.get("quantization_config") or config.get("compression_config")
    quantization: Mapping[str, Any] = found if isinstance(found, dict) else {}
    block = quantization.get("weight_block_size")
    group = quantization.get("group_size", quantization.get("q_group_size"))
    method = str(quantization.get("quant_method") or quantization.get("quant_algo") or "")[:40]
    if block is not None and not (
        isinstance(block, list) and len(block) == 2 and all(type(n) is int and 0 < n <= _LARGEST for n in block)
    ):
        odd.append(("weight_block_size", f"config.json says {json.dumps(block, default=str)[:60]}"))
        block = None
    if type(group) is not int or not 0 < group <= _LARGEST:
        group = 0
    skipped = _list(quantization.get("modules_to_not_convert")) or _list(quantization.get("ignored_layers"))
    names = [name for name in skipped if isinstance(name, str) and "vis" not in name.lower()]
    return {
        "quantization": method,
        "block": block or [],
        "group": group if method in ("gptq", "awq", "gptq_marlin", "awq_marlin") else 0,
        "plain_attention": any("attn" in name or "attention" in name for name in names),
        "plain_mlp": any(re.search(r"mlp(?!\.gate\b|\.shared_expert_gate\b)", name) for name in names),
    }
