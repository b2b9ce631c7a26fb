"""Launch lines in files: changed where the fixes ask for it, otherwise byte for byte what they were."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgldoctor.actions.base import Action
from sgldoctor.actions.kinds.remove_flag import RemoveFlag
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.errors import FixError
from sgldoctor.fix.launchfile import rewritten
from sgldoctor.launch import files

FLAGS = (SetFlag("--tp-size", "4"), RemoveFlag("--trust-remote-code"), SetFlag("--attention-backend", "triton"))
RENAME = (UnsetEnv("OLD_X"), SetEnv("NEW_X", "2"))
MORE = (SetEnv("MORE", "a b"),)


def changed(name: str, text: str, *actions: Action, number: int = 0) -> str:
    return rewritten(text, name, {number: actions}, {}, "0.5.8")


SHELL = """#!/bin/bash
# start
export OLD_X=1   # why
python3 -m sglang.launch_server \\
    --model-path $MODEL \\
    --tp 7 --trust-remote-code \\
    --port 30000
"""
SHELL_AFTER = """#!/bin/bash
# start
export NEW_X=2   # why
export MORE='a b'
python3 -m sglang.launch_server \\
    --model-path $MODEL \\
    --tp 4 --attention-backend triton \\
    --port 30000
"""
DOCKERFILE = """FROM x
ENV OLD_X=1
# the server
CMD ["python3", "-m", "sglang.launch_server", "--model-path", "m", "--trust-remote-code", "--tp", "7"]
"""
DOCKERFILE_AFTER = """FROM x
ENV NEW_X=2
# the server
ENV MORE='a b'
CMD ["python3", "-m", "sglang.launch_server", "--model-path", "m", "--attention-backend", "triton", "--tp", "4"]
"""
CONTINUED = """FROM x
ENV OLD_X=1 B=2
CMD python3 -m sglang.launch_server --model-path m \\
  --trust-remote-code \\
  # how many
  --tp 7
"""
CONTINUED_AFTER = """FROM x
ENV NEW_X=2 B=2
ENV MORE='a b'
CMD python3 -m sglang.launch_server --model-path m \\
  --attention-backend triton \\
  # how many
  --tp 4
"""
COMPOSE = """services:
  a:
    image: x
    environment:
      - OLD_X=1
      - B=2      # kept
    command: >
      python3 -m sglang.launch_server
      --model-path m
      --trust-remote-code
      --tp 7
  b:
    image: x
    command: python3 -m sglang.launch_server --model-path m --trust-remote-code --tp 7
"""
COMPOSE_AFTER = """services:
  a:
    image: x
    environment:
      - MORE=a b
      - NEW_X=2
      - B=2      # kept
    command: >
      python3 -m sglang.launch_server
      --model-path m
      --attention-backend triton
      --tp 4
  b:
    image: x
    command: python3 -m sglang.launch_server --model-path m --trust-remote-code --tp 7
"""
MAPPED = """services:
  a:
    image: x
    command: ["python3", "-m", "sglang.launch_server", "--model", "m", '--trust-remote-code', "--tp", "7"]
    environment:
      OLD_X: "1"  # c
"""
MAPPED_AFTER = """services:
  a:
    image: x
    command: ["python3", "-m", "sglang.launch_server", "--model", "m", '--attention-backend', 'triton', "--tp", "4"]
    environment:
      MORE: "a b"
      NEW_X: "2"  # c
"""
KUBERNETES = """apiVersion: v1
kind: Pod
spec:
  containers:
  - name: s
    image: x
    env:
    - name: OLD_X
      value: "1"
    command: ["python3", "-m", "sglang.launch_server"]
    args:
    - --model-path
    - m   # the model
    - --trust-remote-code
    # how many
    - --tp
    - "7"
"""
KUBERNETES_AFTER = """apiVersion: v1
kind: Pod
spec:
  containers:
  - name: s
    image: x
    env:
    - name: MORE
      value: "a b"
    - name: NEW_X
      value: "2"
    command: ["python3", "-m", "sglang.launch_server"]
    args:
    - --model-path
    - m   # the model
    - --attention-backend
    - triton
    # how many
    - --tp
    - "4"
"""
LISTED = """FROM x
ENV OLD_X=1
CMD ["python3", "-m", "sglang.launch_server", \\
     # the model
     "--model-path", "m", \\
     "--trust-remote-code", \\
     "--tp", "7"]
"""
LISTED_AFTER = """FROM x
ENV NEW_X=2
ENV MORE='a b'
CMD ["python3", "-m", "sglang.launch_server", \\
     # the model
     "--model-path", "m", \\
     "--attention-backend", "triton", \\
     "--tp", "4"]
"""
UNIT = """[Service]
Environment="OLD_X=1"
ExecStart=/usr/bin/python3 -m sglang.launch_server --model-path m --trust-remote-code \\
   --tp 7
"""
UNIT_AFTER = """[Service]
Environment="NEW_X=2"
Environment='MORE=a b'
ExecStart=/usr/bin/python3 -m sglang.launch_server --model-path m --attention-backend triton \\
   --tp 4
"""


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("launch.sh", SHELL, SHELL_AFTER),
        ("Dockerfile", DOCKERFILE, DOCKERFILE_AFTER),
        ("Dockerfile", CONTINUED, CONTINUED_AFTER),
        ("Dockerfile", LISTED, LISTED_AFTER),
        ("compose.yaml", COMPOSE, COMPOSE_AFTER),
        ("compose.yaml", MAPPED, MAPPED_AFTER),
        ("k8s.yaml", KUBERNETES, KUBERNETES_AFTER),
        ("sglang.service", UNIT, UNIT_AFTER),
    ],
    ids=["shell", "dockerfile", "continued", "listed", "compose-list", "compose-mapping", "kubernetes", "systemd"],
)
def test_every_kind_of_file_keeps_its_comments_and_layout(name: str, before: str, after: str) -> None:
    assert changed(name, before, *FLAGS, *RENAME, *MORE) == after
    crlf = before.replace("\n", "\r\n")
    if name.endswith(".yaml"):
        assert changed(name, crlf, FLAGS[0]).count("\r\n") == crlf.count("\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('OLD_X=1 sglang serve "$M" $EXTRA --trust-remote-code --tp=7 2>&1 | tee log\n',
         'NEW_X=2 sglang serve "$M" $EXTRA --attention-backend triton --tp=4 2>&1 | tee log\n'),
        ("docker run -e OLD_X=1 -v /x:/y img python3 -m sglang.launch_server --trust-remote-code --tp 7\n",
         "docker run -e NEW_X=2 -v /x:/y img python3 -m sglang.launch_server --attention-backend triton --tp 4\n"),
        ('bash -c "OLD_X=1 python3 -m sglang.launch_server --model-path m --trust-remote-code --tp 7"\n',
         'bash -c "NEW_X=2 python3 -m sglang.launch_server --model-path m --attention-backend triton --tp 4"\n'),
        ("sglang serve m --tp 7 `# two nodes` \\\n  --trust-remote-code\n",
         "sglang serve m --tp 4 `# two nodes` \\\n  --attention-backend triton\n"),
        ("sglang serve m --tp $TP --trust-remote-code", "sglang serve m --tp 4 --attention-backend triton"),
    ],
)  # fmt: skip
def test_lines_of_a_shell(before: str, after: str) -> None:
    actions = (*FLAGS, *RENAME) if "OLD_X" in before else FLAGS
    assert changed("run.sh", before, *actions) == after


def test_only_the_command_that_is_meant_is_changed() -> None:
    line = "python3 -m sglang.launch_server --model-path m --tp 7\n"
    assert changed("run.sh", line + line, SetFlag("--tp-size", "4"), number=1) == line + line.replace("7", "4")


def test_variable_that_goes_takes_its_line_along() -> None:
    assert changed("run.sh", SHELL, UnsetEnv("OLD_X")) == SHELL.replace("export OLD_X=1   # why\n", "")
    assert changed("k8s.yaml", KUBERNETES, UnsetEnv("OLD_X"), SetEnv("OTHER", "1")).count("OLD_X") == 0
    assert changed("Dockerfile", DOCKERFILE, UnsetEnv("OLD_X")) == DOCKERFILE.replace("ENV OLD_X=1\n", "")


def test_flag_under_another_name_keeps_place_and_value() -> None:
    assert changed("run.sh", SHELL, SetFlag("--pp-size", instead="--tp")) == SHELL.replace("--tp 7", "--pp-size 7")


@pytest.mark.parametrize(
    ("name", "text", "action"),
    [
        ("start.py", "args = {'model_path': 'm', 'tp_size': 7}\n", SetFlag("--tp-size", "4")),
        # The variable is set in a file that is sourced.
        ("run.sh", ". ./env.sh\npython3 -m sglang.launch_server $ARGS\n", RemoveFlag("--tp-size")),
        ("compose.yaml", "services:\n  a:\n    env_file: x\n    command: sglang serve m\n", UnsetEnv("A")),
        ("run.sh", 'bash -c "$(cat <<X\nsglang serve m\nX\n)"\n', SetEnv("A", "1")),
    ],
)
def test_what_cannot_be_told_for_sure_is_left_or_refused(name: str, text: str, action: Action) -> None:
    located = files.find(text, name, {})
    before = text
    if located:
        with suppress(FixError):
            before = changed(name, text, action)
    assert before == text


WORDS = st.sampled_from(["--tp 7", "--tp=7", "--trust-remote-code", "--port 1", "--host 'a b'", '--tokenizer-path "$T"',
                         "--cuda-graph-bs 1 2 4", "--mem-fraction-static 0.8"])  # fmt: skip
GAPS = st.sampled_from([" ", "  ", " \\\n    ", " \\\n"])
ACTIONS = st.lists(
    st.one_of(
        st.builds(
            SetFlag, st.sampled_from(["--tp-size", "--port", "--tokenizer-path", "--nnodes"]),
            st.text("aZ0 .$'\"`;|&<>(){}*?#~!/-", min_size=1, max_size=8).filter(lambda text: text[0] != "-"),
            st.just(""),
        ),
        st.builds(RemoveFlag, st.sampled_from(["--tp-size", "--trust-remote-code", "--cuda-graph-bs", "--host"])),
        st.builds(SetEnv, st.sampled_from(["A", "B"]), st.text("aZ0 .$'\"`;|&", max_size=8)),
        st.builds(UnsetEnv, st.sampled_from(["A", "B"])),
    ),
    max_size=4,
    unique_by=lambda action: action[0],
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(words=st.lists(WORDS, max_size=6, unique_by=lambda word: word.split("=")[0].split()[0]), gap=GAPS,
       actions=ACTIONS, export=st.booleans())  # fmt: skip
def test_a_rewritten_script_says_what_was_meant_or_is_not_written(
    words: list[str], gap: str, actions: list[Action], export: bool
) -> None:
    """Whatever is put in arrives as one word; the proof inside refuses everything else."""
    text = (
        ("export A=1\n" if export else "") + gap.join(["B='x y' python3 -m sglang.launch_server", *words]) + "\n# end\n"
    )
    try:
        new = changed("run.sh", text, *actions)
    except FixError:
        return
    assert new.endswith("\n# end\n")
    (located,) = files.find(new, "run.sh", {})
    environment = {name: value for name, value, _ in located.command.environment}
    got = [word.text for word in located.command.arguments]
    for action in actions:
        if isinstance(action, SetFlag):
            at = next(i for i, word in enumerate(got) if word.split("=")[0] in _spelt(action.flag))
            assert action.value in (got[at].partition("=")[2], *got[at + 1 : at + 2])
        elif isinstance(action, SetEnv):
            assert environment[action.name] == action.value


def _spelt(flag: str) -> tuple[str, ...]:
    return (flag, "--tp") if flag == "--tp-size" else (flag,)


def test_most_rewrites_are_not_refused() -> None:
    """The proof would hide a rewriter that never works."""
    refused = 0
    for value in ("4", "a b", "$(id)", "it's", '"q"', "`x`", "a;b"):
        for text in (SHELL, DOCKERFILE, COMPOSE, KUBERNETES, UNIT):
            name = {SHELL: "run.sh", DOCKERFILE: "Dockerfile", COMPOSE: "compose.yaml", KUBERNETES: "k.yaml",
                    UNIT: "x.service"}[text]  # fmt: skip
            try:
                changed(name, text, SetFlag("--tokenizer-path", value))
            except FixError:
                refused += 1
    assert refused <= 6
