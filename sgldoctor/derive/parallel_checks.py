"""Contradictions among the arguments that share a model between GPUs, nodes and replicas."""

from __future__ import annotations

from sgldoctor.derive.effective import Settings, below


def attention_groups(s: Settings) -> int | None:
    """Attention data parallelism, under either name."""
    if s.on("--enable-dp-attention") and (s.number("--dp-size") or 1) > 1:
        return s.number("--dp-size")
    return s.number("--attn-dp-size") if s.given("--attn-dp-size") else 1


def indivisible(size: int | None, by: int | None, text: str) -> str:
    """``text`` with ``{0}`` and ``{1}``, where ``by`` does not divide ``size``."""
    if size is None or by is None or by < 1 or size % by == 0:
        return ""
    return text.format(size, by)


def _nodes_divide(s: Settings) -> str:
    tp, pp = s.number("--tp-size"), s.number("--pp-size")
    if tp is None or pp is None or s.given("--elastic-ep-join-mode"):
        return ""
    return indivisible(tp * pp, s.number("--nnodes"), "tp x pp = {0} cannot be spread over {1} nodes")


def _nodes_address(s: Settings) -> str:
    nodes = s.number("--nnodes")
    if nodes is None or nodes < 2 or s.given("--dist-init-addr") or s.on("--use-ray"):
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
    if port.isdigit() and int(port[:9]) > 65535:
        return f"--dist-init-addr {address}: {port} is no port"
    if not address or port.isdigit():
        return ""
    return f"--dist-init-addr {address} names no port: host:port is needed"


def _data_parallel_nodes(s: Settings) -> str:
    dp, nodes = s.number("--dp-size"), s.number("--nnodes")
    if dp is None or nodes is None or dp < 2 or nodes < 2 or s.on("--enable-dp-attention"):
        return ""
    return f"--dp-size {dp} over {nodes} nodes needs attention data parallelism"


def _groups_idle(s: Settings) -> str:
    groups = s.number("--dp-size")
    if not s.on("--enable-dp-attention") or s.given("--attn-dp-size") or groups != 1:
        return ""
    return "--enable-dp-attention does nothing without --dp-size: one group is no data parallelism"


def _groups(s: Settings) -> str:
    return indivisible(
        s.number("--tp-size"), attention_groups(s), "tp {0} cannot be divided into {1} attention data-parallel groups"
    )


def _both_data_parallel(s: Settings) -> str:
    dp, attention = s.number("--dp-size"), s.number("--attn-dp-size")
    if dp is None or attention is None or dp < 2 or attention < 2:
        return ""
    return f"--dp-size {dp} and --attn-dp-size {attention} exclude each other"


def _context_groups(s: Settings) -> str:
    context = s.number("--attn-cp-size") if s.given("--attn-cp-size") else 1
    return indivisible(s.number("--tp-size"), context, "tp {0} cannot be divided by --attn-cp-size {1}")


def _moe_groups(s: Settings) -> str:
    groups = s.number("--moe-dp-size") if s.given("--moe-dp-size") else 1
    return indivisible(s.number("--tp-size"), groups, "tp {0} cannot be divided by --moe-dp-size {1}")


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
    if not s.on("--enable-eplb") or s.unsure("--moe-a2a-backend"):
        return ""
    # An all-to-all backend sets ep to tp.
    name = "--ep-size" if _no_all_to_all(s) else "--tp-size"
    return f"--enable-eplb balances expert-parallel ranks, and {name} is 1" if s.number(name) == 1 else ""


def _pipeline_speculative(s: Settings) -> str:
    pp = s.number("--pp-size")
    if pp is None or pp < 2 or not s.text("--speculative-algorithm"):
        return ""
    return f"--pp-size {pp} cannot be combined with speculative decoding"


def _pipeline_mixed_chunk(s: Settings) -> str:
    both = (s.number("--pp-size") or 1) > 1 and s.on("--enable-mixed-chunk")
    return "--pp-size cannot be combined with --enable-mixed-chunk" if both else ""


CHECKS = {
    "nodes-divide": _nodes_divide,
    "nodes-address": _nodes_address,
    "node-rank": _node_rank,
    "address-port": _address_port,
    "data-parallel-nodes": _data_parallel_nodes,
    "data-parallel-replicas-nodes": _data_parallel_nodes,
    "attention-groups": _groups,
    "attention-groups-idle": _groups_idle,
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
    "first-gpu": below("--base-gpu-id", 0),
    "gpu-step": below("--gpu-id-step", 1),
}
"""Name of the check in the data, and its arithmetic: one sentence where it fails, else ``""``."""
