# mypy: ignore-errors
"""Ask SGLang itself which sizes work: builds each model of configs.json on the meta device, for each size.

    PYTHON_WITH_SGLANG oracle.py configs.json real.json

Needs an environment with SGLang installed, no GPU: what asks a device is replaced, the constraints are SGLang's own
(its models, linear layers, experts and quantization, one process, no weights). ``real.json`` was made with 0.5.8.
"""

import importlib.abc
import importlib.machinery
import json
import sys
import tempfile
import types
from pathlib import Path
from unittest.mock import MagicMock

TPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)
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
    set_global_server_args_for_scheduler(args)
    state._WORLD, state._TP, state._PP = Group(tp), Group(tp), Group(1)
    state._MOE_EP, state._MOE_TP = Group(ep), Group(tp // ep)
    torch.distributed.get_world_size = lambda *a, **k: tp
    initialize_moe_config(args)
    dp_attention._ATTN_TP_GROUP, dp_attention._ATTN_TP_SIZE, dp_attention._ATTN_TP_RANK = Group(tp), tp, 0
    dp_attention._ATTN_DP_SIZE = dp_attention._LOCAL_ATTN_DP_SIZE = 1
    dp_attention._ATTN_DP_RANK = dp_attention._LOCAL_ATTN_DP_RANK = 0
    model, load = ModelConfig.from_server_args(args), LoadConfig(load_format="dummy")
    with set_default_torch_dtype(model.dtype), torch.device("meta"):
        loader._initialize_model(model, load)


def main(configs, out):
    pretend_a_gpu()
    import sglang.srt.models.registry  # noqa: F401 - before anything is on the meta device
    from sglang.srt import server_args

    server_args.get_device_memory_capacity = lambda *a, **k: 80 * 1024
    real = {}
    for name, config in json.loads(Path(configs).read_text()).items():
        experts = any(key in config for key in ("num_experts", "n_routed_experts", "num_local_experts"))
        real[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(config))
            for tp, ep in [(tp, 1) for tp in TPS] + list(WITH_EP if experts else ()):
                try:
                    build(folder, tp, ep)
                    real[name][f"{tp}/{ep}"] = ""
                except (AssertionError, ValueError) as error:
                    real[name][f"{tp}/{ep}"] = str(error).partition("\n")[0][:120] or "assert"
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in real.items())
    Path(out).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
