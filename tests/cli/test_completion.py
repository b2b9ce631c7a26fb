"""``sgldoctor completion``: the scripts complete in real shells."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sgldoctor.cli import COMMANDS
from sgldoctor.cli.describe import parsers
from tests.cli.test_errors import doctor, one_line


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        done = doctor("completion", shell)
        assert done.returncode == 0, done.stderr
        (folder / shell).write_bytes(done.stdout)
    return folder


def shell(name: str, *arguments: str) -> str:
    if not shutil.which(name):
        pytest.skip(f"no {name} here")
    done = subprocess.run([name, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def bash(scripts: Path, *words: str) -> list[str]:
    line = " ".join(f"'{word}'" for word in words)
    code = f"source {scripts / 'bash'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _sgldoctor 2>/dev/null"
    return shell("bash", "-c", f'{code}; printf "%s\\n" "${{COMPREPLY[@]}}"').split()


def test_bash_completes_commands_options_and_values(scripts: Path) -> None:
    assert bash(scripts, "sgldoctor", "ex") == ["explain"]
    assert set(COMMANDS) <= set(bash(scripts, "sgldoctor", ""))
    assert bash(scripts, "sgldoctor", "check", "--snap") == ["--snapshot"]
    assert bash(scripts, "sgldoctor", "check", "--format", "s") == ["sarif", "shell"]
    assert bash(scripts, "sgldoctor", "rules", "sh") == ["show"]
    assert bash(scripts, "sgldoctor", "launch", "--", "--snap") == []
    assert bash(scripts, "sgldoctor", "check", "--snapshot", "") == []


def test_fish_completes_commands_options_and_values(scripts: Path) -> None:
    def fish(line: str) -> list[str]:
        out = shell("fish", "--no-config", "-c", f"source {scripts / 'fish'}; complete -C '{line}'")
        return [entry.split("\t")[0] for entry in out.splitlines()]

    assert fish("sgldoctor expl") == ["explain"]
    assert fish("sgldoctor check --snaps") == ["--snapshot"]
    assert set(fish("sgldoctor check --color ")) == {"always", "auto", "never"}


def test_zsh_takes_the_script(scripts: Path) -> None:
    shell("zsh", "-n", str(scripts / "zsh"))
    code = (
        f"autoload -U compinit; compinit -Du; source {scripts / 'zsh'}; whence -w _sgldoctor; echo $_comps[sgldoctor]"
    )
    assert shell("zsh", "-f", "-c", code).split() == ["_sgldoctor:", "function", "_sgldoctor"]


def test_every_command_describes_every_option() -> None:
    for command, parser in parsers().items():
        for option in parser.options():
            assert option.help, f"{command} {option.names}"
        assert "examples:" in parser.help_text(), command


def test_no_option_is_lost(scripts: Path) -> None:
    text = {name: (scripts / name).read_text(encoding="utf-8") for name in ("bash", "zsh", "fish")}
    for parser in parsers().values():
        for option in parser.options():
            for name in option.names:
                if name.startswith("--"):
                    assert name in text["bash"]
                    assert f"*{name}[" in text["zsh"]
                    assert re.search(rf"-l {name[2:]}\b", text["fish"])


def test_another_shell_is_refused() -> None:
    assert "choose from bash, zsh, fish" in one_line(doctor("completion", "tcsh"))
