from __future__ import annotations

import json
from pathlib import Path

import pytest

from sgldoctor.probe.hub import cache_folder, hub, missing
from tests.probe.machine import lay, target

HOME = {"HOME": "/root"}
MODEL = "/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B"
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})


def model(root: Path, files: dict[str, str], blobs: dict[str, str] | None = None, ref: str = "abc") -> Path:
    """A cached model: snapshot files are links to blobs, as huggingface_hub makes them."""
    lay(root, {f"{MODEL}/refs/main": ref})
    for name, content in files.items():
        blob = f"sha-{name.replace('/', '-')}"
        if content != "GONE":
            lay(root, {f"{MODEL}/blobs/{blob}": content})
        lay(root, {f"{MODEL}/snapshots/abc/{name}": f"->../../blobs/{blob}"})
    return lay(root, {f"{MODEL}/blobs/{name}": text for name, text in (blobs or {}).items()})


def only(root: Path) -> dict[str, object]:
    (row,) = hub(target(root, HOME)).rows("hub.models")
    return row


def test_complete(tmp_path: Path) -> None:
    files = {"config.json": "{}", "model.safetensors.index.json": INDEX}
    root = model(tmp_path, {**files, "model-00001-of-00002.safetensors": "x", "model-00002-of-00002.safetensors": "x"})
    row = only(root)
    assert row == {"model": "Qwen/Qwen3-8B", "path": f"{MODEL}/snapshots/abc", "complete": True, "problem": ""}


def test_a_shard_that_the_index_names_is_missing(tmp_path: Path) -> None:
    files = {"model.safetensors.index.json": INDEX, "model-00001-of-00002.safetensors": "x"}
    row = only(model(tmp_path, files))
    assert row["complete"] is False
    assert row["problem"] == "1 of 2 shards missing: model-00002-of-00002.safetensors"


def test_a_shard_whose_blob_is_gone(tmp_path: Path) -> None:
    files = {
        "model.safetensors.index.json": INDEX,
        "model-00001-of-00002.safetensors": "x",
        "model-00002-of-00002.safetensors": "GONE",
    }
    assert "1 of 2 shards missing" in str(only(model(tmp_path, files))["problem"])


def test_a_dangling_link(tmp_path: Path) -> None:
    assert only(model(tmp_path, {"config.json": "GONE"}))["problem"] == "links without a file: config.json"


def test_an_unfinished_download(tmp_path: Path) -> None:
    row = only(model(tmp_path, {"config.json": "{}"}, {"0123.incomplete": "half"}))
    assert (row["complete"], row["problem"]) == (False, "1 unfinished downloads in blobs")


def test_no_snapshot(tmp_path: Path) -> None:
    root = lay(tmp_path, {f"{MODEL}/blobs/0123.incomplete": "half", f"{MODEL}/.no_exist/x": ""})
    assert only(root)["problem"] == "1 unfinished downloads and no snapshot"


def test_a_tokenizer_alone_is_complete(tmp_path: Path) -> None:
    assert only(model(tmp_path, {"tokenizer.json": "{}"}))["complete"] is True


@pytest.mark.parametrize("index", ["", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 1}}', "\xff{", "[" * 100000])
def test_a_broken_index_does_not_raise(tmp_path: Path, index: str) -> None:
    root = lay(tmp_path, {"/m/model.safetensors.index.json": index})
    assert isinstance(missing(target(root), "/m"), str)


def test_a_token_is_noticed_and_never_kept(tmp_path: Path) -> None:
    root = lay(tmp_path, {"/root/.cache/huggingface/token": "hf_supersecretsupersecret\n"})
    facts = hub(target(root, HOME))
    assert facts.value("hub", "token") is True
    facts = hub(target(tmp_path / "none", {**HOME, "HF_TOKEN": "hf_supersecretsupersecret"}))
    assert facts.value("hub", "token") is True
    assert "supersecret" not in json.dumps(facts.to_json())
    assert hub(target(tmp_path / "none", HOME)).value("hub", "token") is False


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HF_HUB_CACHE": "/data/hub"}, "/data/hub"),
        ({"HUGGINGFACE_HUB_CACHE": "/old/hub"}, "/old/hub"),
        ({"HF_HOME": "/data/hf"}, "/data/hf/hub"),
        ({"HF_HOME": "~/hf", "HOME": "/home/me"}, "/home/me/hf/hub"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/huggingface/hub"),
        ({"HOME": "/home/me"}, "/home/me/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(tmp_path: Path, environ: dict[str, str], folder: str) -> None:
    assert cache_folder(target(tmp_path, environ)) == folder


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("TRUE", True), ("0", False), ("", False)])
def test_offline(tmp_path: Path, value: str, offline: bool) -> None:
    assert hub(target(tmp_path, {**HOME, "HF_HUB_OFFLINE": value})).value("hub", "offline") is offline
