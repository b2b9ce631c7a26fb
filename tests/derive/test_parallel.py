"""Sizes that a model's dimensions allow: the table of real models, and each limit by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.derive.parallel import Layout, indivisible, limits, sizes, working
from sgldoctor.facts import Facts
from sgldoctor.probe.model import dimensions

FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
AWQ = {"quantization_config": {"quant_method": "awq", "group_size": 128, "bits": 4}}


def config(heads: int, kv: int, hidden: int, intermediate: int, **more: Any) -> dict[str, Any]:
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        **more,
    }


QWEN_7B = config(28, 4, 3584, 18944)
QWEN_72B = config(64, 8, 8192, 29568)
LLAMA_8B = config(32, 8, 4096, 14336)
LLAMA_70B = config(64, 8, 8192, 28672)
DEEPSEEK_R1 = config(
    128, 128, 7168, 18432, n_routed_experts=256, n_shared_experts=1, moe_intermediate_size=2048,
    first_k_dense_replace=3, moe_layer_freq=1, kv_lora_rank=512, q_lora_rank=1536, qk_nope_head_dim=128,
    qk_rope_head_dim=64, v_head_dim=128, **FP8,
)  # fmt: skip


def model(values: dict[str, Any]) -> dict[str, Any]:
    row, odd = dimensions(values)
    assert not odd
    return row


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(QWEN_7B, [1, 2, 4], id="qwen2.5-7b"),
        pytest.param(QWEN_72B, [1, 2, 4, 8, 16, 32, 64], id="qwen2.5-72b"),
        pytest.param({**QWEN_72B, **FP8}, [1], id="qwen2.5-72b-blocks"),
        pytest.param({**QWEN_72B, **AWQ}, [1], id="qwen2.5-72b-groups"),
        pytest.param(LLAMA_8B, [1, 2, 4, 8, 16, 32], id="llama-3-8b"),
        pytest.param({**LLAMA_8B, **FP8}, [1, 2, 4, 8, 16], id="llama-3-8b-blocks"),
        pytest.param(LLAMA_70B, [1, 2, 4, 8, 16, 32, 64], id="llama-3-70b"),
        pytest.param({**LLAMA_70B, **FP8}, [1, 2, 4, 8, 16, 32], id="llama-3-70b-blocks"),
        pytest.param(DEEPSEEK_R1, [1, 2, 4, 8, 16], id="deepseek-r1"),
    ],
)
def test_sizes_that_really_work(values: dict[str, Any], expected: list[int]) -> None:
    assert working(model(values)) == expected


def test_deepseek_on_32_needs_expert_parallelism_and_whole_dense_layers() -> None:
    row = model(DEEPSEEK_R1)
    assert [(x.dimension, x.size, x.kind) for x in limits(row, Layout(32))] == [
        ("intermediate size", 18432, "block"),
        ("expert intermediate size", 2048, "block"),
    ]
    assert [x.dimension for x in limits(row, Layout(32, ep=32))] == ["intermediate size"]
    assert limits(row, Layout(32, ep=32, dense_tp=1)) == []
    assert limits(row, Layout(64, ep=0, dense_tp=1, a2a=True)) == []


def test_the_seven_of_qwen_fails_on_kv_heads_and_28_on_the_intermediate_size() -> None:
    seven, twenty_eight = sizes(model(QWEN_7B), [7, 28])
    assert [x.dimension for x in seven.limits] == ["KV heads", "intermediate size"]
    assert [(x.dimension, x.by) for x in twenty_eight.limits] == [("intermediate size", 28)]


def test_attention_groups_relax_heads_but_not_the_feed_forward_layers() -> None:
    row = model(config(12, 12, 1536, 8960))
    assert [x.dimension for x in limits(row, Layout(8))] == ["attention heads"]
    assert limits(row, Layout(8, attn_dp=2)) == []
    assert [x.dimension for x in limits(row, Layout(8, attn_dp=3))] == ["tensor parallel size"]


def test_experts_are_counted_and_split() -> None:
    row = model(config(32, 4, 2048, 6144, num_experts=60, moe_intermediate_size=768))
    assert not row["dense_layers"], "without dense layers the intermediate size limits nothing"
    assert limits(row, Layout(8, ep=4)) == []
    assert [(x.dimension, x.by) for x in limits(row, Layout(8, ep=8))] == [("experts", 8)]
    assert [x.dimension for x in limits(row, Layout(8, ep=3))] == ["tensor parallel size"]
    blocks = model(config(32, 4, 2048, 6144, num_experts=128, moe_intermediate_size=768, head_dim=128, **FP8))
    assert working(blocks, [1, 2, 4, 8]) == [1, 2]


def test_no_size_below_one() -> None:
    (only,) = limits(model(LLAMA_8B), Layout(0))
    assert (only.dimension, only.size, only.kind) == ("tensor parallel size", 0, "plain")


def test_kv_heads_are_divided_or_repeated_evenly() -> None:
    row = model(config(36, 12, 4608, 36 * 1024))
    assert [(x.dimension, x.size, x.by) for x in limits(row, Layout(9))] == [("KV heads", 12, 9)]
    assert [x.note for x in limits(row, Layout(18))] == ["12 KV heads cannot be repeated evenly over 18 GPUs"]
    assert limits(row, Layout(36)) == []


def test_latent_attention_is_split_into_whole_blocks() -> None:
    values = {**DEEPSEEK_R1, "num_attention_heads": 16, "qk_nope_head_dim": 48, "qk_rope_head_dim": 16}
    narrow = model(
        {**values, "v_head_dim": 80}
    )  # a query of 64, keys and values of 128 for each head: blocks are of 128
    assert [(x.dimension, x.size) for x in limits(narrow, Layout(16, ep=16, dense_tp=1))] == [
        ("query width", 1024), ("attention output width", 1280)
    ]  # fmt: skip


def test_what_the_model_does_not_state_limits_nothing() -> None:
    assert working({}, [1, 3, 64]) == [1, 3, 64]


@given(st.dictionaries(st.sampled_from(list(model(DEEPSEEK_R1))), st.integers(1, 1 << 20)), st.integers(-2, 100))
def test_any_sizes_give_an_answer(row: dict[str, Any], tp: int) -> None:
    for lists in ("block", "vision_heads"):
        row.pop(lists, None)
    assert isinstance(limits(row, Layout(tp)), list)


def launched(values: dict[str, Any], **options: str | None) -> Facts:
    facts = Facts()
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    facts.put("model", {**model(values), "path": "m"}, "probe")
    rows = [
        {"flag": "--" + name.replace("_", "-"), "value": value or "", "given": "", "known": value is not None}
        for name, value in options.items()
    ]
    facts.put("launch.option", rows, "derived")
    return indivisible(facts)


def test_a_launch_line_that_does_not_divide() -> None:
    found = launched(QWEN_7B, tp_size="7")
    assert [(row["dimension"], row["size"], row["by"]) for row in found.rows("launch.indivisible")] == [
        ("KV heads", 4, 7),
        ("intermediate size", 18944, 7),
    ]
    assert found.rows("launch.indivisible")[0]["works"] == [1, 2, 4]


def test_a_launch_line_that_does() -> None:
    assert launched(QWEN_7B, tp_size="4").rows("launch.indivisible") == ()
    spread = {"tp_size": "32", "moe_a2a_backend": "deepep", "moe_dense_tp_size": "1"}
    assert launched(DEEPSEEK_R1, **spread).rows("launch.indivisible") == ()
    grouped = {"tp_size": "8", "dp_size": "2", "enable_dp_attention": ""}
    assert launched(config(12, 12, 1536, 8960), **grouped).rows("launch.indivisible") == ()


def test_a_size_from_an_unknown_variable_is_not_judged() -> None:
    found = launched(QWEN_7B, tp_size=None)
    assert not found.known("launch.indivisible")
    assert [entry.what for entry in found.unknown] == ["parallel sizes"]


def test_the_vocabulary_limits_odd_sizes_until_a_release_pads_it() -> None:
    phi = config(40, 10, 5120, 17920, vocab_size=100352)
    assert working(model(phi), [1, 2, 5, 10]) == [1, 2, 5, 10]
    assert working(model(phi), [1, 2, 5, 10], Layout(1, vocabulary=64)) == [1, 2]
    assert [row["dimension"] for row in launched(phi, tp_size="5").rows("launch.indivisible")] == ["vocabulary size"]
