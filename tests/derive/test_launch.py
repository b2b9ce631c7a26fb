"""What a release refuses, warns of or contradicts in a launch line; what machine and environment lack for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.derive.devices import devices, packages
from sgldoctor.derive.launch import derive, options
from sgldoctor.facts import Facts
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.releases import load
from sgldoctor.launch import facts_of

NEWEST = flags.releases()[-1]


def judged(line: str, version: str = "") -> Facts:
    """The facts of bare options or a whole line, judged by a release."""
    facts = facts_of(line if "sglang" in line else f"python -m sglang.launch_server {line}")
    if version:
        facts.put("sglang", {"version": version}, "probe")
    facts.merge(options(facts))
    return facts


def invalid(line: str, version: str = "") -> list[tuple[str, str]]:
    return [(row["kind"], row["flag"]) for row in judged(f"--model-path m {line}", version).rows("launch.invalid")]


def row(line: str, version: str = "") -> dict[str, Any]:
    (found,) = judged(f"--model-path m {line}", version).rows("launch.invalid")
    return found


@pytest.mark.parametrize(
    ("line", "version", "successor", "since"),
    [
        ("--enable-ep-moe --tp 4", "0.5.8", "--ep-size 4", "0.5.4.post1"),
        ("--enable-deepep-moe", "0.5.8", "--moe-a2a-backend deepep", "0.5.4.post1"),
        ("--enable-triton-kernel-moe", "0.5.8", "--moe-runner-backend triton_kernel", "0.5.4.post1"),
        ("--enable-flashinfer-trtllm-moe", "0.5.8", "--moe-runner-backend flashinfer_trtllm", "0.5.4.post1"),
        ("--enable-flashmla", "0.5.8", "--attention-backend flashmla", "0.4.10.post2"),
        ("--max-micro-batch-size 4", "0.5.8", "--pp-max-micro-batch-size", "0.5.3.post1"),
        ("--hybrid-kvcache-ratio", "0.5.14", "--swa-full-tokens-ratio", "0.5.14"),
        ("--disaggregation-decode-tp 2", "0.5.10", "", "0.5.10"),
        ("--enable-nan-detection", "0.5.13", "", "0.5.13"),
        ("--cuda-graph-max-bs 8", "0.5.20", "--cuda-graph-max-bs-decode", "0.5.20"),
        ("--disable-piecewise-cuda-graph", "0.5.20", "--cuda-graph-backend-prefill=disabled", "0.5.20"),
        ("--nsa-prefill-backend fa3", "0.5.20", "--dsa-prefill-backend", "0.5.20"),
        ("--nsa-prefill fa3", "0.5.20", "--dsa-prefill-backend", "0.5.4"),
        ("--enable-prefill-context-parallel", "0.5.20", "--enable-prefill-cp", "0.5.20"),
        ("--prefill-cp-mode in-seq-split", "0.5.20", "--cp-strategy", "0.5.20"),
        ("--stream-output", "0.5.20", "--incremental-streaming-output", "0.5.20"),
        ("--mamba-scheduler-strategy auto", "0.5.20", "--mamba-radix-cache-strategy", "0.5.20"),
        ("--keep-mm-feature-on-device", "0.5.21", "--mm-feature-transport=cuda_ipc", "0.5.21"),
        ("--torchao-config int4wo-128", "0.5.18", "", "0.5.18"),
    ],
)
def test_removed_flags_name_their_successor(line: str, version: str, successor: str, since: str) -> None:
    found = row(line, version)
    assert (found["kind"], found["successor"], found["since"], found["certain"]) == ("removed", successor, since, True)
    before = flags.releases()[flags.releases().index(since) - 1]
    # The release before takes it, be it only to say that it will go.
    assert line.split()[0] in flags.table(before)


@pytest.mark.parametrize(
    ("line", "version", "successor"),
    [
        ("--enable-dp-attention --dp 2", "0.5.22", "--attn-dp-size 2"),
        ("--enable-dp-attention --dp $N", "0.5.22", "--attn-dp-size <dp-size>"),
        ("--disable-cuda-graph", "0.5.14", "--cuda-graph-backend-{decode,prefill}=disabled"),
        ("--grpc-mode", "0.5.16", "--smg-grpc-mode"),
        ("--enable-ep-moe", "0.5.2", "--ep-size 1"),
        ("--enable-deepep-moe", "0.5.2", "--moe-a2a-backend deepep"),
    ],
)
def test_deprecated_flags(line: str, version: str, successor: str) -> None:
    found = row(line, version)
    assert (found["kind"], found["successor"]) == ("deprecated", successor)


def test_a_deprecated_flag_that_stops_the_start_is_as_good_as_gone() -> None:
    assert invalid("--enable-ep-moe", "0.5.4") == [("removed", "--enable-ep-moe")]


@pytest.mark.parametrize(
    ("line", "version", "nearest"),
    [
        ("--tp_size 8", "0.5.8", "--tp-size"),
        ("--tensor-paralel-size 8", "0.5.8", "--tensor-parallel-size"),
        ("-tp 8", "0.5.8", "--tp-size"),
        ("--mem_fraction_static 0.8", "0.5.8", "--mem-fraction-static"),
        ("--max-num-seqs-of-nothing 8", "0.5.8", ""),
    ],
)
def test_misspelt_flags(line: str, version: str, nearest: str) -> None:
    found = row(line, version)
    assert (found["kind"], found["nearest"]) == ("unknown", nearest)


def test_a_typographic_dash() -> None:
    found = row("\u2014tp-size 8", "0.5.8")
    assert (found["kind"], found["nearest"]) == ("stray", "--tp-size")


@pytest.mark.parametrize(
    ("short", "since", "meant"),
    [
        ("--pp", "0.5.3.post1", "--pp-size"),
        ("--attention", "0.5.9", "--attention-backend"),
        ("--trust", "0.5.18", "--trust-remote-code"),
        ("--context", "0.5.21", "--context-length"),
    ],
)
def test_abbreviations_become_ambiguous(short: str, since: str, meant: str) -> None:
    found = row(f"{short} 1", NEWEST)
    assert (found["kind"], found["since"], found["nearest"]) == ("ambiguous", since, meant)
    before = flags.releases()[flags.releases().index(since) - 1]
    assert "ambiguous" not in [kind for kind, _ in invalid(f"{short} 1", before)]


def test_abbreviations_agree_with_what_was_measured_on_argparse() -> None:
    sample = load("server-args.json")["abbreviations"]
    for release, typed in sample.items():
        for short, became in typed.items():
            found = flags.prefixed(short, release)
            exact = short in flags.table(release)
            if became.startswith("ambiguous: "):
                assert not exact
                assert found == sorted(became.removeprefix("ambiguous: ").split(", ")), (release, short)
            else:
                assert (short if exact else found[0]) == became, (release, short)


def test_a_flag_of_a_later_release() -> None:
    found = row("--attn-dp-size 2", "0.5.8")
    assert (found["kind"], found["since"]) == ("newer", "0.5.22")


@pytest.mark.parametrize(
    ("line", "version", "since", "nearest"),
    [
        ("--attention-backend cutlass_mla", NEWEST, "0.5.20", ""),
        ("--attention-backend fa33", "0.5.8", "", "fa3"),
        ("--attention-backend fa4", "0.5.2", "0.5.3", ""),
        ("--quantization qoq", "0.5.16", "0.5.16", ""),
        ("--kv-cache-dtype fp4_e2m1", NEWEST, "0.5.21", ""),
    ],
)
def test_choices(line: str, version: str, since: str, nearest: str) -> None:
    found = row(line, version)
    assert (found["kind"], found["since"], found["nearest"]) == ("choice", since, nearest)
    assert line.split()[1] not in found["choices"]


def test_values_that_do_not_fit() -> None:
    assert invalid("--tp=eight", "0.5.8") == [("type", "--tp")]
    assert invalid("--context-length 8k", "0.5.8") == [("type", "--context-length")]
    assert invalid("--context-length 8k", NEWEST) == []
    assert invalid("--port", "0.5.8") == [("missing", "--port")]
    assert invalid("--trust-remote-code=1", "0.5.8") == [("novalue", "--trust-remote-code")]
    assert invalid("--trust-remote-code True", "0.5.8") == [("stray", "True")]
    assert invalid("--chunked-prefill-size -1", "0.5.8") == []


def test_without_a_release_only_what_every_release_refuses_is_certain() -> None:
    assert row("--no-such-flag")["certain"]
    assert not row("--enable-ep-moe")["certain"]
    assert not row("--attention-backend cutlass_mla")["certain"]
    assert row("--attention-backend nope")["certain"]
    assert invalid("--attn-dp-size 2") == []


def test_a_release_between_two_is_judged_by_both() -> None:
    assert not row("--attn-dp-size 2", "0.5.22.dev1")["certain"]
    assert row("--attn-dp-size 2", "0.5.21.dev1")["certain"]
    assert invalid("--no-such-flag", "0.5.20.dev3+gabc") == [("unknown", "--no-such-flag")]


def test_a_release_newer_than_all_may_have_new_flags() -> None:
    assert not row("--brand-new", "99.0")["certain"]
    assert row("--cuda-graph-max-bs 8", "99.0")["certain"]


def test_sglang_serve() -> None:
    facts = judged("sglang serve meta/llama --tp 2", NEWEST)
    assert facts.rows("launch.invalid") == ()
    assert [(r["flag"], r["value"]) for r in facts.rows("launch.option")] == [
        ("--model-path", "meta/llama"),
        ("--tp-size", "2"),
    ]
    other = judged("sglang serve --model-type diffusion --model-path m --num-gpus 2", NEWEST)
    assert other.rows("launch.invalid") == ()
    found = judged("sglang serve --model-path a/video-model --num-gpus 8 --ring-degree 2", NEWEST)
    assert found.rows("launch.invalid") == ()
    assert "launch options" in [entry.what for entry in other.unknown]


def test_the_router_has_flags_of_its_own() -> None:
    line = "python -m sglang_router.launch_server --model-path m --router-policy random --tp eight"
    assert [(r["kind"], r["flag"]) for r in judged(line, "0.5.8").rows("launch.invalid")] == [("type", "--tp")]


def test_a_model_is_required_unless_something_unknown_may_hold_it() -> None:
    assert [r["kind"] for r in judged("--tp 2", "0.5.8").rows("launch.invalid")] == ["required"]
    assert judged("--tp 2 $ARGS", "0.5.8").rows("launch.invalid") == ()
    assert judged("--tp 2 --config c.yaml", "0.5.8").rows("launch.invalid") == ()


def test_a_command_in_a_log_is_judged_but_its_neighbourhood_is_not() -> None:
    facts = Facts()
    facts.put("sglang", {"version": NEWEST}, "log")
    facts.put("launch", {"command": "python -m sglang.launch_server --cuda-graph-bs 8 fails here", "line": 12}, "log")
    found = derive(facts)
    assert [(r["kind"], r["flag"], r["line"]) for r in found.rows("launch.invalid")] == [
        ("removed", "--cuda-graph-bs", 12)
    ]
    assert found.known("launch.option")


def machine(line: str, gpus: int, **environment: str) -> Facts:
    facts = facts_of(f"python -m sglang.launch_server --model-path m {line}")
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    facts.put("gpus", [{"index": index} for index in range(gpus)], "probe")
    facts.put("environment", [{"name": name, "value": value} for name, value in environment.items()], "probe")
    facts.merge(options(facts))
    return devices(facts)


@pytest.mark.parametrize(
    ("line", "gpus", "asked", "visible"),
    [
        ("--tp 8", 4, 8, 4),
        ("--tp 4 --pp-size 2", 4, 8, 4),
        ("--tp 2 --dp 4", 4, 8, 4),
        ("--tp 16 --nnodes 2", 4, 8, 4),
        ("--tp 4 --base-gpu-id 4", 4, 8, 4),
        ("--tp 2 --gpu-id-step 4", 4, 5, 4),
    ],
)
def test_more_gpus_than_there_are(line: str, gpus: int, asked: int, visible: int) -> None:
    (found,) = machine(line, gpus).rows("launch.devices")
    assert (found["asked"], found["visible"]) == (asked, visible)


def test_cuda_visible_devices_counts() -> None:
    (found,) = machine("--tp 4", 8, CUDA_VISIBLE_DEVICES="0,1").rows("launch.devices")
    assert found["visible"] == 2
    (found,) = machine("--tp 2", 8, CUDA_VISIBLE_DEVICES="0,9,1").rows("launch.devices")
    assert found["visible"] == 1


@pytest.mark.parametrize(
    "line", ["--tp 4", "--tp 8 --dp 8 --enable-dp-attention --nnodes 2", "--tp $TP", "--tp 8 --device cpu"]
)
def test_enough_gpus_or_not_known(line: str) -> None:
    assert machine(line, 4).rows("launch.devices") == ()


def lacking(
    line: str, components: list[dict[str, Any]] | None, installed: list[str], source: str = "probe"
) -> list[tuple[str, str]]:
    facts = facts_of(f"python -m sglang.launch_server --model-path m {line}")
    facts.put("sglang", {"version": "0.5.18"}, "probe")
    facts.put("torch", {"cuda": "13.0"}, "probe")
    if components is not None:
        facts.put("components", components, "probe")
    facts.put("packages", [{"name": name, "version": "1"} for name in installed], source)
    facts.merge(options(facts))
    return [(r["package"], r["because"]) for r in packages(facts).rows("launch.missing_package")]


def test_packages_that_the_line_needs() -> None:
    apart = "--disaggregation-mode prefill"
    absent = [{"name": "mooncake", "present": False}]
    default = "--disaggregation-transfer-backend mooncake"
    assert lacking(apart, absent, []) == [("mooncake-transfer-engine-cuda13", default)]
    assert lacking(apart, [{"name": "mooncake", "present": True}], []) == []
    assert lacking("--tp 1", absent, []) == []
    assert lacking(f"{apart} --disaggregation-transfer-backend nixl", None, ["nixl-cu13"]) == []
    assert lacking(f"{apart} --disaggregation-transfer-backend nixl", None, ["torch"]) == [
        ("nixl-cu13", "--disaggregation-transfer-backend nixl")
    ]
    assert lacking(f"{apart} --disaggregation-transfer-backend nixl", None, ["torch"], "log") == []
    assert lacking("--load-format fastsafetensors", None, ["torch"]) == [
        ("fastsafetensors", "--load-format fastsafetensors")
    ]


def test_a_missing_package_is_pinned_where_the_release_pins_it() -> None:
    facts = judged("--model-path m --moe-a2a-backend deepep", "0.5.18")
    facts.put("components", {"name": "deepep", "present": False}, "probe")
    (found,) = packages(facts).rows("launch.missing_package")
    assert found["pin"] == "sgl-deep-ep==" + load("sglang-releases.json")["releases"]["0.5.18"]["pins"][
        "sgl-deep-ep"
    ].strip("=")


@given(st.lists(st.text(max_size=20), max_size=8), st.text(max_size=10))
def test_any_arguments_give_an_answer(words: list[str], version: str) -> None:
    facts = Facts()
    facts.put("sglang", {"version": version}, "log")
    facts.put("launch", {"command": "x", "entry": "serve"}, "launch")
    facts.put(
        "launch.argument", [{"position": i, "text": word, "known": True} for i, word in enumerate(words)], "launch"
    )
    derive(facts)


@pytest.mark.parametrize(
    ("version", "kinds"),
    [("0.2.13", {"required"}), (flags.releases()[0], {"unknown", "required"})],
)
def test_a_release_older_than_all_that_are_known_is_not_judged_by_another(version: str, kinds: set[str]) -> None:
    facts = facts_of("python -m sglang.launch_server --disable-flashinfer")
    facts.put("sglang", {"version": version}, "log")
    rows = options(facts).rows("launch.invalid")
    assert {row["kind"] for row in rows if row["certain"]} == kinds
