"""``sgldoctor check --model``: is it in the hub's cache, whole, allowed, with room; and what completes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.derive.modelfiles import derive
from sgldoctor.facts import Facts
from sgldoctor.probe.hub import hub
from sgldoctor.probe.modelfiles import modelfiles
from tests.probe.machine import lay, target

HOME = "/root/.cache/huggingface/hub/models--org--name"
INDEX = {
    "metadata": {"total_size": 40 << 20},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}


def weights(size: int, *, cut: int = 0) -> bytes:
    """A safetensors file with one tensor of ``size`` bytes, the last ``cut`` of them missing."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * (size - cut)


def cached(root: Path, files: dict[str, bytes | None], *, partial: tuple[str, ...] = ()) -> Path:
    """A cached model as huggingface_hub lays it out; a file that is None is a link to a blob that is not there."""
    lay(root, {f"{HOME}/refs/main": "abc"})
    for name, content in files.items():
        lay(root, {f"{HOME}/snapshots/abc/{name}": f"->../../blobs/{name}.blob"})
        if content is not None:
            lay(root, {f"{HOME}/blobs/{name}.blob": ""})
            (root / f"{HOME[1:]}/blobs/{name}.blob").write_bytes(content)
    for name in partial:
        lay(root, {f"{HOME}/blobs/{name}.incomplete": "x" * 100})
    return root


def whole(first: bytes | None = None, second: bytes | None = None) -> dict[str, bytes | None]:
    shard = weights(64)
    return {
        "config.json": b"{}",
        "model.safetensors.index.json": json.dumps(INDEX).encode(),
        "model-00001-of-00002.safetensors": first or shard,
        "model-00002-of-00002.safetensors": second or shard,
    }


def judged(root: Path, name: str = "org/name", *, free: int = 1 << 20, **environ: str) -> dict[str, dict[str, Any]]:
    """Problem to its row, of the fact ``model.download``."""
    at = target(root, {"HOME": "/root", **environ})
    facts = Facts()
    facts.merge(hub(at))
    facts.merge(modelfiles(at, name))
    facts.put("disks", {"for": "models", "free_mib": free}, "probe")
    return {row["problem"]: row for row in derive(facts).rows("model.download")}


def test_a_whole_model_is_no_finding(tmp_path: Path) -> None:
    assert judged(cached(tmp_path, whole()), HF_TOKEN="t") == {}


def test_a_shard_that_the_index_names(tmp_path: Path) -> None:
    files = whole()
    del files["model-00002-of-00002.safetensors"]
    row = judged(cached(tmp_path, files, partial=("x",)), HF_TOKEN="t")["incomplete"]
    assert "1 of 2 shards are missing: model-00002-of-00002.safetensors; 1 downloads were broken off" in row["note"]
    assert row["need_mib"] > 0


def test_a_link_without_its_blob(tmp_path: Path) -> None:
    files: dict[str, bytes | None] = {**whole(), "tokenizer.json": None}
    assert "tokenizer.json" in judged(cached(tmp_path, files))["incomplete"]["note"]


def test_a_download_that_was_broken_off(tmp_path: Path) -> None:
    assert "incomplete" in judged(cached(tmp_path, whole(), partial=("x", "y")))


def test_a_configuration_alone(tmp_path: Path) -> None:
    assert "no weights" in judged(cached(tmp_path, {"config.json": b"{}"}))["incomplete"]["note"]


@pytest.mark.parametrize("content", [weights(64, cut=10), b"version https://git-lfs.github.com/spec/v1\n", b"<html>"])
def test_a_file_shorter_than_its_header_says(tmp_path: Path, content: bytes) -> None:
    row = judged(cached(tmp_path, whole(second=content)))["damaged"]
    assert "model-00002-of-00002.safetensors" in row["note"]


def test_absent(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert set(found) == {"absent", "no-token"}
    assert found["absent"]["program"] == "hf"
    assert set(judged(tmp_path, HF_TOKEN="t")) == {"absent"}
    assert "offline" in judged(tmp_path, HF_HUB_OFFLINE="1", HF_TOKEN="t")


def test_no_room_for_the_rest(tmp_path: Path) -> None:
    files = whole()
    del files["model-00002-of-00002.safetensors"]
    root = cached(tmp_path, files)
    assert "no-room" in judged(root, free=500)
    assert "no-room" not in judged(root, free=2000)


def test_a_folder(tmp_path: Path) -> None:
    lay(tmp_path, {"/models/m/config.json": "{}"})
    (tmp_path / "models/m/model.safetensors").write_bytes(weights(64))
    assert judged(tmp_path, "/models/m") == {}
    (tmp_path / "models/m/model.safetensors").write_bytes(weights(64, cut=1))
    assert "damaged" in judged(tmp_path, "/models/m")
    assert "does not exist" in judged(tmp_path, "/models/none")["no-folder"]["note"]


def test_the_program_of_the_installed_hub_library(tmp_path: Path) -> None:
    facts = Facts()
    facts.merge(modelfiles(target(tmp_path, {"HOME": "/root"}), "org/name"))
    facts.put("packages", {"name": "huggingface-hub", "version": "0.33.4"}, "probe")
    (row,) = derive(facts).rows("model.download")
    assert row["program"] == "huggingface-cli"


def test_a_name_that_is_none(tmp_path: Path) -> None:
    facts = modelfiles(target(tmp_path, {}), "a b c")
    assert not facts.known("model.files")
    assert "neither a folder nor a hub id" in facts.unknown[0].because


def test_through_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On this machine: an incomplete model in a cache of its own, with the command that completes it."""
    import subprocess
    import sys

    from sgldoctor.__main__ import main

    files = whole()
    del files["model-00002-of-00002.safetensors"]
    cached(tmp_path, files)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "root/.cache/huggingface"))
    asked = ["check", "--venv", str(venv), "--model", "org/name", "--area", "model", "--format", "json"]
    assert main(asked) == 1
    findings = {finding["rule"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["model-download-incomplete"]["fixes"][0]["actions"][0]["command"] == "hf download org/name"
