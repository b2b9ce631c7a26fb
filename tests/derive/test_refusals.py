"""SGLang's argument checks as conditions: three-valued, and never against a line that says nothing."""

from __future__ import annotations

import pytest

from sgldoctor.derive import refusals as module
from sgldoctor.derive.effective import read
from sgldoctor.derive.launch import options
from sgldoctor.derive.refusals import PRESUMED_FALSE, PRESUMED_TRUE, UNKNOWN, refusals
from sgldoctor.facts import Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.releases import load
from sgldoctor.launch import facts_of

NEWEST = flags.releases()[-1]


def refused(
    line: str, version: str, *, capability: str = "", model: Row | None = None, memory: int | None = None
) -> list[Row]:
    facts = facts_of(f"python -m sglang.launch_server --model-path m {line}")
    facts.put("sglang", {"version": version}, "probe")
    if capability:
        row: Row = {"index": 0, "capability": capability, **({"memory_total_mib": memory} if memory else {})}
        facts.put("gpus", row, "probe")
    if model:
        facts.put("model", model, "probe")
    facts.merge(options(facts))
    return refusals(read(facts))


@pytest.mark.parametrize("version", flags.releases())
def test_a_plain_line_is_refused_in_no_release(version: str) -> None:
    assert refused("--port 30000 --host 0.0.0.0 --tp-size 1", version) == []


@pytest.mark.parametrize(
    ("line", "version", "kind", "guilty", "words"),
    [
        ("--tp 3 --nnodes 2", "0.5.8", "sizes", ["--nnodes"], "tp_size must be divisible"),
        ("--grpc-port 8000 --port 8000", "0.5.16", "arguments", ["--grpc-port", "--port"], "(8000) must differ"),
        ("--swa-full-tokens-ratio 1.5", "0.5.8", "arguments", ["--swa-full-tokens-ratio"], "range (0, 1.0]"),
        ("--gc-threshold 1 2 3 4", "0.5.13", "arguments", ["--gc-threshold"], "1 to 3 integers"),
    ],
)
def test_refusals_name_the_guilty_options(line: str, version: str, kind: str, guilty: list[str], words: str) -> None:
    (row,) = refused(line, version)
    assert (row["kind"], sorted(row["flags"])) == (kind, sorted(guilty))
    assert words in row["note"]


def test_what_is_not_known_refuses_nothing() -> None:
    assert refused("--tp 3 --nnodes $NODES", "0.5.8") == []
    assert refused("--attention-backend trtllm_mla", "0.5.8") == []  # which GPU?
    assert [row["kind"] for row in refused("--attention-backend trtllm_mla", "0.5.8", capability="9.0")] == [
        "backend-gpu"
    ]
    assert refused("--attention-backend trtllm_mla", "0.5.8", capability="10.0") == []


def test_what_sglang_sets_by_itself_counts_from_then_on() -> None:
    # Pipeline parallelism switches the overlap schedule off before the check that wants it off.
    assert refused("--pp-size 2", "0.5.8") == []
    # deepep makes ep equal to tp, which the balancer needs.
    assert refused("--enable-eplb --tp 8", "0.5.8") != []
    assert refused("--enable-eplb --tp 8 --moe-a2a-backend deepep", "0.5.8") == []


def test_a_model_that_sglang_treats_specially_is_taken_as_such() -> None:
    line = "--attention-backend flashinfer"
    assert refused(line, "0.5.8", model={"architectures": ["LlamaForCausalLM"]}) == []
    assert refused(line, "0.5.8", model={"architectures": ["GptOssForCausalLM"]}) != []


@pytest.mark.parametrize("version", ["0.5.5", "0.5.8", "0.5.16"])
def test_a_part_of_a_name_tells_a_family_of_models(version: str) -> None:
    # "Llama4" in model_arch
    family: Row = {"architectures": ["Llama4ForConditionalGeneration"]}
    assert refused("--attention-backend flashinfer", version, capability="9.0", model=family) != []
    assert refused("--attention-backend fa3", version, capability="9.0", model=family) == []
    other: Row = {"architectures": ["LlamaForCausalLM"]}
    assert refused("--attention-backend flashinfer", version, capability="9.0", model=other) == []


def test_other_devices_are_not_judged() -> None:
    assert refused("--device cpu --tp 3 --nnodes 2", "0.5.8") == []


@pytest.mark.parametrize(
    ("kind", "values", "result"),
    [
        ("and", [True, UNKNOWN, False], False),
        ("and", [True, UNKNOWN], UNKNOWN),
        ("and", [PRESUMED_FALSE, UNKNOWN], PRESUMED_FALSE),
        ("or", [False, PRESUMED_TRUE], PRESUMED_TRUE),
        ("or", [UNKNOWN, True], True),
        ("or", [False, False], False),
    ],
)
def test_three_values(kind: str, values: list[object], result: object) -> None:
    assert module._combined(kind, values) is result


def test_every_condition_names_nodes_before_it_and_arguments_of_its_releases() -> None:
    data = load("launch-refusals.json")
    for at, node in enumerate(data["nodes"]):
        kind, _, operands = node.partition(" ")
        if kind not in ("c", "gpu", *module._NAMED):
            assert all(int(part) < at for part in operands.split())
    for text in data["refusals"][::20]:
        spans, _, names, *_ = text.split("\t")
        for span in spans.split(","):
            for end in map(int, span.split("-")):
                known = {flag.dest for flag in flags.table(data["releases"][end]).values()}
                assert set(names.split()) <= {*known, module._MEMORY}


PLAIN: Row = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "mla": False}


@pytest.mark.parametrize(("mib", "stops"), [(12 * 1024, True), (24 * 1024, True), (80 * 1024, False), (None, False)])
def test_a_default_that_follows_the_size_of_the_gpu_counts_where_the_size_is_known(
    mib: int | None, stops: bool
) -> None:
    # Chunks of 2048 tokens on the smallest GPUs, of 8192 on those of 80 GB.
    found = refused("--page-size 4096", "0.5.8", capability="9.0", model=PLAIN, memory=mib)
    assert [row["note"] for row in found] == (["chunked_prefill_size must be divisible by page_size"] if stops else [])


def test_what_holds_on_gpus_of_any_size_needs_no_size() -> None:
    (row,) = refused("--page-size 96", "0.5.8", capability="9.0", model=PLAIN)
    assert row["note"] == "chunked_prefill_size must be divisible by page_size"
    assert row["flags"] == ["--page-size"]
