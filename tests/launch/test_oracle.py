"""Random launch lines, valid and broken, judged by SGLang's own argparse and argument checks and by us.

Needs environments with SGLang (mark ``lab``); ``oracle.py`` runs in them, without a GPU. A line that SGLang takes must
not be refused, but for what fails later than its checks: nodes that cannot find each other.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from sgldoctor.derive.conflicts import conflicts
from sgldoctor.derive.launch import options
from sgldoctor.facts import Facts
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.flags import Flag
from sgldoctor.probe.model import dimensions

LAB = os.environ.get("SGLDOCTOR_LAB", "")
ENVIRONMENTS = sorted(Path(LAB).glob("*/lib/python*/site-packages/sglang-*.dist-info")) if LAB else []
LATER = {"nodes-address", "node-rank", "address-port"}
NOT_TRIED = ("--model-path", "--config", "--device", "--log-level", "--log-level-http")
TOGETHER = (
    ("tp-size", "dp-size", "ep-size", "pp-", "nnodes", "attn-", "moe-d", "dp-attention", "cp-size"),
    ("speculative", "attention-backend", "page-size", "overlap", "mixed", "pp-size"),
    ("hicache", "hierarchical", "radix", "page-size", "disaggregation"),
    ("moe", "ep-", "eplb", "deepep", "quantization", "overlap", "tp-size"),
    ("pdmux", "pp-", "chunked", "priority", "schedule", "lora", "metrics", "ssl", "grpc"),
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8,
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "vocab_size": 128256,
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "torch_dtype": "bfloat16", "hidden_act": "silu",
}  # fmt: skip


def value(flag: Flag, some: random.Random) -> list[str]:
    if flag.choices:
        return [some.choice(flag.choices)]
    if flag.type in ("int", "human_readable_int", "List[int]"):
        return [str(some.choice([0, 1, 2, 3, 4, 8, 16, 64, 1024, 8192, -1]))]
    if "float" in flag.type:
        return [some.choice(["0.5", "0.9", "1", "2.5"])]
    return [some.choice(["{}", "[]"]) if "json" in flag.type else some.choice(["x", "auto", "1"])]


def broken(line: list[str], some: random.Random) -> list[str]:
    at = some.randrange(2, len(line))
    word = line[at]
    ways = [[], ["stray", word], [word + "=1"], ["abc"], [word.replace("-", "_")], [word[: max(4, len(word) - 2)]]]
    return [*line[:at], *some.choice(ways), *line[at + 1 :]]


def lines(release: str, model: str, count: int) -> list[list[str]]:
    some = random.Random(release)
    known = {flag.flag: flag for flag in flags.table(release).values() if flag.flag not in NOT_TRIED}
    out: list[list[str]] = []
    while len(out) < count:
        family = some.choice(TOGETHER)
        pool = [name for name in known if any(part in name for part in family)] if some.random() < 0.8 else list(known)
        line = ["--model-path", model]
        for name in some.sample(pool, min(len(pool), some.randint(1, 4))):
            line += [some.choice(known[name].names)] + (value(known[name], some) if known[name].nargs != "0" else [])
        out.append(broken(line, some) if some.random() < 0.3 else line)
    return out


def ours(line: list[str], release: str) -> str:
    facts = Facts()
    facts.put("launch", {"entry": "launch_server", "command": ""}, "launch")
    rows = [{"position": at, "text": text, "known": True} for at, text in enumerate(line)]
    facts.put("launch.argument", rows, "launch")
    facts.put("sglang", {"version": release}, "probe")
    facts.put("gpus", [{"index": index, "capability": "9.0"} for index in range(8)], "probe")
    facts.put("model", dimensions(CONFIG)[0], "probe")
    facts.merge(options(facts))
    if any(row["kind"] != "deprecated" for row in facts.rows("launch.invalid")):
        return "argparse"
    found = {row["name"] for row in conflicts(facts).rows("launch.conflict")}
    return "checks" if found - LATER else "valid"


@pytest.mark.lab
@pytest.mark.skipif(not ENVIRONMENTS, reason="SGLDOCTOR_LAB names no environment with SGLang")
@pytest.mark.parametrize("found", ENVIRONMENTS, ids=lambda path: path.name)
def test_the_verdicts_agree(found: Path, tmp_path: Path) -> None:
    release = found.name.split("-")[1].removesuffix(".dist")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    tried = lines(release, str(tmp_path), 300)
    text = "".join(json.dumps(line) + "\n" for line in tried)
    command = [str(found.parents[3] / "bin/python"), str(Path(__file__).parent / "oracle.py"), "9.0"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=900)
    said = [json.loads(line)[0] for line in done.stdout.splitlines()]
    pairs = [(theirs, ours(line, release), " ".join(line[2:])) for theirs, line in zip(said, tried, strict=True)]
    assert [pair for pair in pairs if pair[0] == "valid" != pair[1]] == []
    assert [pair for pair in pairs if (pair[0] == "argparse") != (pair[1] == "argparse")] == []
    counts = Counter(pair[:2] for pair in pairs)
    assert counts["checks", "checks"] >= 0.8 * (counts["checks", "checks"] + counts["checks", "valid"])
