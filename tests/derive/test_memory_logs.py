"""The memory estimate against figures that SGLang itself logged on real GPUs; ``docs/memory.md`` reports the errors.

``python tests/derive/test_memory_logs.py`` prints the table of that page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.derive.launch import derive
from sgldoctor.facts import Facts
from sgldoctor.launch import facts_of
from sgldoctor.probe.model import _text, dimensions
from sgldoctor.probe.weights import weights

DATA = json.loads((Path(__file__).parent / "memory" / "logs.json").read_text(encoding="utf-8"))


def showing(figure: str) -> pytest.MarkDecorator:
    """Run a test over the logs that show a figure."""
    logs = [log for log in DATA["logs"] if figure in log]
    return pytest.mark.parametrize("log", logs, ids=[f"{log['day']}-{log['model']}-{log['gpu']}" for log in logs])


def estimate(log: dict[str, Any]) -> tuple[Facts, dict[str, Any]]:
    """The facts about the model, and ``launch.memory`` for a GPU as in the log."""
    config = DATA["models"][log["model"]]
    row, _ = dimensions(config)
    row["path"] = log["model"]
    tp = log.get("tp", 1)
    facts = facts_of(f"python -m sglang.launch_server --model-path m --tp {tp} {log.get('line', '')}")
    facts.put("model", row, "probe")
    facts.merge(weights("/nonexistent", config, _text(config), row))
    if "held" in log:
        held = {"part": "attention", "bytes": int(log["held"] * (1 << 30)), "bits": 16, "source": "headers"}
        facts.put("model.parts", held, "probe")
    facts.put("sglang", {"version": log["sglang"]}, "launch")
    # Where the log does not say how much memory there is, only weights and tokens are compared: any size does.
    size = log.get("mib", 400 * 1024)
    facts.put("gpus", [{"index": n, "memory_total_mib": size, "capability": "9.0"} for n in range(tp)], "launch")
    return facts, derive(facts).one("launch.memory")


@showing("weights")
def test_weights(log: dict[str, Any]) -> None:
    """Within 3 % and 0.2 GiB of "mem usage=" (which holds some CUDA workspace, too)."""
    _, said = estimate(log)
    assert said["weights_gib"] == pytest.approx(log["weights"], rel=0.03, abs=0.2)


@showing("kv")
def test_size_of_a_token(log: dict[str, Any]) -> None:
    """Within 1 % of the logged size of the cache, as far as its two decimals tell."""
    tokens = log.get("tokens", log.get("tokens_logged"))
    _, said = estimate(log)
    assert said["token_bytes"] * tokens / (1 << 30) == pytest.approx(log["kv"], rel=0.01, abs=0.011)


@showing("state")
def test_state_of_linear_attention(log: dict[str, Any]) -> None:
    """Within 1 % of the logged conv_state and ssm_state sizes, for the logged number of slots."""
    _, said = estimate(log)
    assert said["state_bytes"] * log["slots"] / (1 << 30) == pytest.approx(log["state"], rel=0.01)


@showing("tokens")
def test_tokens(log: dict[str, Any]) -> None:
    """Within 6 % of "max_total_num_tokens", or of the tokens that 1.5 GiB hold where few are left."""
    _, said = estimate(log)
    assert said["verdict"] == "fits"
    spare = 1.5 * (1 << 30) / said["token_bytes"]
    assert said["tokens"] == pytest.approx(log["tokens"], rel=0.06, abs=spare)


def main() -> None:
    """Print the errors, one log a line."""
    for log in DATA["logs"]:
        _, said = estimate(log)
        cells = [log["day"], log["model"], log["sglang"], f"{log.get('tp', 1)} x {log['gpu']}"]
        for name, ours in (("weights", said["weights_gib"]), ("tokens", said["tokens"])):
            theirs = log.get(name)
            cells.append(f"{theirs:,} / {ours:,} ({ours / theirs - 1:+.1%})" if theirs else "")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
