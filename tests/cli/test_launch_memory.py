"""What ``sgldoctor launch`` says of memory: fits, or does not, and why; from headers where there are files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.knowledge.flags import releases

DATA = json.loads((Path(__file__).parents[1] / "derive" / "memory" / "logs.json").read_text(encoding="utf-8"))
NEWEST = releases()[-1]


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))

    def run(model: str, gib: float, *line: str, gpus: int = 1, sglang: str = NEWEST) -> dict[str, Any]:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(DATA["models"][model]), encoding="utf-8")
        status = main(
            ["launch", "--format", "json", "--sglang", sglang, "--gpus", str(gpus), "--gpu-memory", str(gib),
             "--compute-capability", "9.0", "--", "python", "-m", "sglang.launch_server", "--model-path", str(folder),
             *line]
        )  # fmt: skip
        report = json.loads(capsys.readouterr().out)
        rows = report["facts"].get("launch.memory", {}).get("rows", [])
        rules = {finding["rule"] for finding in report["findings"]}
        return {"exit": status, "rules": rules, **(rows[0] if rows else {})}

    return run


def test_fits(launch: Any) -> None:
    said = launch("Llama-3.1-8B", 79.6)
    assert said["exit"] == 0
    assert said["verdict"] == "fits"
    assert 350_000 < said["tokens"] < 460_000
    assert said["concurrency"] == said["tokens"] // 131072


def test_weights_alone_are_too_large(launch: Any) -> None:
    said = launch("Qwen3-32B", 23.5)
    assert said["exit"] == 1
    assert "weights-larger-than-gpu" in said["rules"]
    assert said["gpus"] >= 3


def test_spread_over_enough_gpus(launch: Any) -> None:
    assert launch("Qwen3-32B", 23.5, "--tp", "4", gpus=4)["verdict"] in ("fits", "close")


def test_nothing_left_for_the_cache(launch: Any) -> None:
    said = launch("Qwen3-32B", 79.6, "--mem-fraction-static", "0.6")
    assert said["exit"] == 1
    assert "kv-cache-cannot-fit" in said["rules"]
    assert said["minimum"] > 0.76


def test_a_narrow_fit_is_no_error(launch: Any) -> None:
    """61.07 GiB on 80 GB ran in reality with little to spare: a false alarm would be worse than silence."""
    said = launch("Qwen3-32B", 79.6, sglang="0.5.19")
    assert said["exit"] == 0
    assert not said["rules"] & {"kv-cache-cannot-fit", "weights-larger-than-gpu"}


def test_context_beyond_the_pool_is_a_warning(launch: Any) -> None:
    said = launch("Qwen3-32B", 79.6, "--context-length", "40960", "--mem-fraction-static", "0.82")
    assert said["exit"] == 0
    assert "kv-pool-below-context" in said["rules"]


def test_fp8_cache_holds_twice_as_many_tokens(launch: Any) -> None:
    plain, half = launch("Qwen3-8B", 79.6), launch("Qwen3-8B", 79.6, "--kv-cache-dtype", "fp8_e4m3")
    assert half["tokens"] == pytest.approx(2 * plain["tokens"], rel=0.001)


def test_online_quantization_halves_the_weights(launch: Any) -> None:
    assert launch("Qwen3-32B", 79.6, "--quantization", "fp8")["weights_gib"] < 34
    assert "verdict" not in launch("Qwen3-32B", 23.5, "--quantization", "unheard-of")


@pytest.mark.parametrize("flag", [["--cpu-offload-gb", "40"], ["--load-format", "dummy"]])
def test_weights_elsewhere_are_not_judged(launch: Any, flag: list[str]) -> None:
    assert "verdict" not in launch("Qwen3-32B", 23.5, *flag)


def test_weights_that_are_smaller_than_the_config_tells_are_not_estimated(launch: Any, tmp_path: Path) -> None:
    """ModelOpt keeps its description apart; without it the name may tell. Headers, where there are any, decide."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "hf_quant_config.json").write_text(
        '{"quantization": {"quant_algo": "NVFP4"}}', encoding="utf-8"
    )
    said = launch("Qwen3-32B", 23.5)
    assert "verdict" not in said
    assert said["exit"] == 0
    safetensors(tmp_path / "model" / "model.safetensors", {"model.layers.0.mlp.up_proj.weight": ("U8", 16 << 30)})
    assert launch("Qwen3-32B", 23.5)["weights_gib"] == 16.0


def test_a_name_that_tells_of_a_quantization_the_config_does_not(tmp_path: Path) -> None:
    from sgldoctor.probe.model import _text, dimensions
    from sgldoctor.probe.weights import weights

    config = DATA["models"]["Qwen3-32B"]
    row, _ = dimensions(config)
    assert not weights("/cache/models--org--Qwen3-32B-FP4/snapshots/a", config, _text(config), row).known("model.parts")
    assert weights("/cache/models--org--Qwen3-32B/snapshots/a", config, _text(config), row).known("model.parts")


def test_a_larger_reserve_leaves_fewer_tokens(launch: Any) -> None:
    few = launch("Qwen3-8B", 79.6, "--chunked-prefill-size", "32768")
    assert few["fraction"] < launch("Qwen3-8B", 79.6)["fraction"]


def safetensors(path: Path, tensors: dict[str, tuple[str, int]]) -> None:
    """A file with the header of these tensors (name to type and bytes); the data itself is never read."""
    at, header = 0, {}
    for name, (kind, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": [size // 2], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def test_headers_decide_where_files_are_there(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    safetensors(
        tmp_path / "model" / "model.safetensors",
        {
            "model.embed_tokens.weight": ("BF16", 2 << 30),
            "model.layers.0.self_attn.q_proj.weight": ("BF16", 4 << 30),
            "model.layers.0.mlp.up_proj.weight": ("BF16", 8 << 30),
            "model.layers.99.mlp.up_proj.weight": ("BF16", 64 << 30),
        },
    )
    said = launch("Qwen3-8B", 79.6, "--tp", "2", gpus=2)
    # Layer 99 of 36 belongs to a draft model, which is not loaded here.
    assert said["source"] == "headers"
    assert said["weights_gib"] == 7.0


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, (30).to_bytes(8, "little") + b"[]"])
def test_damaged_headers_fall_back_to_the_config(launch: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    assert launch("Qwen3-8B", 79.6)["source"] == "config"


@pytest.mark.parametrize("sglang", ["0.5.2", "0.5.8", "0.5.13", NEWEST])
@pytest.mark.parametrize("model", sorted(DATA["models"]))
def test_every_release_and_model_gets_an_answer(launch: Any, model: str, sglang: str) -> None:
    """Enough memory: no alarm, whatever the model's kind of attention and quantization."""
    said = launch(model, 180.0, "--tp", "8", gpus=8, sglang=sglang)
    assert not said["rules"] & {"kv-cache-cannot-fit", "weights-larger-than-gpu", "kv-pool-below-context"}


def test_weights_as_large_as_the_gpu_do_not_fit(launch: Any, tmp_path: Path) -> None:
    """The CUDA context takes its part of every GPU."""
    (tmp_path / "model").mkdir()
    safetensors(tmp_path / "model" / "model.safetensors", {"model.layers.0.mlp.up_proj.weight": ("BF16", 24 << 30)})
    assert launch("Qwen3-8B", 23.5)["verdict"] == "weights"


def test_without_tokens_no_request_fits(launch: Any) -> None:
    said = launch("Qwen3-32B", 79.6, "--mem-fraction-static", "0.6")
    assert (said["tokens"], said["concurrency"]) == (0, 0)


def test_graphs_of_prefill_and_of_larger_batches_are_paid_for(launch: Any) -> None:
    plain = launch("Qwen3-0.6B", 23.5, sglang="0.5.8")["fraction"]
    assert launch("Qwen3-0.6B", 23.5, "--enable-piecewise-cuda-graph", sglang="0.5.8")["fraction"] < plain
    plain = launch("Qwen3-0.6B", 23.5)["fraction"]
    assert launch("Qwen3-0.6B", 23.5, "--cuda-graph-max-bs-decode", "512")["fraction"] < plain


def test_a_vision_tower_has_its_part_of_the_reserve(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16}
    monkeypatch.setitem(DATA["models"], "seeing", {**DATA["models"]["Qwen3-8B"], "vision_config": tower})
    seeing, blind = launch("seeing", 79.6)["fraction"], launch("seeing", 79.6, "--language-only")["fraction"]
    assert seeing < blind == launch("Qwen3-8B", 79.6)["fraction"]
    assert seeing == round(seeing, 3)
