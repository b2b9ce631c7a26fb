"""``sgldoctor lint`` and the hook that runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from sgldoctor.cli.describe import parsers
from tests.cli.test_errors import ROOT, doctor, one_line

GOOD = "#!/bin/sh\npython -m sglang.launch_server --model-path org/m --tp-size 2\n"
BAD = "#!/bin/sh\n\npython -m sglang.launch_server --model-path org/m --no-such-option 1\n"


def test_wrong_lines_of_many_files_are_found_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "good.sh").write_text(GOOD)
    (tmp_path / "bad.sh").write_text(BAD)
    (tmp_path / "other.sh").write_text("echo hello\n")
    (tmp_path / "notes.txt").write_text(BAD)  # of a folder, only what may be a script or manifest
    done = doctor("lint", "--format", "sarif", str(tmp_path))
    assert done.returncode == 1, done.stderr
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("bad.sh")
    assert place["region"]["startLine"] == 3
    assert doctor("lint", "--exit-zero", str(tmp_path)).returncode == 0


def test_what_is_right_or_not_ours_passes(tmp_path: Path) -> None:
    (tmp_path / "good.sh").write_text(GOOD)
    (tmp_path / "data.bin").write_bytes(b"\0" * 100)
    done = doctor("lint", str(tmp_path / "good.sh"), str(tmp_path / "data.bin"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert doctor("lint", str(tmp_path / "data.bin")).returncode == 0


def test_the_release_of_the_image_counts_more_than_the_newest(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "compose.yaml"
    line = "python3 -m sglang.launch_server --model-path org/m --enable-ep-moe"
    path.write_text(f"services:\n  s:\n    image: lmsysorg/sglang:v0.4.6.post5\n    command: {line}\n")
    assert doctor("lint", str(path)).returncode == 0
    path.write_text(f"services:\n  s:\n    image: mine\n    command: {line}\n")
    assert doctor("lint", str(path)).returncode == 1


def test_errors() -> None:
    assert "which files" in one_line(doctor("lint"))
    assert "/nonexistent" in one_line(doctor("lint", "/nonexistent"))


def test_the_hook_names_a_command_and_files_that_exist() -> None:
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, command, *options = hook["entry"].split()
    known = [name for option in parsers()[command].options() for name in option.names]
    assert program == "sgldoctor"
    assert set(options) <= set(known)
    pattern = re.compile(hook["files"])
    for name in ("run.sh", "k8s/a.yaml", "Dockerfile", "docker/Dockerfile.gpu", "x.service", "a/my.dockerfile"):
        assert pattern.search(name), name
    assert not pattern.search("src/main.py")


def test_quiet_says_where(tmp_path: Path) -> None:
    """What a hook prints is all that a committer sees."""
    (tmp_path / "bad.sh").write_text(BAD)
    said = doctor("lint", "--quiet", str(tmp_path)).stdout.decode()
    assert f"at        line 3 of {tmp_path}/bad.sh" in said
    assert "evidence" not in said


@pytest.mark.skipif(
    "SGLDOCTOR_TEST_PRE_COMMIT" not in os.environ, reason="SGLDOCTOR_TEST_PRE_COMMIT names no pre-commit"
)
def test_the_hook_in_the_real_pre_commit(tmp_path: Path) -> None:
    """It clones what is committed here, and installs it and what it needs from the package index."""
    program = os.environ["SGLDOCTOR_TEST_PRE_COMMIT"]
    environ = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path / "site", env=environ, capture_output=True, text=True, check=False, timeout=600
        )

    (tmp_path / "site").mkdir()
    run("git", "init", "-q", ".")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    (tmp_path / "site" / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {ROOT}\n    rev: {head.stdout.strip()}\n    hooks:\n      - id: sgldoctor-lint\n"
    )
    (tmp_path / "site" / "bad.sh").write_text(BAD)
    (tmp_path / "site" / "notes.md").write_text(BAD)
    run("git", "add", "-A")
    done = run(program, "run", "--all-files")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "line 3 of bad.sh" in done.stdout
    assert "notes.md" not in done.stdout
    (tmp_path / "site" / "bad.sh").write_text(GOOD)
    run("git", "add", "-A")
    done = run(program, "run", "--all-files")
    assert (done.returncode, "Passed" in done.stdout) == (0, True), done.stdout


def test_the_schema_of_reports_is_printed() -> None:
    done = doctor("--explain-json-schema")
    assert json.loads(done.stdout)["properties"]["schema"] == {"const": "sgldoctor.report/1"}
