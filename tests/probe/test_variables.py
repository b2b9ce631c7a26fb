from __future__ import annotations

import json
from pathlib import Path

from sgldoctor.probe.environment import environment
from tests.probe.machine import lay, target


def test_only_what_counts_and_nothing_secret(tmp_path: Path) -> None:
    environ = {
        "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "2048",
        "SGL_X": "1",
        "HF_TOKEN": "hf_0123456789abcdefghij",
        "HUGGING_FACE_HUB_TOKEN": "plainsecret",
        "http_proxy": "http://me:pw12@proxy:3128",
        "CUDA_VISIBLE_DEVICES": "",
        "DATABASE_PASSWORD": "never",
        "PS1": "$ ",
    }
    facts = environment(target(tmp_path, environ))
    values = {row["name"]: row["value"] for row in facts.rows("environment")}
    assert values == {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_TOKEN": "<redacted>",
        "HUGGING_FACE_HUB_TOKEN": "<redacted>",
        "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "2048",
        "SGL_X": "1",
        "http_proxy": "http://<redacted>@proxy:3128",
    }
    text = json.dumps(facts.to_json())
    assert not any(secret in text for secret in ("0123456789", "plainsecret", "pw12", "never"))


def test_library_path(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "/usr/local/cuda/lib64/libcudart.so.12": "",
            "/usr/local/cuda/lib64/stubs/libcuda.so": "",
            "/opt/stubs/libcuda.so.1": "",
        },
    )
    value = "/usr/local/cuda/lib64:/gone::/usr/local/cuda/lib64/stubs:/opt/stubs:relative"
    rows = environment(target(root, {"LD_LIBRARY_PATH": value})).rows("environment.library_path")
    assert [(row["folder"], row["problem"]) for row in rows] == [
        ("/gone", "missing"),
        ("", "empty"),
        ("/opt/stubs", "stubs"),
    ]


def test_no_library_path_is_no_empty_entry(tmp_path: Path) -> None:
    for environ in ({}, {"LD_LIBRARY_PATH": ""}):
        assert environment(target(tmp_path, environ)).rows("environment.library_path") == ()
