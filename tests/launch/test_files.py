"""Launch lines in the files that people keep them in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.errors import InputError
from sgldoctor.launch.files import Located, facts_of, find, kind_of, read

SERVER = "python3 -m sglang.launch_server"


def only(text: str, name: str, environ: dict[str, str] | None = None) -> Located:
    (found,) = find(text, name, environ)
    return found


def words(found: Located) -> list[str]:
    return [word.text for word in found.command.arguments]


def environment(found: Located) -> dict[str, str]:
    return {name: value for name, value, known in found.command.environment if known}


def test_a_shell_script() -> None:
    text = (
        f"#!/bin/bash\nset -e\nMODEL=a/b\nexport NCCL_DEBUG=INFO\n\n{SERVER} \\\n  --model-path $MODEL \\\n  --tp 8\n"
    )
    found = only(text, "run.sh")
    assert (found.kind, words(found), environment(found)) == (
        "shell",
        ["--model-path", "a/b", "--tp", "8"],
        {"NCCL_DEBUG": "INFO"},
    )
    assert found.line == 7


DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG BASE=lmsysorg/sglang:latest
FROM ${BASE} AS prefill
ENV NCCL_DEBUG=INFO SGLANG_X="a b" \\
    # a comment is allowed here
    TP=4
ENV OLD value of old
CMD ["python3", "-m", "sglang.launch_server", "--model-path", "a/b", "--tp", "$TP"]
FROM prefill
CMD python3 -m sglang.launch_server --model-path a/b \\
    # and here
    --tp $TP
"""


def test_a_dockerfile() -> None:
    first, second = find(DOCKERFILE, "Dockerfile")
    assert words(first) == ["--model-path", "a/b", "--tp", "$TP"], "the exec form fills in nothing"
    assert environment(first) == {"NCCL_DEBUG": "INFO", "SGLANG_X": "a b", "TP": "4", "OLD": "value of old"}
    assert (first.where, first.line, second.where, second.line) == ("prefill", 8, "", 10)
    assert words(second)[:3] == ["--model-path", "a/b", "--tp"]
    assert first.command.problems == second.command.problems == ()


def test_entrypoint_and_command_belong_together() -> None:
    text = 'FROM x\nENTRYPOINT ["python3", "-m", "sglang.launch_server"]\nCMD ["--model-path", "a", "--tp", "2"]\n'
    assert words(only(text, "Dockerfile")) == ["--model-path", "a", "--tp", "2"]
    assert find('FROM x\nENTRYPOINT ["nginx"]\nCMD ["-g", "daemon off;"]\n', "Dockerfile") == []


COMPOSE = """\
x-shared: &shared
  image: lmsysorg/sglang:latest
  environment: &vars
    HF_TOKEN: hf_abcdefghijklmnopqrstuvwxyz
    NCCL_DEBUG: INFO
    FROM_SHELL:
services:
  prefill:
    <<: *shared
    env_file: .env
    command: >
      python3 -m sglang.launch_server
      --model-path ${MODEL:-a/b}
      --tp ${TP}
      --chat-template '$$x'
  decode:
    <<: *shared
    environment:
      - NCCL_DEBUG=WARN
      - FROM_SHELL
    entrypoint: python3 -m sglang.launch_server
    command: ["--model-path", "a b", "--tp", "2"]
  proxy:
    image: nginx
    command: ["--config", "x"]
"""


def test_a_compose_file() -> None:
    prefill, decode = find(COMPOSE, "docker-compose.yml", {"FROM_SHELL": "yes"})
    assert words(prefill) == ["--model-path", "a/b", "--tp", "${TP}", "--chat-template", "$x"]
    assert (prefill.where, prefill.line, prefill.unknown) == ("prefill", 11, ("variables from .env",))
    assert environment(prefill)["FROM_SHELL"] == "yes"
    assert (words(decode), environment(decode)) == (
        ["--model-path", "a b", "--tp", "2"],
        {"NCCL_DEBUG": "WARN", "FROM_SHELL": "yes"},
    )
    facts = facts_of(prefill)
    assert "hf_abc" not in str(facts.to_json())
    assert "launch prefill" in [entry.what for entry in facts.unknown]


KUBERNETES = """\
apiVersion: v1
kind: Service
metadata: {name: s}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
spec:
  leaderWorkerTemplate:
    leaderTemplate:
      spec:
        containers:
          - name: leader
            image: lmsysorg/sglang:latest
            env:
              - {name: TP, value: "16"}
              - name: HF_TOKEN
                valueFrom: {secretKeyRef: {name: hf, key: token}}
            command: [python3, -m, sglang.launch_server]
            args:
              - --model-path
              - a/b
              - --tp
              - $(TP)
              - --dist-init-addr
              - $(LWS_LEADER_ADDRESS):20000
              - --api-key
              - $(HF_TOKEN)
          - name: side
            command: [sleep, infinity]
    workerTemplate:
      spec:
        containers:
          - name: worker
            envFrom: [{configMapRef: {name: c}}]
            command:
              - bash
              - -c
              - |
                export A=1
                python3 -m sglang.launch_server \\
                  --model-path a/b \\
                  --node-rank $LWS_WORKER_INDEX
"""


def test_a_kubernetes_manifest() -> None:
    leader, worker = find(KUBERNETES, "lws.yaml")
    assert (leader.where, leader.line) == ("leader", 18)
    assert words(leader)[:6] == ["--model-path", "a/b", "--tp", "16", "--dist-init-addr", "$(LWS_LEADER_ADDRESS):20000"]
    assert environment(leader) == {"TP": "16"}
    assert not leader.command.arguments[-1].known
    assert (worker.where, worker.unknown) == ("worker", ("variables from envFrom",))
    assert words(worker) == ["--model-path", "a/b", "--node-rank", "${LWS_WORKER_INDEX}"]
    assert environment(worker) == {"A": "1"}


CUSTOM = """
kind: {kind}
spec:
  {role}
    image: registry/sglang
    env: [{{name: SIZE, value: "4"}}]
    command: [python3, -m, sglang.launch_server]
    args: [--model-path, $(MODEL_PATH), --tp-size, $(RANKS), --dp-size, $(SIZE)]
"""


def test_a_container_of_a_custom_resource_and_variables_that_its_controller_adds() -> None:
    found = only(CUSTOM.format(kind="ClusterServingRuntime", role="runner:"), "runtime.yaml")
    assert words(found) == ["--model-path", "$(MODEL_PATH)", "--tp-size", "$(RANKS)", "--dp-size", "4"]
    assert [word.known for word in found.command.arguments] == [True, False, True, False, True, True]


def test_a_variable_that_no_pod_has_stays_as_it_is_written() -> None:
    found = only(CUSTOM.format(kind="Pod", role="containers:\n   -"), "pod.yaml")
    assert words(found)[2:4] == ["--tp-size", "$(RANKS)"]
    assert all(word.known for word in found.command.arguments)


def test_a_bash_array_holds_a_command_over_several_lines() -> None:
    text = """local COMMAND=(
    python3 -m sglang.launch_server
    # why so: --tp 4 is faster
    --model-path a/b
    "${PARALLEL[@]}"   # more
    --tp 8)
"${COMMAND[@]}" &
"""
    found = only(text, "run.sh")
    assert words(found) == ["--model-path", "a/b", "${PARALLEL[@]}", "--tp", "8"]
    assert not found.command.problems


def test_outside_an_array_a_lost_line_is_still_told() -> None:
    found = only("(cd x; python3 -m sglang.launch_server\n    --model-path a/b)\n", "run.sh")
    assert [problem.kind for problem in found.command.problems] == ["continuation"]


def test_a_systemd_unit() -> None:
    text = """[Unit]
Description=x
[Service]
Environment="NCCL_DEBUG=INFO" A=1
EnvironmentFile=-/etc/sglang.env
ExecStart=-/opt/venv/bin/python -m sglang.launch_server \\
  # a comment is allowed here
  --model-path a/b --tp 8 \\
  --port 30%i --served-model-name 100%%
"""
    found = only(text, "sglang.service")
    assert words(found) == [
        "--model-path",
        "a/b",
        "--tp",
        "8",
        "--port",
        "30${SYSTEMD_SPECIFIER}",
        "--served-model-name",
        "100%",
    ]
    assert (environment(found), found.unknown) == (
        {"NCCL_DEBUG": "INFO", "A": "1"},
        ("variables from /etc/sglang.env",),
    )
    assert (found.line, found.command.problems) == (6, ())
    assert find(text.replace("sglang.launch_server", "http.server"), "x.service") == []
    assert SERVER not in text


def test_python() -> None:
    text = """
import sglang as sgl
common = {"model_path": "a/b", "mem_fraction_static": 0.8}
llm = sgl.Engine(**common, tp_size=size(), enable_metrics=True, disable_radix_cache=False, cuda_graph_bs=[1, 2])
"""
    found = only(text, "serve.py")
    assert words(found) == [
        "--model-path", "a/b", "--mem-fraction-static", "0.8", "--tp-size", "<value>", "--enable-metrics",
        "--cuda-graph-bs", "1", "2",
    ]  # fmt: skip
    assert not found.command.arguments[5].known
    (other,) = find("server_args = {'model_path': 'm', 'tp_size': 8}", "serve.py")
    assert words(other) == ["--model-path", "m", "--tp-size", "8"]
    assert find("def broken(:", "serve.py") == []


def test_argument_files() -> None:
    text = "model-path: a/b\ntensor-parallel-size: 8\ntrust-remote-code: true\nenable-metrics: false\nhost: ~\n"
    assert words(only(text, "config.yaml")) == ["--model-path", "a/b", "--tp-size", "8", "--trust-remote-code"]
    assert words(only('{"model_path": "a/b", "tp_size": 8}', "args.json")) == ["--model-path", "a/b", "--tp-size", "8"]
    assert find("replicas: 3\nimage: x\n", "values.yaml") == []


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("FROM python:3.12\nCMD x", "image", "dockerfile"),
        ("x", "Dockerfile.gpu", "dockerfile"),
        ("[Service]\nExecStart=x", "unit.txt", "systemd"),
        ("services:\n  a:\n", "-", "yaml"),
        ("apiVersion: v1\n", "-", "yaml"),
        ("#!/bin/sh\nsglang serve x", "-", "shell"),
        ('{"a": 1}', "-", "json"),
    ],
)
def test_the_kind_of_a_file(text: str, name: str, kind: str) -> None:
    assert kind_of(text, name) == kind


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(str(tmp_path / "nothing.sh"))
    (tmp_path / "empty.sh").write_text("ls\n", encoding="utf-8")
    with pytest.raises(InputError, match="no SGLang server command"):
        read(str(tmp_path / "empty.sh"))
    (tmp_path / "chart.yaml").write_text("a: {{ .Values.x }}\n  b: c: d\n", encoding="utf-8")
    with pytest.raises(InputError, match="Helm template"):
        read(str(tmp_path / "chart.yaml"))
    with open(tmp_path / "huge.sh", "wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(InputError, match="larger than"):
        read(str(tmp_path / "huge.sh"))


def test_without_pyyaml_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError('absent')\n", encoding="utf-8")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[2])!r}]\n"
        "from sgldoctor.launch.files import find\n"
        "from sgldoctor.errors import InputError\n"
        "try:\n    find('services: {}', 'compose.yaml')\nexcept InputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'sgldoctor[files]'" in done.stdout


def test_aliases_that_repeat_or_contain_themselves_end() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert find(bomb + "services: {s: {command: *a8}}\n", "x.yaml") == []
    assert find("a: &a {containers: [*a], services: 3}\n", "x.yaml") == []


@given(st.text(max_size=300), st.sampled_from(["a.sh", "Dockerfile", "x.service", "x.yaml", "x.py", "x.json"]))
def test_any_text_gives_an_answer(text: str, name: str) -> None:
    heads = {
        "Dockerfile": "FROM x\nCMD ",
        "x.service": "[Service]\nExecStart=",
        "x.yaml": "services:\n a:\n  command: ",
    }
    for whole in (text, heads.get(name, "") + text):
        try:
            find(whole, name)
        except InputError:
            assert name == "x.yaml"


@pytest.mark.parametrize(
    ("name", "text", "release"),
    [
        (
            "run.sh",
            "docker run --rm lmsysorg/sglang:v0.5.8-cu130 python3 -m sglang.launch_server --model-path m",
            "0.5.8",
        ),
        ("run.sh", "docker run host:5000/x/sglang:v0.5.10.post1 sglang serve m", "0.5.10.post1"),
        ("run.sh", "uv run --with 'sglang[all]==0.5.9' python -m sglang.launch_server --model-path m", "0.5.9"),
        ("run.sh", "docker run lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path m", ""),
        ("Dockerfile", "FROM lmsysorg/sglang:v0.5.20\nCMD sglang serve m\n", "0.5.20"),
        ("Dockerfile", "FROM python:3.12\nRUN pip install 'sglang==0.5.13'\nCMD sglang serve m\n", "0.5.13"),
        (
            "compose.yaml",
            "services:\n  s:\n    image: lmsysorg/sglang:v0.5.16\n    command: sglang serve m\n",
            "0.5.16",
        ),
        (
            "pod.yaml",
            "apiVersion: v1\nspec:\n  containers:\n  - image: sglang:v0.5.7\n    command: [sglang, serve, m]\n",
            "0.5.7",
        ),
    ],
)
def test_the_image_names_the_release(name: str, text: str, release: str) -> None:
    assert only(text, name).command.release == release
