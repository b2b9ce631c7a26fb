"""Flags in argument files and calls: changed where the fixes ask for it, otherwise byte for byte what they were."""

from __future__ import annotations

import pytest

from sgldoctor.actions.base import Action
from sgldoctor.actions.kinds.remove_flag import RemoveFlag
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.errors import FixError
from sgldoctor.fix.launchfile import rewritten

ALL = (
    SetFlag("--tp-size", "4"),
    RemoveFlag("--trust-remote-code"),
    SetFlag("--attention-backend", "triton"),
    SetFlag("--pp-max-micro-batch-size", None, instead="--max-micro-batch-size"),
    SetFlag("--disable-radix-cache"),
)


def changed(name: str, text: str, *actions: Action) -> str:
    return rewritten(text, name, {0: actions}, {}, "0.5.8")


YAML = """# the server
model-path: "meta/llama"   # which
tp-size: 7  # how many
max-micro-batch-size: 8
trust-remote-code: true
served-model-name: 'it''s'
"""
YAML_AFTER = """# the server
model-path: "meta/llama"   # which
tp-size: 4  # how many
pp-max-micro-batch-size: 8
attention-backend: triton
disable-radix-cache: true
served-model-name: 'it''s'
"""
JSON = """{
  "model_path": "m",
  "tp_size": 7,
  "max_micro_batch_size": 8,
  "trust_remote_code": true
}
"""
JSON_AFTER = """{
  "model_path": "m",
  "tp_size": 4,
  "pp_max_micro_batch_size": 8,
  "attention_backend": "triton",
  "disable_radix_cache": true
}
"""
PYTHON = """import sglang
# Größe
name = "ä"; engine = sglang.Engine(model_path=name, tp_size=7,  # how many
    max_micro_batch_size=8, trust_remote_code=True)
"""
PYTHON_AFTER = """import sglang
# Größe
name = "ä"; engine = sglang.Engine(model_path=name, tp_size=4,  # how many
    pp_max_micro_batch_size=8, attention_backend="triton", disable_radix_cache=True)
"""


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        ("config.yaml", YAML, YAML_AFTER),
        ("config.yaml", YAML.rstrip("\n"), YAML_AFTER.rstrip("\n")),
        ("config.json", JSON, JSON_AFTER),
        ("run.py", PYTHON, PYTHON_AFTER),
    ],
)
def test_keys_are_set_renamed_added_and_removed(name: str, text: str, after: str) -> None:
    assert changed(name, text, *ALL) == after


def test_lists_of_values() -> None:
    text = "model-path: m\ncuda-graph-bs:\n  - 1\n  - 2\n# end\nport: 1\n"
    assert changed("c.yaml", text, RemoveFlag("--cuda-graph-bs")) == "model-path: m\n# end\nport: 1\n"
    assert changed("c.yaml", "model-path: m\ncuda-graph-bs: [1, 2]\n", SetFlag("--port", "8")).endswith("]\nport: 8\n")


def test_flow_mapping_and_a_single_key() -> None:
    assert changed("c.yaml", "{model-path: m, tp-size: 7}\n", SetFlag("--tp-size", "4")) == (
        "{model-path: m, tp-size: 4}\n"
    )
    assert changed("c.json", '{"model_path": "m"}', SetFlag("--tp-size", "4")) == '{"model_path": "m", "tp_size": 4}'


def test_value_that_yaml_would_take_for_something_else_is_quoted() -> None:
    assert changed("c.yaml", "model-path: m\n", SetFlag("--served-model-name", "on")).endswith(
        'served-model-name: "on"\n'
    )
    assert changed("c.yaml", "model-path: m\n", SetFlag("--served-model-name", "a: b # c")).endswith(
        'served-model-name: "a: b # c"\n'
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "base: &b {tp-size: 7}\nmodel-path: m\ntp-size: 7\n<<: *b\n"),  # merged from elsewhere
        ("run.py", "args = dict(tp_size=7)\nsglang.Engine(model_path='m', **args)\n"),
        ("run.py", "args = {'model_path': 'm', 'tp_size': 7}\n"),
        ("c.yaml", "model-path: m\ntp-size: 7\ndisable-radix-cache: false\nport: 1\n"),  # a key that is there, and off
    ],
)
def test_what_is_not_given_one_by_one_is_left_to_a_person(name: str, text: str) -> None:
    with pytest.raises(FixError, match="by hand"):
        changed(name, text, SetFlag("--tp-size", "4"), SetFlag("--disable-radix-cache"))
