"""What people paste as a launch line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.launch import facts_of, model_of
from sgldoctor.launch.command import parse, parse_all

SERVER = "python3 -m sglang.launch_server"


def words(line: str, environ: dict[str, str] | None = None) -> list[str]:
    return [word.text for word in parse(line, environ).arguments]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{SERVER} --model-path m --tp 8", ["--model-path", "m", "--tp", "8"]),
        (f"CUDA_VISIBLE_DEVICES=0,1 nohup {SERVER} --tp 2 > out.log 2>&1 &", ["--tp", "2"]),
        (f"cd /srv && source venv/bin/activate; {SERVER} --tp 2 | tee log", ["--tp", "2"]),
        ("sglang serve meta/llama --tp 2", ["meta/llama", "--tp", "2"]),
        ("/opt/venv/bin/sglang serve --model-path m", ["--model-path", "m"]),
        ("torchrun --nproc_per_node 8 -m sglang.launch_server --tp 8", ["--tp", "8"]),
        ("sglang.launch_server --tp 8", ["--tp", "8"]),
        ("uv run python -u -m sglang.launch_server --tp 8", ["--tp", "8"]),
        ("--model-path m --tp 4", ["--model-path", "m", "--tp", "4"]),
        (f"bash -lc 'export A=1 && {SERVER} --tp 2'", ["--tp", "2"]),
        (f"srun -N 2 bash -c \"{SERVER} --chat-template 'a b'\"", ["--chat-template", "a b"]),
        ("$ python -m sglang.launch_server --tp 1", ["--tp", "1"]),
        ("(base) root@node-3:~# python -m sglang.launch_server --tp 1", ["--tp", "1"]),
        (f"{SERVER} \\\n  --tp 2 \\\n  --port 1", ["--tp", "2", "--port", "1"]),
        (f"{SERVER} \\\r\n  --tp 2 \\\r\n  --port 1\r\n", ["--tp", "2", "--port", "1"]),
        (f"# run it\n{SERVER} --tp 2 # eight\n# done", ["--tp", "2"]),
        (
            f'{SERVER} --json-model-override-args \'{{"a": 1}}\' --x="b c"',
            ["--json-model-override-args", '{"a": 1}', "--x=b c"],
        ),
        (f"cat <<EOF > f\n{SERVER} --tp 1\nEOF\n{SERVER} --tp 2", ["--tp", "2"]),
        (f"{SERVER} --tp 2 ...", ["--tp", "2"]),
        (f"while true; do {SERVER} --tp 2; sleep 1; done", ["--tp", "2"]),
    ],
)
def test_arguments(line: str, expected: list[str]) -> None:
    assert words(line) == expected
    assert parse(line).problems == ()


def test_variables_of_the_line_and_of_the_environment() -> None:
    text = f'TP=4\nMORE="--port 1 --host h"\n{SERVER} --tp $TP $MORE --model "$MODEL" --x ${{NONE:-7}} --y $NOT'
    command = parse(text, {"MODEL": "a b"})
    assert [word.text for word in command.arguments] == [
        "--tp", "4", "--port", "1", "--host", "h", "--model", "a b", "--x", "7", "--y", "${NOT}"
    ]  # fmt: skip
    assert [word.text for word in command.arguments if not word.known] == ["${NOT}"]


def test_nothing_is_executed_only_noted_as_unknown() -> None:
    command = parse(f"{SERVER} --host $(hostname -i) --dist-init-addr <MASTER_IP>:5000 --port `cat port`")
    assert [word.text for word in command.arguments if not word.known] == [
        "$(hostname -i)",
        "<MASTER_IP>:5000",
        "`cat port`",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"A=1 B='2 3' {SERVER}", {"A": "1", "B": "2 3"}),
        (f"export A=1 B=2; unset B; {SERVER}", {"A": "1"}),
        (f"A=1; {SERVER}", {}),
        (f"A=1; export A; A=2; {SERVER}", {"A": "2"}),
        (f"env -u X A=1 {SERVER}", {"A": "1"}),
        (
            f"A=1 docker run -e B=2 --env 'C=3' -v X=/y --env=D=4 -eE=5 image {SERVER}",
            {"B": "2", "C": "3", "D": "4", "E": "5"},
        ),
        (f"docker run image bash -c 'A=1 {SERVER}'", {"A": "1"}),
        (f"srun --export=ALL,A=1 {SERVER}", {"A": "1"}),
    ],
)
def test_environment(line: str, expected: dict[str, str]) -> None:
    assert {name: value for name, value, _ in parse(line).environment} == expected


def test_a_comment_after_a_continuation_is_a_defect_and_the_rest_is_read_as_meant() -> None:
    command = parse(f"{SERVER} \\\n  --tp 2 \\  # both GPUs\n  --port 1")
    assert [word.text for word in command.arguments] == ["--tp", "2", "--port", "1"]
    assert [(problem.kind, problem.given, problem.line) for problem in command.problems] == [
        ("comment", "# both GPUs", 2)
    ]


def test_a_comment_line_inside_a_continued_command_is_one_too() -> None:
    command = parse(f"{SERVER} \\\n  --tp 2 \\\n  # --host h \\\n  --port 1")
    assert [word.text for word in command.arguments] == ["--tp", "2", "--port", "1"]
    assert [problem.kind for problem in command.problems] == ["comment"]
    assert parse(f"{SERVER} \\\n  --tp 2 \\\n  # the end\n").problems == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{SERVER} \\ \n --tp 2", "space"),
        (f"{SERVER} --port 1\n --tp 2", "continuation"),
        (f"{SERVER} --tp 2 --model 'm", "quoting"),
        (f'{SERVER} --tp 2 --model "m', "quoting"),
        (f"{SERVER} --tp 2 --model $(m", "quoting"),
    ],
)
def test_other_defects(line: str, kind: str) -> None:
    command = parse(line)
    assert [problem.kind for problem in command.problems] == [kind]
    assert "--tp" in [word.text for word in command.arguments]


def test_several_commands() -> None:
    script = f"{SERVER} --disaggregation-mode prefill &\n{SERVER} --disaggregation-mode decode"
    assert [command.arguments[1].text for command in parse_all(script)] == ["prefill", "decode"]


def test_no_server_command() -> None:
    facts = facts_of("ls -l; echo sglang")
    assert not facts.known("launch")
    assert [entry.what for entry in facts.unknown] == ["launch"]


def test_secrets_never_become_facts() -> None:
    prefix = "HF_TOKEN=hf_verysecretverysecret OPENAI_API_KEY=k"
    line = f"{prefix} {SERVER} --api-key topsecret --admin-api-key=alsosecret --max-total-tokens 5"
    text = str(facts_of(line).to_json())
    assert "secret" not in text
    assert "'5'" in text


@pytest.mark.parametrize(
    ("line", "model"),
    [
        (f"{SERVER} --model-path a/b --tp 2", "a/b"),
        (f"{SERVER} --tp 2 --model=a/b", "a/b"),
        ("sglang serve a/b --tp 2", "a/b"),
        (f"{SERVER} --model-path $MODEL", ""),
        (f"{SERVER} --tp 2", ""),
    ],
)
def test_the_model(line: str, model: str) -> None:
    assert model_of(facts_of(line)) == model


@given(st.text(max_size=200), st.text(alphabet="'\"\\$`#<>(){};&|\n -=ab", max_size=60))
def test_any_text_gives_a_command(text: str, noise: str) -> None:
    for line in (text, noise, f"{SERVER} {noise}", f"{noise} {SERVER} {text}"):
        facts_of(line)
