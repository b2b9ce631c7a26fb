"""Arguments that contradict each other, each check with a line that breaks it and one that does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sgldoctor.derive.conflicts import CHECKS, conflicts
from sgldoctor.derive.launch import options
from sgldoctor.facts import Facts
from sgldoctor.knowledge import flags, sources
from sgldoctor.knowledge.releases import load
from sgldoctor.launch import facts_of

NEWEST = flags.releases()[-1]
SPEC = "--speculative-algorithm"
EAGLE = f"{SPEC} EAGLE"
STEPS = "--speculative-num-steps 3 --speculative-eagle-topk 4 --speculative-num-draft-tokens 8"


def deepep(dispatch: int, combine: int) -> str:
    config = {"normal_dispatch": {"num_sms": dispatch}, "normal_combine": {"num_sms": combine}}
    return f"--moe-a2a-backend deepep --deepep-config '{json.dumps(config)}'"


MUX = "--enable-pdmux --disable-overlap-schedule"
WHOLE = f"{MUX} --chunked-prefill-size -1"
OFFLOAD = "--disaggregation-mode decode --disaggregation-decode-enable-offload-kvcache"


def conflict(line: str, version: str, major: int | None = None) -> list[str]:
    facts = facts_of(f"python -m sglang.launch_server --model-path m {line}")
    facts.put("sglang", {"version": version}, "probe")
    if major:
        facts.put("gpus", {"index": 0, "capability": f"{major}.0"}, "probe")
    facts.merge(options(facts))
    return [row["name"] for row in conflicts(facts).rows("launch.conflict")]


@pytest.mark.parametrize(
    ("name", "version", "bad", "good"),
    [
        ("nodes-divide", "0.5.8", "--tp 6 --nnodes 4 --dist-init-addr h:1", "--tp 8 --nnodes 4 --dist-init-addr h:1"),
        (
            "nodes-divide",
            "0.5.8",
            "--tp 3 --pp-size 3 --nnodes 2 --dist-init-addr h:1",
            "--tp 3 --pp-size 2 --nnodes 2 --dist-init-addr h:1",
        ),
        ("nodes-address", "0.5.8", "--tp 8 --nnodes 2", "--tp 8 --nnodes 2 --dist-init-addr $A"),
        (
            "node-rank",
            "0.5.8",
            "--nnodes 2 --node-rank 2 --tp 2 --dist-init-addr h:1",
            "--nnodes 2 --node-rank 1 --tp 2 --dist-init-addr h:1",
        ),
        ("address-port", "0.5.8", "--dist-init-addr 10.0.0.1", "--dist-init-addr [::1]:5000"),
        (
            "data-parallel-nodes",
            "0.5.8",
            "--tp 2 --dp 2 --nnodes 2 --dist-init-addr h:1",
            "--tp 2 --dp 2 --nnodes 2 --dist-init-addr h:1 --enable-dp-attention",
        ),
        (
            "data-parallel-replicas-nodes",
            NEWEST,
            "--tp 2 --dp 2 --nnodes 2 --dist-init-addr h:1",
            "--tp 2 --attn-dp-size 2 --nnodes 2 --dist-init-addr h:1",
        ),
        ("attention-groups", "0.5.8", "--tp 8 --dp 3 --enable-dp-attention", "--tp 8 --dp 3"),
        ("attention-groups-size", NEWEST, "--tp 8 --attn-dp-size 3", "--tp 8 --attn-dp-size 4"),
        ("both-data-parallel", NEWEST, "--tp 8 --attn-dp-size 2 --dp-size 2", "--tp 8 --attn-dp-size 2 --dp-size 1"),
        ("context-groups", NEWEST, "--tp 8 --attn-cp-size 3", "--tp 8 --attn-cp-size 2"),
        ("moe-groups", NEWEST, "--tp 8 --moe-dp-size 3", "--tp 8 --moe-dp-size 2"),
        ("dp-lm-head", "0.5.8", "--tp 8 --dp 2 --enable-dp-lm-head", "--tp 8 --enable-dp-lm-head"),
        ("moe-dense-one", "0.5.8", "--moe-dense-tp-size 8 --tp 8", "--moe-dense-tp-size 1 --tp 8"),
        ("moe-dense-tp", NEWEST, "--moe-dense-tp-size 2 --tp 8", "--moe-dense-tp-size 8 --tp 8"),
        (
            "cutlass-experts",
            "0.5.8",
            "--moe-runner-backend flashinfer_cutlass --tp 8 --ep-size 2",
            "--moe-runner-backend flashinfer_cutlass --tp 8 --ep-size 8",
        ),
        ("eplb-experts", "0.5.8", "--enable-eplb --tp 8", "--enable-eplb --tp 8 --moe-a2a-backend deepep"),
        ("pipeline-speculative", "0.5.8", "--pp-size 2 --speculative-algorithm EAGLE", "--speculative-algorithm EAGLE"),
        ("pipeline-mixed-chunk", "0.5.8", "--pp-size 2 --enable-mixed-chunk", "--pp-size 1 --enable-mixed-chunk"),
        ("first-gpu", "0.5.8", "--base-gpu-id -1", "--base-gpu-id 0"),
        ("gpu-step", "0.5.8", "--gpu-id-step 0", "--gpu-id-step 2"),
        ("served-name", "0.5.8", "--served-model-name a:b", "--served-model-name a/b"),
        (
            "chunk-page",
            "0.5.8",
            "--chunked-prefill-size 1000 --page-size 64",
            "--chunked-prefill-size 1024 --page-size 64",
        ),
        (
            "chunk-page",
            "0.5.8",
            "--chunked-prefill-size 96 --page-size 32 --tp 2 --dp 2 --enable-dp-attention",
            "--chunked-prefill-size -1 --page-size 64",
        ),
        ("multiplex-pipeline", "0.5.8", f"{WHOLE} --pp-size 2", WHOLE),
        (
            "multiplex-chunk",
            "0.5.8",
            MUX,
            WHOLE,
        ),
        (
            "multiplex-disaggregation",
            "0.5.8",
            f"{WHOLE} --disaggregation-mode prefill",
            f"{WHOLE} --disaggregation-mode null",
        ),
        (
            "priority-policy",
            "0.5.8",
            "--enable-priority-scheduling --schedule-policy lpm",
            "--enable-priority-scheduling --schedule-policy lof",
        ),
        ("tokenizer-workers", "0.5.8", "--tokenizer-worker-num 0", "--tokenizer-worker-num 1"),
        (
            "hierarchical-radix",
            "0.5.8",
            "--enable-hierarchical-cache --disable-radix-cache",
            "--enable-hierarchical-cache",
        ),
        (
            "decode-sizes",
            "0.5.8",
            "--disaggregation-mode decode --disaggregation-decode-tp 2",
            "--disaggregation-mode prefill --disaggregation-decode-tp 2",
        ),
        (
            "offload-decode",
            "0.5.8",
            "--disaggregation-decode-enable-offload-kvcache",
            "--disaggregation-decode-enable-offload-kvcache --disaggregation-mode decode",
        ),
        ("encoder-language", "0.5.8", "--encoder-only --language-only --encoder-urls u", "--encoder-only"),
        (
            "encoder-disaggregation",
            "0.5.8",
            "--encoder-only --disaggregation-mode decode",
            "--disaggregation-mode decode",
        ),
        ("prefix-encoder", "0.5.8", "--enable-prefix-mm-cache", "--enable-prefix-mm-cache --encoder-only"),
        (
            "tokenizer-batching",
            "0.5.8",
            "--enable-tokenizer-batch-encode --enable-dynamic-batch-tokenizer",
            "--enable-dynamic-batch-tokenizer",
        ),
        ("window-ratio", "0.5.8", "--swa-full-tokens-ratio 1.5", "--swa-full-tokens-ratio 1"),
        ("conservativeness", "0.5.8", "--schedule-conservativeness -0.5", "--schedule-conservativeness 0"),
        (
            "deepep-config",
            "0.5.8",
            deepep(96, 48),
            deepep(96, 96),
        ),
        (
            "deepep-config",
            "0.5.8",
            '--moe-a2a-backend deepep --deepep-config \'{"normal_dispatch": {"n_sms": 96}}\'',
            "--deepep-config /etc/deepep.json",
        ),
        ("compile-padding", NEWEST, "--disable-cuda-graph-padding --enable-torch-compile", "--enable-torch-compile"),
        ("speculative-steps", "0.5.8", f"{EAGLE} --speculative-eagle-topk 4", EAGLE),
        ("speculative-steps", "0.5.8", f"{EAGLE}3 --speculative-num-draft-tokens 4", "--speculative-eagle-topk 4"),
        (
            "standalone-attention-groups",
            NEWEST,
            f"{SPEC} STANDALONE --tp 4 --attn-dp-size 2",
            f"{SPEC} STANDALONE --tp 4",
        ),
        (
            "ngram-attention-groups",
            "0.5.8",
            f"{SPEC} NGRAM --tp 4 --dp 2 --enable-dp-attention",
            f"{SPEC} NGRAM --dp 2",
        ),
        (
            "speculative-page",
            "0.5.8",
            f"{EAGLE} {STEPS} --page-size 64 --attention-backend triton",
            f"{EAGLE} {STEPS} --page-size 64 --attention-backend fa3",
        ),
        ("dflash-draft", NEWEST, f"{SPEC} DFLASH", f"{SPEC} DFLASH --speculative-draft-model-path d"),
        (
            "decode-radix-speculative",
            NEWEST,
            f"{EAGLE} --disaggregation-mode decode --disaggregation-decode-enable-radix-cache",
            "--disaggregation-mode decode --disaggregation-decode-enable-radix-cache",
        ),
        ("offload-storage", NEWEST, OFFLOAD, f"{OFFLOAD} --hicache-storage-backend file"),
        ("grpc-port", NEWEST, "--grpc-port 30000", "--grpc-port 30001"),
        ("grpc-key", NEWEST, "--grpc-port 1 --api-key k", "--api-key k"),
        ("attention-groups-idle", "0.5.8", "--tp 8 --enable-dp-attention", "--tp 8 --enable-dp-attention --dp-size $N"),
        ("attention-groups-idle", NEWEST, "--enable-dp-attention", "--tp 4 --enable-dp-attention --attn-dp-size 4"),
        ("override-json", "0.5.8", "--json-model-override-args {x", "--json-model-override-args {}"),
        ("loader-json", "0.5.8", "--model-loader-extra-config a=b", "--model-loader-extra-config $CONFIG"),
        ("log-level", "0.5.8", "--log-level verbose", "--log-level INFO"),
    ],
)
def test_contradictions(name: str, version: str, bad: str, good: str) -> None:
    assert conflict(bad, version) == [name]
    assert name not in conflict(good, version)


RANGES = [entry for entry in load("launch-conflicts.json")["conflicts"] if "range" in entry]


@pytest.mark.parametrize("entry", RANGES, ids=lambda entry: str(entry["name"]))
@pytest.mark.parametrize("release", ["0.5.8", NEWEST])
def test_values_that_cannot_work(entry: dict[str, Any], release: str) -> None:
    (flag,), (least, most) = entry["flags"], entry["range"]
    assert entry["name"] in conflict(f"{flag} -1", release)
    for value in (most, least, 1):
        assert value is None or entry["name"] not in conflict(f"{flag} {value}", release)
    if most:
        assert entry["name"] in conflict(f"{flag} {most + 1}", release)
    assert entry["name"] not in conflict(f"{flag} $N", release)


KNOWN = load("launch-conflicts.json")["conflicts"]


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: str(entry["name"]))
def test_every_entry_says_on_which_lines_of_sglang_it_rests(entry: dict[str, Any]) -> None:
    ends = {end or NEWEST for span in entry["present"] for end in span}
    assert {release for release, *_ in entry["source"]} == ends
    for release, file, line, text in entry["source"]:
        held = next((sums for first, last, sums in sources._versions(file) if first <= AT[release] <= last), None)
        # Lines of some folders are not kept.
        assert (
            held is None if file.startswith(("layers/", "configs/")) else held and held[line - 1] == sources._sum(text)
        )


AT = {release: at for at, release in enumerate(sources._releases())}

SIMPLE = [entry for entry in load("launch-conflicts.json")["conflicts"] if "when" in entry]


def spelled(release: str, flags_and_values: dict[str, Any]) -> str:
    table = {flag.flag: flag for flag in flags.table(release).values()}
    words: list[str] = []
    for name, values in flags_and_values.items():
        value = "1" if table[name].type == "int" else "x"
        words += [name] if table[name].nargs == "0" else [name, value if values is True else values[0]]
    return " ".join(words)


@pytest.mark.parametrize("entry", SIMPLE, ids=lambda entry: str(entry["name"]))
def test_simple_checks_of_the_data(entry: dict[str, Any]) -> None:
    release = entry["present"][0][0]
    bad = spelled(release, entry["when"])
    majors = entry.get("majors")
    assert entry["name"] in conflict(bad, release, 7 if majors else None)
    if majors:
        assert all(entry["name"] not in conflict(bad, release, major) for major in (*majors, None))
        return
    needed = {flag: True if flag != "--moe-a2a-backend" else ["deepep"] for flag in entry.get("needs", [])}
    instead = needed or dict.fromkeys(list(entry["when"])[:1], True)
    good = spelled(release, {**entry["when"], **needed} if needed else instead)
    assert entry["name"] not in conflict(good, release)
    for other in entry.get("unless", []):
        assert entry["name"] not in conflict(f"{bad} {other} a=b", release)


def test_every_check_is_known_to_the_data_and_tested() -> None:
    entries = load("launch-conflicts.json")["conflicts"]
    assert {entry["name"] for entry in entries if not {"when", "range"} & entry.keys()} == set(CHECKS)
    marks = test_contradictions.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for mark in marks for case in mark.args[1]} == set(CHECKS) - {"context-length"}
    names = {entry for release in flags.releases() for entry in {f.flag for f in flags.table(release).values()}}
    assert {flag for entry in entries for flag in entry["flags"]} <= names


def test_a_check_holds_only_in_the_releases_that_have_it() -> None:
    line = "--pp-size 2 --speculative-algorithm EAGLE"
    assert conflict(line, "0.5.19") == ["pipeline-speculative"]
    assert conflict(line, "0.5.20") == ["argument-check"]
    assert conflict(f"{line} --disaggregation-mode prefill", NEWEST) == []
    assert conflict("--served-model-name a:b", "0.5.5") == []


def test_unknown_values_contradict_nothing() -> None:
    assert conflict("--tp $TP --nnodes $N --node-rank $R --dp-size 3 --enable-dp-attention", "0.5.8") == []


def longer(line: str, **environment: str) -> list[str]:
    facts = facts_of(f"python -m sglang.launch_server --model-path m {line}")
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    facts.put("model", {"context": 4096}, "probe")
    facts.put("environment", [{"name": name, "value": value} for name, value in environment.items()], "probe")
    facts.merge(options(facts))
    return [row["name"] for row in conflicts(facts).rows("launch.conflict")]


def test_a_context_that_the_model_does_not_allow() -> None:
    assert longer("--context-length 8192") == ["context-length"]
    assert longer("--context-length 4096") == longer("--tp 1") == []
    assert longer("--context-length 8192", SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN="1") == []
    assert longer("--context-length 8192 --json-model-override-args '{}'") == []


@pytest.mark.parametrize("rest", ["$MORE", "--config more.yaml"])
def test_where_further_options_may_stand_nothing_is_said_to_be_missing(rest: str) -> None:
    assert conflict("--nnodes 2 --tp 2", "0.5.8") == ["nodes-address"]
    assert conflict(f"--nnodes 2 --tp 2 {rest}", "0.5.8") == []


def test_a_dump_in_a_log_has_passed_these_checks() -> None:
    facts = Facts()
    facts.put("launch.option", {"flag": "--served-model-name", "value": "a:b"}, "log")
    assert not conflicts(facts).known("launch.conflict")
