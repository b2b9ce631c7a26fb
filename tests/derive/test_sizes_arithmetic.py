"""Every size from 1 to 64 against the constraints of SGLang 0.5.8 as plain arithmetic over config.json, written apart.

Each line names the file of ``sglang/srt`` whose assert it is. Nothing here uses the code under test; what SGLang itself
said of these sizes (``sizes/real/0.5.8.json``) has to agree with it as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.derive.parallel import Layout, limits
from sgldoctor.probe.model import dimensions

SIZES = Path(__file__).parent / "sizes"
CONFIGS: dict[str, dict[str, Any]] = json.loads((SIZES / "configs.json").read_text(encoding="utf-8"))
REAL: dict[str, str] = json.loads((SIZES / "real/0.5.8.json").read_text(encoding="utf-8"))

DENSE = {"num_hidden_layers": 1, "vocab_size": 151936, "model_type": "x"}
NESTED: dict[str, dict[str, Any]] = {
    "qwen2.5-vl-7b": {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], **DENSE, "hidden_size": 3584,
        "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vision_config": {"num_heads": 16, "hidden_size": 1280},
    },
    "qwen3-vl-235b": {
        "architectures": ["Qwen3VLMoeForConditionalGeneration"],
        "text_config": {
            **DENSE, "hidden_size": 4096, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
            "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_experts": 128, "decoder_sparse_step": 1,
        },
        "vision_config": {"num_heads": 16, "hidden_size": 1152},
    },
    "gemma3-27b": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": {
            **DENSE, "vocab_size": 262208, "hidden_size": 5376, "num_attention_heads": 32, "num_key_value_heads": 16,
            "head_dim": 128, "intermediate_size": 21504,
        },
        "vision_config": {"num_attention_heads": 16, "hidden_size": 1152},
    },
    "llama4-scout": {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": {
            **DENSE, "vocab_size": 202048, "hidden_size": 5120, "num_attention_heads": 40, "num_key_value_heads": 8,
            "head_dim": 128, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_local_experts": 16,
            "interleave_moe_layer_step": 1,
        },
        "vision_config": {"num_attention_heads": 16, "hidden_size": 1408},
    },
}  # fmt: skip


def works(config: dict[str, Any], tp: int) -> bool:
    """Whether tensor parallelism of this size passes SGLang's asserts (no expert or data parallelism)."""
    text = config.get("text_config", config)
    heads, kv = text["num_attention_heads"], text.get("num_key_value_heads", text["num_attention_heads"])
    mla = bool(text.get("kv_lora_rank"))
    if heads % tp:  # models/*.py: assert self.total_num_heads % tp_size == 0
        return False
    if not mla and (kv % tp if kv >= tp else tp % kv):  # models/*.py: total_num_kv_heads, either way
        return False
    vision = config.get("vision_config")
    if vision and vision.get("num_heads", vision.get("num_attention_heads")) % tp:  # layers/attention/vision.py: divide
        return False
    if (-(-text["vocab_size"] // 64) * 64) % tp:  # layers/vocab_parallel_embedding.py: pad_vocab_size, then divide
        return False
    experts = text.get("n_routed_experts") or text.get("num_experts") or text.get("num_local_experts") or 0
    if experts and not text.get("num_local_experts") and tp > experts:  # models: "greater than the number of experts"
        return False
    expert = text.get("moe_intermediate_size") or text["intermediate_size"]
    dense = text.get("intermediate_size_mlp") or text["intermediate_size"]
    first = text.get("first_k_dense_replace", 0) or text.get("mlp_only_layers")
    # fused_moe_triton/layer.py: intermediate_size % moe_tp_size; distributed/utils.py:ensure_divisibility for the rest
    pieces = ([expert] if experts else []) + ([dense] if first or not experts else [])
    if text.get("shared_expert_intermediate_size"):
        pieces.append(text["shared_expert_intermediate_size"])
    return not any(size % tp for size in pieces)


PLAIN = [name for name, config in CONFIGS.items() if "quantization_config" not in config]


@pytest.mark.parametrize("name", [*PLAIN, *NESTED])
def test_every_size_agrees(name: str) -> None:
    config = NESTED.get(name) or CONFIGS[name]
    row, odd = dimensions(config)
    assert not odd
    ours = [tp for tp in range(1, 65) if not limits(row, Layout(tp, vocabulary=64))]
    assert ours == [tp for tp in range(1, 65) if works(config, tp)]


@pytest.mark.parametrize("name", PLAIN)
def test_the_arithmetic_agrees_with_sglang_itself(name: str) -> None:
    said = {int(layout.removesuffix("/1")) for layout in REAL[name].split() if layout.endswith("/1")}
    assert said == {tp for tp in range(1, 65) if works(CONFIGS[name], tp)}


def test_a_whole_vision_tower_limits_nothing() -> None:
    row, _ = dimensions(NESTED["qwen3-vl-235b"])
    assert [limit.dimension for limit in limits(row, Layout(32))] == ["vision attention heads"]
    assert limits(row, Layout(32, encoder_whole=True)) == []
