"""Makes ``sgldoctor/knowledge/data/memory.json``: how each release of SGLang divides the memory of a GPU by default.

    python scripts/memory_heuristics.py WHEELS

WHEELS holds ``sglang-*.whl`` of every release to be known. Nothing of them is imported: the functions that choose the
defaults are cut out of the syntax tree and run alone, with stand-ins for what they call. The coefficients are the
differences between runs; every release is then checked on random settings against the formula that
:mod:`sgldoctor.derive.reserve` computes with them, and one that differs is left out and named.
"""

from __future__ import annotations

import ast
import copy
import itertools
import json
import random
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

from wheels import opened

OUT = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data" / "memory.json"
SIZES = (16, 24, 32, 40, 48, 80, 96, 141, 180, 288)
FUNCTIONS = (
    "_handle_gpu_memory_settings", "handle_gpu_memory_settings", "reserve_for_graph_mb", "reserve_for_deepep_a2a_mb",
    "_generate_cuda_graph_batch_sizes", "_generate_decode_cuda_graph_batch_sizes",
    "generate_decode_cuda_graph_batch_sizes", "_generate_piecewise_cuda_graph_tokens",
    "_generate_prefill_cuda_graph_batch_sizes", "generate_prefill_cuda_graph_batch_sizes",
)  # fmt: skip


DECLARED: dict[str, Any] = {}
"""Defaults that the release at hand declares and its function reads without looking for None."""


class Phase:
    """One half of ``cuda_graph_config``."""

    def __init__(self, backend: str) -> None:
        self.backend, self.max_bs, self.bs = backend, None, None


class Args:
    """Stands in for ServerArgs: plain values, and None for all that is not given."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def run(functions: dict[str, ast.FunctionDef], inline: list[ast.stmt], gpu_mem: float, **given: Any) -> Args:
    """The arguments after the release has chosen its defaults for a GPU of ``gpu_mem`` MiB."""
    backend = types.SimpleNamespace(DISABLED="disabled", BREAKABLE="breakable", FULL="full")
    mla = given.pop("mla", False)
    prefill = given.pop("piecewise", False)
    config = types.SimpleNamespace(decode=Phase("full"), prefill=Phase("breakable" if prefill else "disabled"))
    decode_max = given.pop("graph", None)
    config.decode.max_bs = decode_max
    args = Args(
        **{
            "tp_size": 1, "pp_size": 1, "dp_size": 1, "attn_dp_size": 1, "enable_dp_attention": False, "device": "cuda",
            "disaggregation_mode": "null", "max_prefill_tokens": 16384, "cuda_graph_max_bs": decode_max,
            "enable_piecewise_cuda_graph": prefill, "disable_piecewise_cuda_graph": not prefill, "model_path": "m",
            "cuda_graph_config": config, "moe_a2a_backend": "none", "page_size": 1, **DECLARED, **given,
        }
    )  # fmt: skip
    plain = types.SimpleNamespace(is_multimodal=False, hf_config=types.SimpleNamespace())
    args.use_mla_backend = lambda: mla
    args.get_model_config = lambda: plain
    args.__dict__["_resolved"] = lambda: args
    args.post_capture_kv_sizing_planned = lambda: False
    args.__dict__["_cuda_graph_config_locked"] = set()

    def declare(target: Args, _name: str, **values: Any) -> None:
        target.__dict__.update(values)

    space: dict[str, Any] = {
        "Backend": backend, "Phase": types.SimpleNamespace(PREFILL="prefill"), "copy": copy, "Any": Any, "List": list,
        "Optional": Any, "Union": Any, "Dict": dict, "resolving_view": lambda x: x, "resolved_view": lambda x: x,
        "declare_resolution": declare, "get_device_memory_capacity": lambda _device: gpu_mem, "is_npu": lambda: False,
        "use_mla_backend": lambda _args: mla, "model_config_of": lambda _args: plain, "is_hip": lambda: False,
        "post_capture_kv_sizing_planned": lambda _args: False, "_DEFAULT_PP_PREFILL_CUDA_GRAPH_MAX_TOKENS": 1 << 30,
        "attn_dp_enabled_of": lambda view: view.attn_dp_size > 1, "gpu_mem": gpu_mem, "self": args,
        "get_platform": lambda: types.SimpleNamespace(is_xpu=False), "logger": Args(), "envs": Args(),
        "expand_multimodal_decode_graph_to_running_limit": lambda *_: None, "is_xpu": lambda: False,
        "is_flashinfer_available": lambda: True, "is_cuda": lambda: True,
        "get_device_sm": lambda: 90, "is_sm100_supported": lambda: False,
    }  # fmt: skip
    code = _compiled(functions, inline)
    space["ModelConfig"] = types.SimpleNamespace(from_server_args=lambda _args: plain)
    exec(code, space)  # noqa: S102 - a few functions of a published wheel, run alone
    for name, node in functions.items():
        if node.args.args and node.args.args[0].arg == "self":
            setattr(args, name, types.MethodType(space[name], args))
    if inline:
        return args
    if "handle_gpu_memory_settings" in functions:
        wants = len(functions["handle_gpu_memory_settings"].args.args)
        space["handle_gpu_memory_settings"](*[args, gpu_mem][:wants])
    else:
        getattr(args, "_handle_gpu_memory_settings")(gpu_mem)  # noqa: B009 - theirs, and private
    return args


def _compiled(functions: dict[str, ast.FunctionDef], inline: list[ast.stmt]) -> types.CodeType:
    key = tuple(map(id, [*functions.values(), *inline]))
    if key not in CODE:
        body: list[ast.stmt] = [_bare(node) for node in functions.values()]
        body += [_without_imports(node) for node in inline]
        # The nodes are kept with the code, so that no other node can get the address of one of them.
        CODE[key] = (compile(ast.fix_missing_locations(ast.Module(body, [])), "release", "exec"), functions, inline)
    return CODE[key][0]


CODE: dict[tuple[int, ...], tuple[types.CodeType, dict[str, ast.FunctionDef], list[ast.stmt]]] = {}


def _bare(node: ast.FunctionDef) -> ast.stmt:
    node = copy.deepcopy(node)
    node.decorator_list, node.returns = [], None
    for argument in node.args.args:
        argument.annotation = None
    return _without_imports(node)


def _without_imports(node: ast.stmt) -> ast.stmt:
    class Strip(ast.NodeTransformer):
        def visit_ImportFrom(self, _node: ast.ImportFrom) -> ast.stmt:
            return ast.Pass()

    changed: ast.stmt = Strip().visit(copy.deepcopy(node))
    return changed


def read(folder: zipfile.Path) -> tuple[dict[str, ast.FunctionDef], list[ast.stmt]]:
    """The functions that choose, or before 0.5.3 the statements of ``__post_init__`` that do."""
    found: dict[str, ast.FunctionDef] = {}
    inline: list[ast.stmt] = []
    groups = folder / "sglang/srt/arg_groups"
    inside = sorted(groups.iterdir(), key=lambda file: file.name) if groups.is_dir() else []
    files = [folder / "sglang/srt/server_args.py", *(file for file in inside if file.name.endswith(".py"))]
    DECLARED.clear()
    for path in files:
        if not path.exists():
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "piecewise_cuda_graph_max_tokens":
                DECLARED["piecewise_cuda_graph_max_tokens"] = getattr(node.value, "value", None)
            if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS and node.name not in found:
                found[node.name] = node
            if isinstance(node, ast.FunctionDef) and node.name == "__post_init__" and path.name == "server_args.py":
                wanted = ("mem_fraction_static is None", "chunked_prefill_size is None", "cuda_graph_max_bs is None")
                inline += [
                    part for part in node.body
                    if isinstance(part, ast.If) and any(ast.unparse(part.test).endswith(want) for want in wanted)
                ]  # fmt: skip
    settled = any(name.endswith("handle_gpu_memory_settings") for name in found)
    return found, [] if settled else inline


def reserved(args: Args, gpu_mem: float) -> float:
    """What the release keeps free, in MiB; known to half of a thousandth of the GPU, since the fraction is rounded."""
    return float((1 - args.mem_fraction_static) * gpu_mem)


def describe(functions: dict[str, ast.FunctionDef], inline: list[ast.stmt]) -> dict[str, Any]:
    """The coefficients of one release."""

    def keep(gpu: float = 1e9, **given: Any) -> float:
        return round(reserved(run(functions, inline, gpu, **given), gpu), 3)

    tiers: list[list[Any]] = []
    edges = [20 * 1024, 25000, 35 * 1024, 60 * 1024, 81921, 90 * 1024, 96 * 1024 + 1, 100 * 1024, 160 * 1024, None]
    for edge in edges:
        at = edge - 1 if edge else 400 * 1024
        few, many = run(functions, inline, at, tp_size=1), run(functions, inline, at, tp_size=4)
        graphs = [_graph(few), _graph(many)]
        row = [edge, few.chunked_prefill_size, *graphs]
        if tiers and tiers[-1][1:] == row[1:]:
            tiers[-1] = row
        else:
            tiers.append(row)
    out: dict[str, Any] = {"tiers": tiers}
    if inline:
        out["table"] = _table(functions, inline)
        return out
    # Rounding to thousandths would hide the coefficients: on a GPU of a million MiB it is undone by exact arithmetic.
    exact = _exact(functions)
    base = exact(chunked_prefill_size=4096, graph=0)
    out["constant"] = base - 4096 * (exact(chunked_prefill_size=8192, graph=0) - base) / 4096 - 128
    out["token"] = (exact(chunked_prefill_size=8192, graph=0) - base) / 4096
    out["graph"] = exact(chunked_prefill_size=4096, graph=100) / 100 - base / 100
    out["gpu"] = exact(chunked_prefill_size=4096, graph=0, tp_size=9) / 8 - base / 8
    out["constant"] = base - 4096 * out["token"] - out["gpu"]
    dp = {"chunked_prefill_size": 4096, "enable_dp_attention": True, "dp_size": 2, "attn_dp_size": 2}
    out["dp"] = (exact(graph=100, **dp) - exact(graph=100, chunked_prefill_size=4096)) / 200
    out["dp_large"] = (exact(graph=400, **dp) - exact(graph=400, chunked_prefill_size=4096)) / 800 - out["dp"]
    out["floor"] = _floor(functions)
    large = {"chunked_prefill_size": 4096, "graph": 0}
    speculative = {
        name: exact(speculative_algorithm=name, speculative_num_draft_tokens=4, **large) - base
        for name in ("EAGLE", "STANDALONE", "NGRAM")
    }
    out["speculative"] = {name: value for name, value in speculative.items() if value}
    out["deepep"] = exact(moe_a2a_backend="deepep", **large) - base
    out["prefill_graph"] = {
        "small": exact(piecewise=True, **large) - base,
        "large": exact(piecewise=True, chunked_prefill_size=8192, graph=0) - exact(chunked_prefill_size=8192, graph=0),
        "mla": exact(piecewise=True, mla=True, **large) - exact(mla=True, **large),
    }
    return out


def _graph(args: Args) -> Any:
    return args.cuda_graph_max_bs if args.cuda_graph_max_bs is not None else args.cuda_graph_config.decode.max_bs


def _exact(functions: dict[str, ast.FunctionDef]) -> Any:
    """Reserved MiB without rounding: ``round`` is taken out of the functions; the GPU is small, so no floor applies."""

    class Unround(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            return node.args[0] if isinstance(node.func, ast.Name) and node.func.id == "round" else node

    raw = {name: Unround().visit(copy.deepcopy(node)) for name, node in functions.items()}

    def keep(**given: Any) -> float:
        gpu = 50 * 1024
        return round((1 - run(raw, [], gpu, **given).mem_fraction_static) * gpu, 6)

    keep.raw = raw  # type: ignore[attr-defined]
    return keep


def _floor(functions: dict[str, ast.FunctionDef]) -> list[float]:
    raw = _exact(functions).raw
    gpu = 60 * 1024 + 1
    low = (1 - run(raw, [], gpu, chunked_prefill_size=2048, graph=0).mem_fraction_static) * gpu
    return [60 * 1024, round(low, 3)]


def _table(functions: dict[str, ast.FunctionDef], inline: list[ast.stmt]) -> list[list[Any]]:
    """Before 0.5.3: fractions by size of GPU and number of GPUs, since no formula over the settings is used."""
    rows = []
    for size, tp in itertools.product(SIZES, (1, 2, 4, 8, 16)):
        rows.append([size * 1024, tp, run(functions, inline, size * 1024, tp_size=tp).mem_fraction_static])
    return rows


def agrees(functions: dict[str, ast.FunctionDef], row: dict[str, Any]) -> bool:
    """Whether the formula gives what the release itself gives, on 200 random settings."""
    from sgldoctor.derive.reserve import Wants, fraction

    chance = random.Random(7)  # noqa: S311
    for _ in range(200):
        gpu = chance.choice(SIZES) * 1024 - chance.randrange(600)
        tp = chance.choice((1, 2, 4, 8))
        wants = Wants(
            tp=tp, pp=chance.choice((1, 1, 2)), dp_attention=chance.choice((0, 0, 2)),
            chunked=chance.choice((None, None, 2048, 4096, 16384)), graph=chance.choice((None, None, 8, 200, 512)),
            speculative=chance.choice(("", "", "EAGLE", "STANDALONE", "NGRAM")), deepep=chance.random() < 0.2,
        )  # fmt: skip
        given = {
            "tp_size": tp, "pp_size": wants.pp, "chunked_prefill_size": wants.chunked, "graph": wants.graph,
            "speculative_algorithm": wants.speculative or None, "moe_a2a_backend": "deepep" if wants.deepep else "none",
        }  # fmt: skip
        if wants.dp_attention:
            given |= {"enable_dp_attention": True, "dp_size": 2, "attn_dp_size": 2}
        theirs, ours = run(functions, [], gpu, **given).mem_fraction_static, fraction(row, gpu, wants)
        if abs(theirs - ours) > 0.0011:
            print("differs", gpu, wants, theirs, ours)
            return False
    return True


def main() -> None:
    """Write the table, equal releases together."""
    spans: list[dict[str, Any]] = []
    for wheel in opened(Path(sys.argv[1])):
        folder, release = zipfile.Path(wheel.path), wheel.version
        functions, inline = read(folder)
        try:
            row = describe(functions, inline)
            if not inline and not agrees(functions, row):
                raise ValueError("the formula does not hold")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - said, and left out
            print(f"{release}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        row["swa"] = swa(folder)
        if spans and {k: v for k, v in spans[-1].items() if k != "releases"} == row:
            spans[-1]["releases"][1] = release
        else:
            spans.append({"releases": [release, release], **row})
    lines = ",\n".join(json.dumps(row) for row in spans)
    source = "sglang/srt/server_args.py and arg_groups/memory_hook.py of each wheel, run alone"
    OUT.write_text(f'{{"source": {json.dumps(source)},\n"spans": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(spans)} spans, {OUT.stat().st_size} bytes")


def swa(folder: zipfile.Path) -> list[str]:
    """Architectures whose sliding-window layers get a pool of their own (``model_config.py:is_hybrid_swa_model``)."""
    path = folder / "sglang/srt/configs/model_config.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {
        target.id: [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
        for node in tree.body if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in ("is_hybrid_swa_model", "is_hybrid_model"):
            for part in ast.walk(node):
                if isinstance(part, (ast.Set, ast.List, ast.Tuple)):
                    names |= {one.value for one in part.elts if isinstance(one, ast.Constant)}
                    for one in part.elts:
                        if isinstance(one, ast.Starred) and isinstance(one.value, ast.Name):
                            names |= set(named.get(one.value.id, ()))
                if isinstance(part, ast.Compare) and isinstance(part.left, ast.Constant):
                    names.add(part.left.value)
    return sorted(name for name in names if isinstance(name, str) and name[:1].isupper())


if __name__ == "__main__":
    main()
