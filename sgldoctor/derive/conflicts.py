"""Arguments that contradict each other, by SGLang's own asserts (``knowledge/data/launch-conflicts.json``).

The data say which release has which check and what it prints; here is the arithmetic, one function per check. A check
over a value that is not known (a variable, a default that SGLang decides at run time) says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sgldoctor.derive.effective import Settings, read
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.releases import load


def conflicts(facts: Facts) -> Facts:
    """``launch.conflict`` from ``launch.option`` and the release in ``sglang``."""
    out = Facts()
    # A dump in a log shows what SGLang made of the arguments, after these checks.
    if not facts.known("launch.option") or facts.source("launch.option") == "log":
        return out
    settings = read(facts)
    judged = flags.judges(facts.value("sglang", "version") or None)
    rows: list[Row] = []
    for entry in _known():
        if not flags.inside(entry["present"], settings.release):
            continue
        note = CHECKS[entry["name"]](settings)
        if note:
            certain = judged.exact or judged.newer or all(flags.inside(entry["present"], o) for o in judged.others)
            rows.append(
                {
                    "name": entry["name"],
                    "flags": entry["flags"],
                    "note": note,
                    "says": entry["says"],
                    "where": entry["where"],
                    "certain": certain,
                }
            )
    out.put("launch.conflict", rows, "derived")
    return out


@lru_cache(maxsize=1)
def _known() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = load("launch-conflicts.json")["conflicts"]
    return entries


def _attention_groups(s: Settings) -> int | None:
    """Attention data parallelism, under either name."""
    if s.on("--enable-dp-attention") and (s.number("--dp-size") or 1) > 1:
        return s.number("--dp-size")
    return s.number("--attn-dp-size") if s.given("--attn-dp-size") else 1


def _indivisible(size: int | None, by: int | None, text: str) -> str:
    """``text`` with ``{0}`` and ``{1}``, where ``by`` does not divide ``size``."""
    if size is None or by is None or by < 1 or size % by == 0:
        return ""
    return text.format(size, by)


def _nodes_divide(s: Settings) -> str:
    tp, pp = s.number("--tp-size"), s.number("--pp-size")
    if tp is None or pp is None or s.given("--elastic-ep-join-mode"):
        return ""
    return _indivisible(tp * pp, s.number("--nnodes"), "tp x pp = {0} cannot be spread over {1} nodes")


def _nodes_address(s: Settings) -> str:
    nodes = s.number("--nnodes")
    if nodes is None or nodes < 2 or s.given("--dist-init-addr") or s.given("--config") or s.on("--use-ray"):
        return ""
    return f"--nnodes {nodes} without --dist-init-addr: the nodes cannot find each other"


def _node_rank(s: Settings) -> str:
    rank, nodes = s.number("--node-rank"), s.number("--nnodes")
    if rank is None or nodes is None or s.given("--elastic-ep-join-mode") or 0 <= rank < nodes:
        return ""
    return f"--node-rank {rank} with --nnodes {nodes}: the nodes count from 0 to {nodes - 1}"


def _address_port(s: Settings) -> str:
    address = s.text("--dist-init-addr")
    host = address.rpartition("://")[2]
    port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if not address or port.isdigit():
        return ""
    return f"--dist-init-addr {address} names no port: host:port is needed"


def _data_parallel_nodes(s: Settings) -> str:
    dp, nodes = s.number("--dp-size"), s.number("--nnodes")
    if dp is None or nodes is None or dp < 2 or nodes < 2 or s.on("--enable-dp-attention"):
        return ""
    return f"--dp-size {dp} over {nodes} nodes needs attention data parallelism"


def _groups(s: Settings) -> str:
    return _indivisible(
        s.number("--tp-size"), _attention_groups(s), "tp {0} cannot be divided into {1} attention data-parallel groups"
    )


def _both_data_parallel(s: Settings) -> str:
    dp, attention = s.number("--dp-size"), s.number("--attn-dp-size")
    if dp is None or attention is None or dp < 2 or attention < 2:
        return ""
    return f"--dp-size {dp} and --attn-dp-size {attention} exclude each other"


def _context_groups(s: Settings) -> str:
    context = s.number("--attn-cp-size") if s.given("--attn-cp-size") else 1
    return _indivisible(s.number("--tp-size"), context, "tp {0} cannot be divided by --attn-cp-size {1}")


def _moe_groups(s: Settings) -> str:
    groups = s.number("--moe-dp-size") if s.given("--moe-dp-size") else 1
    return _indivisible(s.number("--tp-size"), groups, "tp {0} cannot be divided by --moe-dp-size {1}")


def _dp_lm_head(s: Settings) -> str:
    dp = s.number("--dp-size")
    if dp is None or dp < 2 or not s.on("--enable-dp-lm-head") or s.on("--enable-dp-attention"):
        return ""
    return "--enable-dp-lm-head needs --enable-dp-attention"


def _moe_dense_one(s: Settings) -> str:
    size = s.number("--moe-dense-tp-size")
    return f"--moe-dense-tp-size {size}: only 1 is possible" if size is not None and size != 1 else ""


def _moe_dense_tp(s: Settings) -> str:
    size, tp = s.number("--moe-dense-tp-size"), s.number("--tp-size")
    if size is None or tp is None or size in (1, tp):
        return ""
    return f"--moe-dense-tp-size {size}: only 1 or the tensor parallel size ({tp}) is possible"


def _no_all_to_all(s: Settings) -> bool:
    """Whether experts are surely not spread by an all-to-all backend, which would set ``ep`` itself."""
    return not s.given("--moe-a2a-backend") or s.text("--moe-a2a-backend") == "none"


def _cutlass_experts(s: Settings) -> str:
    ep, tp = s.number("--ep-size"), s.number("--tp-size")
    if s.text("--moe-runner-backend") != "flashinfer_cutlass" or not _no_all_to_all(s):
        return ""
    if ep is None or tp is None or ep in (1, tp):
        return ""
    return f"--ep-size {ep} with --moe-runner-backend flashinfer_cutlass: only 1 or the tensor parallel size {tp} works"


def _eplb_experts(s: Settings) -> str:
    if not s.on("--enable-eplb") or s.number("--ep-size") != 1 or not _no_all_to_all(s):
        return ""
    return "--enable-eplb balances expert-parallel ranks, and --ep-size is 1"


def _pipeline_speculative(s: Settings) -> str:
    pp = s.number("--pp-size")
    if pp is None or pp < 2 or not s.text("--speculative-algorithm"):
        return ""
    return f"--pp-size {pp} cannot be combined with speculative decoding"


def _pipeline_mixed_chunk(s: Settings) -> str:
    both = (s.number("--pp-size") or 1) > 1 and s.on("--enable-mixed-chunk")
    return "--pp-size cannot be combined with --enable-mixed-chunk" if both else ""


def _speculative_mixed_chunk(s: Settings) -> str:
    if not s.text("--speculative-algorithm") or not s.on("--enable-mixed-chunk"):
        return ""
    return "--enable-mixed-chunk cannot be combined with speculative decoding"


def _below(flag: str, least: float) -> Callable[[Settings], str]:
    def check(s: Settings) -> str:
        value = s.real(flag) if s.given(flag) else None
        return f"{flag} {value:g} must be at least {least:g}" if value is not None and value < least else ""

    return check


def _served_name(s: Settings) -> str:
    name = s.text("--served-model-name")
    return f"--served-model-name {name} holds a colon" if ":" in name and "://" not in name else ""


def _chunk_page(s: Settings) -> str:
    if not s.given("--chunked-prefill-size") or not s.given("--page-size"):
        return ""
    if s.text("--disaggregation-mode") == "decode":
        return ""
    chunk, page, groups = s.number("--chunked-prefill-size"), s.number("--page-size"), _attention_groups(s)
    if chunk is None or chunk <= 0 or not groups:
        return ""
    shared = f" (shared by {groups} attention groups)" if groups > 1 else ""
    return _indivisible(chunk // groups, page, f"a chunk of {{0}} tokens{shared} is no multiple of the page size {{1}}")


def _multiplex_pipeline(s: Settings) -> str:
    return "--enable-pdmux needs --pp-size 1" if s.on("--enable-pdmux") and (s.number("--pp-size") or 1) > 1 else ""


def _multiplex_chunk(s: Settings) -> str:
    chunk = s.number("--chunked-prefill-size") if s.given("--chunked-prefill-size") else None
    chunked = s.on("--enable-pdmux") and chunk not in (None, -1)
    return "--enable-pdmux needs --chunked-prefill-size -1" if chunked else ""


def _multiplex_disaggregation(s: Settings) -> str:
    apart = s.text("--disaggregation-mode") in ("prefill", "decode")
    return "--enable-pdmux excludes --disaggregation-mode" if s.on("--enable-pdmux") and apart else ""


def _priority_policy(s: Settings) -> str:
    policy = s.text("--schedule-policy") if s.given("--schedule-policy") else ""
    if not s.on("--enable-priority-scheduling") or policy in ("", "fcfs", "lof"):
        return ""
    return f"--enable-priority-scheduling works with --schedule-policy fcfs or lof, not {policy}"


def _both(first: str, second: str) -> Callable[[Settings], str]:
    def check(s: Settings) -> str:
        return f"{first} and {second} exclude each other" if s.on(first) and s.on(second) else ""

    return check


def _decode_sizes(s: Settings) -> str:
    if s.text("--disaggregation-mode") != "decode":
        return ""
    given = [flag for flag in ("--disaggregation-decode-tp", "--disaggregation-decode-dp") if s.given(flag)]
    return f"{' and '.join(given)} belong to the prefill server" if given else ""


def _offload_decode(s: Settings) -> str:
    flag = "--disaggregation-decode-enable-offload-kvcache"
    if not s.on(flag) or s.unsure("--disaggregation-mode") or s.text("--disaggregation-mode") == "decode":
        return ""
    return f"{flag} is for the decode server only"


def _encoder_disaggregation(s: Settings) -> str:
    apart = s.text("--disaggregation-mode") in ("prefill", "decode")
    return "--encoder-only and --disaggregation-mode exclude each other" if s.on("--encoder-only") and apart else ""


def _prefix_encoder(s: Settings) -> str:
    lone = s.on("--enable-prefix-mm-cache") and not s.on("--encoder-only")
    return "--enable-prefix-mm-cache needs --encoder-only" if lone else ""


def _window_ratio(s: Settings) -> str:
    ratio = s.real("--swa-full-tokens-ratio")
    if ratio is None or 0 < ratio <= 1:
        return ""
    return f"--swa-full-tokens-ratio {ratio:g} is not between 0 and 1"


def _deepep_config(s: Settings) -> str:
    """An inline value is judged; a file is left to the one who can read it."""
    text = s.text("--deepep-config").strip()
    if not text.startswith("{"):
        return ""
    try:
        config = json.loads(text)
        counts = [config[part]["num_sms"] for part in ("normal_dispatch", "normal_combine")]
    except (ValueError, RecursionError):
        return "--deepep-config is not valid JSON"
    except (KeyError, TypeError, IndexError):
        return "--deepep-config needs normal_dispatch and normal_combine, each with num_sms"
    return "" if counts[0] == counts[1] else f"--deepep-config: num_sms differs ({counts[0]} and {counts[1]})"


CHECKS: dict[str, Callable[[Settings], str]] = {
    "nodes-divide": _nodes_divide,
    "nodes-address": _nodes_address,
    "node-rank": _node_rank,
    "address-port": _address_port,
    "data-parallel-nodes": _data_parallel_nodes,
    "data-parallel-replicas-nodes": _data_parallel_nodes,
    "attention-groups": _groups,
    "attention-groups-size": _groups,
    "both-data-parallel": _both_data_parallel,
    "context-groups": _context_groups,
    "moe-groups": _moe_groups,
    "dp-lm-head": _dp_lm_head,
    "moe-dense-one": _moe_dense_one,
    "moe-dense-tp": _moe_dense_tp,
    "cutlass-experts": _cutlass_experts,
    "eplb-experts": _eplb_experts,
    "pipeline-speculative": _pipeline_speculative,
    "pipeline-mixed-chunk": _pipeline_mixed_chunk,
    "speculative-mixed-chunk": _speculative_mixed_chunk,
    "first-gpu": _below("--base-gpu-id", 0),
    "gpu-step": _below("--gpu-id-step", 1),
    "served-name": _served_name,
    "chunk-page": _chunk_page,
    "multiplex-pipeline": _multiplex_pipeline,
    "multiplex-chunk": _multiplex_chunk,
    "multiplex-disaggregation": _multiplex_disaggregation,
    "priority-policy": _priority_policy,
    "tokenizer-workers": _below("--tokenizer-worker-num", 1),
    "hierarchical-radix": _both("--enable-hierarchical-cache", "--disable-radix-cache"),
    "decode-sizes": _decode_sizes,
    "offload-decode": _offload_decode,
    "encoder-language": _both("--encoder-only", "--language-only"),
    "encoder-disaggregation": _encoder_disaggregation,
    "prefix-encoder": _prefix_encoder,
    "tokenizer-batching": _both("--enable-tokenizer-batch-encode", "--enable-dynamic-batch-tokenizer"),
    "window-ratio": _window_ratio,
    "conservativeness": _below("--schedule-conservativeness", 0),
    "deepep-config": _deepep_config,
    "compile-padding": _both("--disable-cuda-graph-padding", "--enable-torch-compile"),
}
