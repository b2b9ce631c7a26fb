"""A model's config.json, in a folder and in the hub cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.facts import Facts
from sgldoctor.probe.model import dimensions, model
from sgldoctor.probe.target import Target

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def target(root: Path, **environ: str) -> Target:
    return Target(str(root), "", "", (), "", environ, "test", "venv")


def put(path: Path, config: Any) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")


def why(facts: Facts) -> str:
    assert not facts.known("model")
    (entry,) = facts.unknown
    assert entry.what == "model"
    return entry.because


def test_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "models/llama", LLAMA)
    row = model(target(tmp_path), "/models/llama").one("model")
    assert row["path"] == "/models/llama"
    assert (row["heads"], row["kv_heads"], row["head_dim"], row["hidden"]) == (32, 8, 128, 4096)
    assert (row["experts"], row["block"], row["group"], row["context"]) == (0, [], 0, 8192)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/root"}, "root/.cache/huggingface/hub"),
        ({"HOME": "/root", "XDG_CACHE_HOME": "/x"}, "x/huggingface/hub"),
        ({"HOME": "/root", "HF_HOME": "/data/hf"}, "data/hf/hub"),
        ({"HF_HOME": "/data/hf", "HF_HUB_CACHE": "/cache"}, "cache"),
    ],
)
def test_the_hub_cache(tmp_path: Path, environ: dict[str, str], folder: str) -> None:
    repository = tmp_path / folder / "models--meta--llama"
    put(repository / "snapshots/old", {**LLAMA, "num_attention_heads": 64})
    put(repository / "snapshots/abc", LLAMA)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("abc", encoding="utf-8")
    assert model(target(tmp_path, **environ), "meta/llama").value("model", "heads") == 32


def test_a_download_dir_takes_the_place_of_the_cache(tmp_path: Path) -> None:
    put(tmp_path / "big/models--meta--llama/snapshots/abc", LLAMA)
    assert model(target(tmp_path), "meta/llama", cache="/big").value("model", "heads") == 32


def test_models_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "root/.cache/huggingface/hub/models--a--b/snapshots").mkdir(parents=True)
    here = target(tmp_path, HOME="/root")
    assert "does not exist" in why(model(here, "/nowhere"))
    assert "holds no config.json" in why(model(here, "/empty"))
    assert "not in the local hub cache" in why(model(here, "meta/llama"))
    assert "without its config.json" in why(model(here, "a/b"))
    assert "neither a folder nor a hub id" in why(model(here, "a/b/../../c"))
    assert "not known" in why(model(target(tmp_path), "meta/llama"))
    assert "no model path" in why(model(here, ""))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"a": ', "\udce4\udce4", "[" * 100_000])
def test_a_broken_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "JSON" in why(model(target(tmp_path), "/m"))


def test_a_huge_file(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with open(tmp_path / "m/config.json", "wb") as file:
        file.truncate(9 << 20)
    assert "larger than" in why(model(target(tmp_path), "/m"))


@pytest.mark.parametrize("value", [0, -8, "32", True, 3.5, [32], {"a": 1}, 10**30])
def test_absurd_sizes_are_unknown_with_the_reason(tmp_path: Path, value: Any) -> None:
    put(tmp_path / "m", {**LLAMA, "num_attention_heads": value})
    facts = model(target(tmp_path), "/m")
    assert facts.value("model", "heads") is None
    assert facts.value("model", "kv_heads") == 8
    assert "model num_attention_heads" in [entry.what for entry in facts.unknown]


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config", "thinker_config"])
def test_nested_configs(key: str) -> None:
    row, odd = dimensions({"model_type": "x", key: LLAMA, "vision_config": {"num_heads": 16}})
    assert (row["heads"], row["vision_heads"], row["model_type"], odd) == (32, 16, "x", [])


def test_an_omni_model_nests_twice() -> None:
    row, _ = dimensions({"thinker_config": {"text_config": LLAMA, "vision_config": {"num_heads": 16}}})
    assert (row["heads"], row["vision_heads"], row["vision"]) == (32, 16, False)


def test_a_vision_tower_need_not_say_its_heads() -> None:
    """Kimi's towers name their sizes ``vt_hidden_size`` and the like: SGLang then takes what it holds for usual."""
    row, _ = dimensions({**LLAMA, "vision_config": {"vt_num_attention_heads": 16, "vt_hidden_size": 1152}})
    assert (row["vision"], row["vision_heads"], row["vision_hidden"]) == (True, None, None)


@pytest.mark.parametrize(
    ("config", "experts", "size", "dense"),
    [
        ({"num_experts": 128, "moe_intermediate_size": 768, "decoder_sparse_step": 1}, 128, 768, False),
        ({"num_experts": 60, "moe_intermediate_size": 1408, "decoder_sparse_step": 2}, 60, 1408, True),
        ({"n_routed_experts": 256, "moe_intermediate_size": 2048, "first_k_dense_replace": 3}, 256, 2048, True),
        ({"num_local_experts": 8}, 8, 14336, False),
        ({"num_local_experts": 16, "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2}, 16, 14336, True),
    ],
)
def test_experts(config: dict[str, Any], experts: int, size: int, dense: bool) -> None:
    row, _ = dimensions({**LLAMA, **config})
    assert (row["experts"], row["expert_intermediate"], row["dense_layers"]) == (experts, size, dense)


def test_quantization() -> None:
    blocks = {
        "quant_method": "fp8",
        "weight_block_size": [128, 64],
        "modules_to_not_convert": ["lm_head", "visual.attn"],
    }
    row, _ = dimensions({**LLAMA, "quantization_config": blocks})
    assert (row["quantization"], row["block"], row["group"], row["plain_attention"]) == ("fp8", [128, 64], 0, False)
    row, _ = dimensions({**LLAMA, "quantization_config": {"quant_method": "gptq", "group_size": 128}})
    assert (row["block"], row["group"]) == ([], 128)
    row, odd = dimensions({**LLAMA, "quantization_config": {"quant_method": "fp8", "weight_block_size": [0, "x"]}})
    assert (row["block"], [what for what, _ in odd]) == ([], ["weight_block_size"])
    row, _ = dimensions(
        {**LLAMA, "quantization_config": {"quant_method": "fp8", "ignored_layers": ["model.layers.0.self_attn.q_proj"]}}
    )
    assert row["plain_attention"]


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({}, 8192),
        ({"rope_scaling": {"factor": 4.0, "type": "linear"}}, 32768),
        ({"rope_scaling": {"factor": 4.0, "type": "yarn", "original_max_position_embeddings": 8192}}, 8192),
        ({"rope_scaling": {"factor": 8.0, "rope_type": "llama3"}}, 8192),
        ({"model_max_length": 1000}, 1000),
        ({"rope_scaling": {"factor": "x"}}, None),
        ({"max_position_embeddings": None}, None),
    ],
)
def test_the_longest_context(config: dict[str, Any], context: int | None) -> None:
    row, _ = dimensions({**LLAMA, **config})
    assert row["context"] == context


def test_latent_attention() -> None:
    row, _ = dimensions(
        {**LLAMA, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    )
    assert (row["mla"], row["qk_nope_head_dim"], row["v_head_dim"]) == (True, 128, 128)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    *LLAMA, "text_config", "thinker_config", "vision_config", "quantization_config", "kv_lora_rank", "num_experts",
    "n_routed_experts", "num_local_experts", "moe_layer_freq", "first_k_dense_replace", "mlp_only_layers",
    "attn_config", "decoder_sparse_step", "multi_query", "weight_block_size", "group_size", "modules_to_not_convert",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)))
def test_any_object_gives_a_row(config: dict[str, Any]) -> None:
    row, _ = dimensions(config)
    json.dumps(row)
    from sgldoctor.derive.parallel import working

    working(row, [1, 2, 8])
