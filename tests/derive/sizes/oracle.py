# mypy: ignore-errors
"""Ask SGLang itself which sizes work: builds each model of configs.json on the meta device, for each size.

    PYTHON_WITH_SGLANG oracle.py configs.json real/RELEASE.json

Needs an environment with SGLang installed, no GPU: what asks a device is replaced, the constraints are SGLang's own
(its models, linear layers, experts and quantization, one process, no weights). Works with 0.5.8, 0.5.16 and 0.5.23.
The answer has the sizes that work, ``TP/EP``, of those that ``tried`` names; a configuration that cannot be asked
about without a GPU is left out.
"""

import importlib.abc
import importlib.machinery
import inspect
import json
import sys
import tempfile
import types
from pathlib import Path
from unittest.mock import MagicMock

TPS = range(1, 65)
WITH_EP = ((4, 2), (8, 2), (8, 4), (8, 8), (16, 4), (16, 16), (32, 8), (32, 32), (64, 64), (6, 3), (6, 6))


class Kernels(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """``sgl_kernel`` without a driver: any name in it is there and does nothing."""

    def find_spec(self, name, path, target=None):
        ours = name.partition(".")[0] == "sgl_kernel"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if ours else None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = attribute
        return module

    def exec_module(self, module):
        pass


def attribute(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock()


class Group:
    """A group of ``size`` ranks of which this is the first."""

    def __init__(self, size):
        self.world_size, self.ranks = size, list(range(size))
        self.rank = self.rank_in_group = self.local_rank = 0
        self.is_first_rank = self.is_last_rank = True

    def __getattr__(self, name):
        return attribute(name)


def pretend_a_gpu():
    import torch
    import torch.library

    sys.meta_path.insert(0, Kernels())
    register = torch.library.register_fake
    torch.library.register_fake = lambda name, *a, **k: (
        (lambda function: function) if str(name).startswith("sgl_kernel") else register(name, *a, **k)
    )
    properties = types.SimpleNamespace(total_memory=80 << 30, name="H100", major=9, minor=0, multi_processor_count=132)
    for name, value in {
        "get_device_capability": (9, 0), "is_available": True, "device_count": 8, "_lazy_init": None,
        "current_device": 0, "get_device_properties": properties, "get_device_name": "NVIDIA H100",
        "mem_get_info": (79 << 30, 80 << 30),
    }.items():  # fmt: skip
        setattr(torch.cuda, name, lambda *a, value=value, **k: value)
    # Classes, for they stand in annotations of transformers 5.
    torch.cuda.Stream, torch.cuda.Event = type("Stream", (MagicMock,), {}), type("Event", (MagicMock,), {})
    torch.distributed.get_rank = lambda *a, **k: 0


def build(folder, tp, ep):
    import sglang.srt.distributed.parallel_state as state
    import torch
    from sglang.srt.configs.load_config import LoadConfig
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.layers import dp_attention
    from sglang.srt.layers.moe import initialize_moe_config
    from sglang.srt.model_loader import loader
    from sglang.srt.model_loader.utils import set_default_torch_dtype
    from sglang.srt.server_args import prepare_server_args, set_global_server_args_for_scheduler

    line = f"--model-path {folder} --device cuda --tp-size {tp} --ep-size {ep} --attention-backend triton"
    args = prepare_server_args([*line.split(), "--load-format", "dummy"])
    if context() is not None:
        context().clear_stamp()
    set_global_server_args_for_scheduler(args)
    torch.distributed.get_world_size = lambda *a, **k: tp
    gather(state, dp_attention, Group(tp), Group(ep), Group(tp // ep))
    initialize_moe_config(*[args] * initialize_moe_config.__code__.co_argcount)
    model, load = ModelConfig.from_server_args(args), LoadConfig(load_format="dummy")
    with set_default_torch_dtype(model.dtype), torch.device("meta"):
        quantized = [loader._get_quantization_config(model, load)] if "quant_config" in names(loader) else []
        loader._initialize_model(model, load, *quantized)


def context():
    """What holds the groups in later releases."""
    try:
        from sglang.srt.runtime_context import get_parallel
    except ImportError:
        return None
    return get_parallel() if hasattr(get_parallel(), "clear_stamp") else None


def names(loader):
    """The parameters of SGLang's own maker of models, which later releases give the quantization apart."""
    return inspect.signature(loader._initialize_model).parameters


def gather(state, dp_attention, tp, ep, shares):
    """Put the process into its groups, where the release keeps them."""
    one = Group(1)
    groups = {"_WORLD": tp, "_TP": tp, "_ATTN_TP": tp, "_PP": one, "_MOE_EP": ep, "_MOE_TP": shares}
    for name, group in (groups | {"_ATTN_CP": one, "_MOE_DP": one, "_DCP": one}).items():
        setattr(state, name, group)
    dp_attention._ATTN_TP_GROUP, dp_attention._ATTN_TP_SIZE, dp_attention._ATTN_TP_RANK = tp, tp.world_size, 0
    dp_attention._ATTN_DP_SIZE = dp_attention._LOCAL_ATTN_DP_SIZE = 1
    dp_attention._ATTN_DP_RANK = dp_attention._LOCAL_ATTN_DP_RANK = 0
    if context() is None:
        return
    context().override_permanently(
        **{f"{name}_rank": 0 for name in ("tp", "pp", "moe_ep", "moe_dp", "moe_tp", "attn_tp", "attn_cp", "attn_dp")},
        tp_group=tp, attn_tp_group=tp, shared_experts_tp_group=tp, world_group=tp, moe_ep_group=ep,
        moe_tp_group=shares, pp_group=one, moe_dp_group=one, attn_cp_group=one, dcp_group=one,
    )  # fmt: skip


def tried(config: dict[str, object]) -> list[tuple[int, int]]:
    """The sizes to ask about: each number of GPUs, and for models with experts some with expert parallelism."""
    parts = [config, config.get("text_config", {})]
    experts = any(key in part for part in parts for key in ("num_experts", "n_routed_experts", "num_local_experts"))
    return [(tp, 1) for tp in TPS] + list(WITH_EP if experts else ())


def main(configs, out):
    pretend_a_gpu()
    import sglang.srt.models.registry  # noqa: F401 - before anything is on the meta device
    from sglang.srt import server_args

    server_args.get_device_memory_capacity = lambda *a, **k: 80 * 1024
    real = {}
    for name, config in json.loads(Path(configs).read_text()).items():
        works, unasked = [], False
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(config))
            for tp, ep in tried(config):
                try:
                    build(folder, tp, ep)
                    works.append(f"{tp}/{ep}")
                except (AssertionError, ValueError) as error:
                    unasked = unasked or "Unknown quantization method" in str(error)
                except RuntimeError as error:
                    if "no NVIDIA driver" not in str(error):
                        raise
                    unasked = True
                if unasked:
                    break
        if not unasked:
            real[name] = " ".join(works)
    Path(out).write_text(json.dumps(real, indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
