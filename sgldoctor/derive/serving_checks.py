"""Contradictions among the arguments about serving: chunks and pages, caches, speculation, roles, names."""

from __future__ import annotations

import json
from collections.abc import Callable

from sgldoctor.derive.effective import Settings, below
from sgldoctor.derive.parallel_checks import attention_groups, indivisible


def _served_name(s: Settings) -> str:
    name = s.text("--served-model-name")
    return f"--served-model-name {name} holds a colon" if ":" in name and "://" not in name else ""


def _chunk_page(s: Settings) -> str:
    if not s.given("--chunked-prefill-size") or not s.given("--page-size"):
        return ""
    if s.text("--disaggregation-mode") == "decode":
        return ""
    chunk, page, groups = s.number("--chunked-prefill-size"), s.number("--page-size"), attention_groups(s)
    if chunk is None or chunk <= 0 or not groups or _sets_the_page(s, page):
        return ""
    shared = f" (shared by {groups} attention groups)" if groups > 1 else ""
    return indivisible(chunk // groups, page, f"a chunk of {{0}} tokens{shared} is no multiple of the page size {{1}}")


_KEPT = (32, 64)
"""Page sizes that every attention backend keeps, or raises to a multiple."""


def _sets_the_page(s: Settings, page: int | None) -> bool:
    """Whether the attention backend may take a page size of its own in place of the one given.

    Those of Blackwell and of latent attention do, and they are chosen by the GPU and the model where none is given.
    """
    backends = ("--attention-backend", "--prefill-attention-backend", "--decode-attention-backend")
    if page in _KEPT:
        return False
    older = bool(s.majors) and max(s.majors) < 10
    plain = {"fa3", "flashinfer", "triton", ""}.issuperset(s.text(flag) for flag in backends)
    return not older or bool(s.model.get("mla")) or not plain


def _multiplex_pipeline(s: Settings) -> str:
    return "--enable-pdmux needs --pp-size 1" if s.on("--enable-pdmux") and (s.number("--pp-size") or 1) > 1 else ""


def _multiplex_chunk(s: Settings) -> str:
    # The default depends on the GPU's memory and is never -1.
    chunked = (
        s.on("--enable-pdmux") and not s.unsure("--chunked-prefill-size") and s.number("--chunked-prefill-size") != -1
    )
    return "--enable-pdmux needs --chunked-prefill-size -1" if chunked else ""


def _multiplex_disaggregation(s: Settings) -> str:
    apart = s.text("--disaggregation-mode") in ("prefill", "decode")
    return "--enable-pdmux excludes --disaggregation-mode" if s.on("--enable-pdmux") and apart else ""


def _priority_policy(s: Settings) -> str:
    policy = s.text("--schedule-policy") if s.given("--schedule-policy") else ""
    if not s.on("--enable-priority-scheduling") or policy in ("", "fcfs", "lof"):
        return ""
    return f"--enable-priority-scheduling works with --schedule-policy fcfs or lof, not {policy}"


def _tokenizer_workers(s: Settings) -> str:
    # Without a tokenizer some releases do not look at the number.
    return "" if s.on("--skip-tokenizer-init") else below("--tokenizer-worker-num", 1)(s)


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
    used = s.text("--moe-a2a-backend").startswith("deepep") or s.on("--enable-deepep-moe")
    if not used or not text.startswith("{"):
        return ""
    try:
        config = json.loads(text)
        counts = [config[part]["num_sms"] for part in ("normal_dispatch", "normal_combine")]
    except (ValueError, RecursionError):
        return "--deepep-config is not valid JSON"
    except (KeyError, TypeError, IndexError):
        return "--deepep-config needs normal_dispatch and normal_combine, each with num_sms"
    return "" if counts[0] == counts[1] else f"--deepep-config: num_sms differs ({counts[0]} and {counts[1]})"


_EAGLE = ("EAGLE", "EAGLE3", "NEXTN", "STANDALONE")


def _speculative_steps(s: Settings) -> str:
    given = [flag for flag in ("--speculative-eagle-topk", "--speculative-num-draft-tokens") if s.given(flag)]
    if s.text("--speculative-algorithm").upper() not in _EAGLE or not given or s.given("--speculative-num-steps"):
        return ""
    if s.on("--speculative-adaptive"):
        return ""
    return f"{' and '.join(given)} without --speculative-num-steps: give all three or none"


def _speculative_groups(algorithm: str) -> Callable[[Settings], str]:
    def check(s: Settings) -> str:
        grouped = (attention_groups(s) or 1) > 1
        if s.text("--speculative-algorithm").upper() != algorithm or not grouped:
            return ""
        return f"--speculative-algorithm {algorithm} cannot be combined with attention data parallelism"

    return check


def _speculative_page(s: Settings) -> str:
    topk = s.number("--speculative-eagle-topk") if s.given("--speculative-eagle-topk") else None
    page = s.number("--page-size") if s.given("--page-size") else None
    backend = s.text("--attention-backend") if s.given("--attention-backend") else ""
    if s.text("--speculative-algorithm").upper() not in _EAGLE or (topk or 1) < 2 or (page or 1) < 2:
        return ""
    if backend in ("", "flashinfer", "fa3"):
        return ""
    return f"--speculative-eagle-topk {topk} with --page-size {page} does not work on --attention-backend {backend}"


def _dflash_draft(s: Settings) -> str:
    lone = s.text("--speculative-algorithm").upper() == "DFLASH" and not s.given("--speculative-draft-model-path")
    return (
        "--speculative-algorithm DFLASH needs --speculative-draft-model-path"
        if lone and not s.given("--config")
        else ""
    )


def _decode_radix_speculative(s: Settings) -> str:
    if not s.on("--disaggregation-decode-enable-radix-cache") or not s.text("--speculative-algorithm"):
        return ""
    return "--disaggregation-decode-enable-radix-cache cannot be combined with speculative decoding"


def _offload_storage(s: Settings) -> str:
    flag = "--disaggregation-decode-enable-offload-kvcache"
    if not s.on(flag) or s.given("--hicache-storage-backend"):
        return ""
    return f"{flag} needs --hicache-storage-backend"


def _grpc_port(s: Settings) -> str:
    port = s.number("--grpc-port") if s.given("--grpc-port") else None
    return f"--grpc-port and --port are both {port}" if port is not None and port == s.number("--port") else ""


def _grpc_key(s: Settings) -> str:
    key = next((flag for flag in ("--api-key", "--admin-api-key") if s.given(flag)), "")
    return f"--grpc-port and {key} exclude each other" if key and s.given("--grpc-port") else ""


def _parsed(flag: str) -> Callable[[Settings], str]:
    def check(s: Settings) -> str:
        text = s.text(flag) if s.given(flag) else ""
        try:
            json.loads(text or "{}")
        except (ValueError, RecursionError):
            return f"{flag} is not valid JSON: {text[:60]}"
        return ""

    return check


_LEVELS = ("critical", "error", "warning", "info", "debug")
"""What both ``logging`` and uvicorn know."""


def _log_level(s: Settings) -> str:
    level = s.text("--log-level") if s.given("--log-level") else ""
    if not level or level.lower() in _LEVELS or (level.upper() == "WARN" and s.given("--log-level-http")):
        return ""
    return f"--log-level {level} is none of {', '.join(_LEVELS)}"


def _context_length(s: Settings) -> str:
    asked = s.number("--context-length") if s.given("--context-length") else None
    derived = s.model.get("context")
    if asked is None or not derived or asked <= derived or s.given("--json-model-override-args"):
        return ""
    if s.environment.get("SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN", "").lower() in ("1", "true", "yes", "y"):
        return ""
    return f"--context-length {asked} is more than the {derived} that the model's config allows"


CHECKS = {
    "served-name": _served_name,
    "chunk-page": _chunk_page,
    "multiplex-pipeline": _multiplex_pipeline,
    "multiplex-chunk": _multiplex_chunk,
    "multiplex-disaggregation": _multiplex_disaggregation,
    "priority-policy": _priority_policy,
    "tokenizer-workers": _tokenizer_workers,
    "hierarchical-radix": _both("--enable-hierarchical-cache", "--disable-radix-cache"),
    "decode-sizes": _decode_sizes,
    "offload-decode": _offload_decode,
    "encoder-language": _both("--encoder-only", "--language-only"),
    "encoder-disaggregation": _encoder_disaggregation,
    "prefix-encoder": _prefix_encoder,
    "tokenizer-batching": _both("--enable-tokenizer-batch-encode", "--enable-dynamic-batch-tokenizer"),
    "window-ratio": _window_ratio,
    "conservativeness": below("--schedule-conservativeness", 0),
    "deepep-config": _deepep_config,
    "compile-padding": _both("--disable-cuda-graph-padding", "--enable-torch-compile"),
    "speculative-steps": _speculative_steps,
    "standalone-attention-groups": _speculative_groups("STANDALONE"),
    "ngram-attention-groups": _speculative_groups("NGRAM"),
    "speculative-page": _speculative_page,
    "dflash-draft": _dflash_draft,
    "decode-radix-speculative": _decode_radix_speculative,
    "offload-storage": _offload_storage,
    "grpc-port": _grpc_port,
    "grpc-key": _grpc_key,
    "context-length": _context_length,
    "override-json": _parsed("--json-model-override-args"),
    "loader-json": _parsed("--model-loader-extra-config"),
    "log-level": _log_level,
}
"""Name of the check in the data, and its arithmetic: one sentence where it fails, else ``""``."""
