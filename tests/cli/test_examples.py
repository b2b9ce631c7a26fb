"""Every example of every --help: its command line is read by the command's own options, and runs where it can here."""

from __future__ import annotations

import glob
import gzip
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgldoctor.__main__ import main
from sgldoctor.cli import COMMANDS, HELP, options

ENDS = {"|", ";", ">", "<", "<(", "(", ")"}
FILES = {
    "crash.log": "ValueError: x\n",
    "node0.log": "[2026-01-01 10:00:00 TP0] fine\n",
    "node1.log": "RuntimeError: y\n",
    "logs/a.log": "[2026-01-01 10:00:00 TP0] RuntimeError: z\n",
    "run.sh": "python -m sglang.launch_server --model-path /models/m --tp 8\n",
    "config.json": '{"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}',
}
"""What the examples name, in the folder where those run that need nothing else."""
HERE = re.compile(
    r"^(?:source <\()?sgldoctor (?:explain (?!--here)[^|]*\.log|launch --sglang \S+ (?!.*--fix)"
    r"|rules (?:list|show|docs)|redact crash\.log|fleet explain"
    r"|plan --(?:sglang|cuda)(?!.*--resolve)|upgrade --from|tp --config|completion|env --held|undo --list)"
)
"""Examples that need no SGLang, GPU, server or network and change nothing."""


def epilog(command: str) -> str:
    return str(getattr(__import__(f"sgldoctor.cli.{command}", fromlist=["main"]), "EPILOG", ""))


def lines(text: str) -> Iterator[str]:
    """The lines of the examples, without what is said beside them; a line that ends with a backslash goes on."""
    block = text.partition("examples:\n")[2].partition("\n\n")[0]
    block = re.sub(r"\\\n\s*", " ", block)
    for line in block.splitlines():
        yield re.sub(r"(?<=\S) {3,}(?!.*\bsgldoctor\b).*| {4,}[a-z].*", "", line.strip())


def calls(line: str) -> Iterator[list[str]]:
    """The words of each call of the doctor in a line of shell."""
    lexer = shlex.shlex(line.replace('"$(', " ( ").replace(')"', " )"), posix=True, punctuation_chars="|;><()")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    for at, word in enumerate(words):
        if word == "sgldoctor":
            end = next((place for place in range(at + 1, len(words)) if words[place] in ENDS), len(words))
            yield words[at + 1 : end]


EXAMPLES = [
    (command, line)
    for command in ("", *COMMANDS)
    for line in lines(epilog(command) if command else HELP)
    if "sgldoctor" in line and not line.startswith(("{", "ENTRYPOINT"))
]


class ReadError(Exception):
    """The command line was read: the command shall not go on."""


def test_every_command_has_examples() -> None:
    assert {command for command, _ in EXAMPLES} == {"", *COMMANDS}


@pytest.mark.parametrize("line", sorted({line for _, line in EXAMPLES}))
def test_an_example_is_read(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read by the real options; only what the command would do then is left out."""
    whole = options.Parser.parse_known_args

    def read(self: options.Parser, arguments: list[str]) -> object:
        _, strange = whole(self, arguments)
        assert not strange
        raise ReadError

    found = list(calls(line))
    assert found, line
    monkeypatch.chdir(tmp_path)
    for words in found:
        if words[:1] == ["--explain-json-schema"]:
            continue
        with monkeypatch.context() as patch:
            patch.setattr(options.Parser, "parse_args", read)
            patch.setattr(options.Parser, "parse_known_args", read)
            with pytest.raises(ReadError):
                __import__(f"sgldoctor.cli.{words[0]}", fromlist=["main"]).main(words[1:])


@pytest.mark.parametrize("line", sorted({line for _, line in EXAMPLES if HERE.search(line)}))
def test_an_example_runs(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "crash.log.gz").write_bytes(gzip.compress(FILES["crash.log"].encode()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for words in calls(line):
        status = main([found for word in words for found in (glob.glob(word) or [word])])
        told = capsys.readouterr()
        assert (status in (0, 1, 3), told.err) == (True, "")
