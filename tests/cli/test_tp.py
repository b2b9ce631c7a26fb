"""``sgldoctor tp``: the table of sizes, its inputs, its formats and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.derive.sizes import Sharing, candidates
from sgldoctor.knowledge.flags import releases
from tests.derive.sizes.oracle import tried

SIZES = Path(__file__).parents[1] / "derive" / "sizes"
CONFIGS = json.loads((SIZES / "configs.json").read_text(encoding="utf-8"))
REAL: dict[str, str] = json.loads((SIZES / "real/0.5.8.json").read_text(encoding="utf-8"))


@pytest.fixture
def tp(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = main(["tp", "--format", "json", *arguments])
        said = capsys.readouterr()
        return status, json.loads(said.out) if status != 2 else {"error": said.err}

    return run


def config(path: Path, values: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_table_agrees_with_what_sglang_itself_accepted(tp: Any, tmp_path: Path, name: str) -> None:
    path = config(tmp_path / "config.json", CONFIGS[name])
    by_ep: dict[int, set[int]] = {}
    for size, ep in tried(CONFIGS[name]):
        by_ep.setdefault(ep, set()).add(size)
    judged = 0
    for ep, asked in by_ep.items():
        _, answer = tp("--config", path, "--sglang", "0.5.8", "--ep", str(ep))
        for row in answer["sizes"]:
            if row["tp"] in asked:
                judged += 1
                assert row["works"] is (f"{row['tp']}/{ep}" in REAL[name].split()), row
                assert row["works"] is not bool(row["limits"])
    assert judged >= 7


def test_the_numbers_are_named(tp: Any, tmp_path: Path) -> None:
    status, answer = tp("--config", config(tmp_path / "c.json", CONFIGS["qwen2.5-7b"]), "--gpus", "8")
    assert (status, answer["schema"], answer["works"]) == (0, "sgldoctor.tp/1", [1, 2, 4])
    limits = {row["tp"]: [(limit["size"], limit["by"], limit["note"]) for limit in row["limits"]]
              for row in answer["sizes"]}  # fmt: skip
    assert sorted(limits) == [1, 2, 4, 7, 8]
    assert limits[8] == [(28, 8, "28 attention heads cannot be split over 8 GPUs")]
    assert answer["sglang"] == {"version": releases()[-1], "judged": releases()[-1], "note": ""}


def test_attention_groups_relax_the_heads_and_replicas_take_gpus(tp: Any, tmp_path: Path) -> None:
    path = config(tmp_path / "c.json", CONFIGS["qwen2.5-7b"])
    assert tp("--config", path, "--gpus", "8", "--dp", "2", "--enable-dp-attention")[1]["works"] == [2, 4, 8]
    status, answer = tp("--config", path, "--gpus", "8", "--dp", "2")
    assert [(row["tp"], row["gpus"]) for row in answer["sizes"]] == [(1, 2), (2, 4), (4, 8)]
    assert (status, answer["asked"]) == (0, {"gpus": 8, "ep": 1, "dp": 2, "dp_attention": False})


def test_a_release_pads_the_vocabulary_differently(tp: Any, tmp_path: Path) -> None:
    # 32064 is a multiple of 64 and not of 64 x 4; 167 x 3 x 64 over 5 GPUs is no whole number.
    values = {**CONFIGS["40-heads-odd-vocabulary"], "vocab_size": 32064}
    path = config(tmp_path / "c.json", values)
    assert 5 not in tp("--config", path, "--gpus", "10", "--sglang", "0.5.8")[1]["works"]
    assert 5 in tp("--config", path, "--gpus", "10", "--sglang", "0.5.22")[1]["works"]


def test_no_size_works(tp: Any, tmp_path: Path) -> None:
    path = config(tmp_path / "c.json", CONFIGS["qwen2.5-7b"])
    status, answer = tp("--config", path, "--gpus", "4", "--dp", "3", "--enable-dp-attention")
    assert (status, answer["works"]) == (1, [])
    assert main(["tp", "--config", path, "--gpus", "2", "--dp", "4"]) == 1


def test_the_model_from_a_folder_and_from_the_hub_cache(
    tp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "hub" / "models--org--name" / "snapshots" / ("a" * 40)
    config(folder / "config.json", CONFIGS["qwen2.5-72b"])
    assert tp(str(folder))[1]["works"] == tp("org/name")[1]["works"] == [1, 2, 4, 8, 16, 32, 64]
    status, answer = tp("org/other")
    assert (status, "org/other is not in the local hub cache" in answer["error"]) == (2, True)


def test_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = config(tmp_path / "c.json", CONFIGS["qwen2.5-7b"])
    assert main(["tp", "--config", path, "--gpus", "8", "--dp", "2", "--sglang", "99.1", "--width", "90"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "WORKS     --tp 1, 2, 4 on up to 8 GPUs with --dp 2"
    assert "28 attention heads" in " ".join(" ".join(lines).split())
    assert [line for line in lines if line.startswith("tp ")] == [
        "tp 1 (2 GPUs)  works", "tp 2 (4 GPUs)  works", "tp 4 (8 GPUs)  works",
    ]  # fmt: skip
    assert any("newer than what is known" in line for line in lines)
    assert all(len(line) <= 90 for line in lines)
    assert main(["tp", "--config", path, "--color", "always", "-q"]) == 0
    assert "\x1b[1;32mWORKS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "no number of attention heads"),
        ('{"num_attention_heads": "32"}', "num_attention_heads"),
        ('{"num_attention_heads": -1}', "num_attention_heads"),
        (None, "No such file"),
    ],
)
def test_a_config_that_cannot_be_judged(tp: Any, tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    status, answer = tp("--config", str(path))
    assert (status, words in answer["error"]) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a model"),
        (["m", "--config", "c"], "not both"),
        (["m", "--ep", "0"], "--ep"),
        (["m", "--sglang", "new"], "--sglang 'new'"),
        ([__file__], "a single file"),
        (["/nonexistent/m"], "/nonexistent/m does not exist"),
    ],
)
def test_what_is_wrong_with_the_call_is_said(tp: Any, arguments: list[str], words: str) -> None:
    status, answer = tp(*arguments)
    assert status == 2
    assert words in answer["error"]


def test_which_sizes_are_tried() -> None:
    assert candidates({"heads": 28}, 12, Sharing()) == [1, 2, 3, 4, 6, 7, 8, 12]
    assert candidates({}, 8, Sharing(dp=2)) == [1, 2, 4]
    assert candidates({}, 8, Sharing(dp=2, dp_attention=True)) == [1, 2, 4, 8]
