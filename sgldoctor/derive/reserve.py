"""What SGLang keeps free of a GPU by default, for activations and CUDA graphs: the default ``--mem-fraction-static``.

The coefficients of each release are in ``knowledge/data/memory.json``, taken from ``_handle_gpu_memory_settings``
(``srt/server_args.py``, from 0.5.19 ``srt/arg_groups/memory_hook.py``) by running it: ``scripts/memory_heuristics.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sgldoctor.typed import Any, NamedTuple


class Wants(NamedTuple):
    """What of a launch line decides about the reserve; None where the line leaves it to SGLang.

    ``dp_attention`` is the number of attention groups, 0 where they are off. ``prefill_graph`` says whether prefill is
    captured in CUDA graphs, ``mla`` whether the model's attention is latent.
    """

    tp: int = 1
    pp: int = 1
    dp_attention: int = 0
    chunked: int | None = None
    graph: int | None = None
    speculative: str = ""
    deepep: bool = False
    prefill_graph: bool = False
    mla: bool = False


def of(release: str) -> Mapping[str, Any] | None:
    """The coefficients of a release, None where they are not known."""
    from sgldoctor.knowledge.flags import inside
    from sgldoctor.knowledge.releases import load

    for row in load("memory.json")["spans"]:
        if inside([row["releases"]], release):
            found: Mapping[str, Any] = row
            return found
    return None


def defaults(row: Mapping[str, Any], gpu_mib: float, tp: int) -> tuple[int, int]:
    """``--chunked-prefill-size`` and the largest batch captured in CUDA graphs, as the size of the GPU decides.

    The batch is 160 where the release leaves it to the graph runner (before 0.5.3).
    """
    chosen = next(tier for tier in row["tiers"] if tier[0] is None or gpu_mib < tier[0])
    return int(chosen[1]), int(chosen[3 if tp >= 4 else 2] or 160)


def fraction(row: Mapping[str, Any], gpu_mib: float, wants: Wants) -> float:
    """The default ``--mem-fraction-static`` on a GPU of ``gpu_mib`` MiB."""
    if "table" in row:
        return _tabled(row["table"], gpu_mib, wants.tp * wants.pp)
    return float(round((gpu_mib - reserved(row, gpu_mib, wants)) / gpu_mib, 3))


def reserved(row: Mapping[str, Any], gpu_mib: float, wants: Wants) -> float:
    """MiB that are kept free of weights and KV cache."""
    chunked, graph = defaults(row, gpu_mib, wants.tp)
    chunked = chunked if wants.chunked is None else wants.chunked
    graph = graph if wants.graph is None else wants.graph
    # A size of -1 switches chunking off; then --max-prefill-tokens counts, 16384 by default.
    tokens = max(chunked if chunked > 0 else 16384, 2048)
    out = row["constant"] + tokens * row["token"] + graph * row["graph"] + wants.tp * wants.pp * row["gpu"]
    if wants.dp_attention:
        out += graph * wants.dp_attention * (row["dp"] + (row["dp_large"] if graph > 300 else 0))
    if wants.prefill_graph:
        kind = "mla" if wants.mla else "small" if tokens <= 4096 else "large"
        out += row["prefill_graph"][kind]
    above, floor = row["floor"]
    if gpu_mib > above:
        out = max(out, floor)
    if wants.speculative:
        known = row["speculative"]
        out += known.get(wants.speculative, known.get("EAGLE", 0) if wants.speculative != "NGRAM" else 0)
    if wants.deepep:
        out += row["deepep"]
    return float(out)


def _tabled(table: list[list[Any]], gpu_mib: float, gpus: int) -> float:
    """The fraction of the nearest size in the table of a release that had no formula."""
    return float(min(table, key=lambda entry: (abs(entry[0] - gpu_mib), abs(entry[1] - gpus)))[2])
