"""``sgldoctor.pyz``: equal bytes from equal sources, and it runs where nothing is installed."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.test_ray import node, ray

__all__ = ["ray"]  # a fixture

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "fixtures" / "missing-libcudnn" / "fires-import.log"


def interpreters() -> dict[str, str]:
    """Pythons from 3.10 on that this machine has, by their minor version."""
    found = {f"3.{sys.version_info.minor}": os.path.realpath(sys.executable)}
    for minor in range(10, 20):
        name = f"python3.{minor}"
        places = [
            shutil.which(name),
            *sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/{name}"))),
        ]
        found.update({f"3.{minor}": place for place in places if place})
    return found


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pyz")
    made = [folder / "one.pyz", folder / "sub" / "two.pyz"]
    for path, mask in zip(made, (0o022, 0o077), strict=True):
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "pyz.py"), "--no-download", "-o", str(path)],
            check=True, capture_output=True, cwd=path.parent.parent, umask=mask,
        )  # fmt: skip
    assert made[0].read_bytes() == made[1].read_bytes()
    return made[0]


def run(python: str, pyz: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    bare = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "xterm"}
    return subprocess.run(
        [python, "-I", str(pyz), *arguments],
        env=bare,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("minor", sorted(interpreters()))
def test_it_runs_on_a_bare_python(minor: str, pyz: Path, tmp_path: Path) -> None:
    python = interpreters()[minor]
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} does not start")
    explained = run(python, pyz, tmp_path, "explain", "--format", "json", str(LOG))
    assert explained.returncode == 1, explained.stderr
    assert json.loads(explained.stdout)["findings"][0]["rule"] == "missing-libcudnn"
    checked = run(python, pyz, tmp_path, "check", "--color", "always", "--exit-zero")
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""
    assert "\x1b[" in checked.stdout
    assert [entry.name[:4] for entry in (tmp_path / ".cache" / "sgldoctor").iterdir()].count("pyz-") == 1


MODEL = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 2, "num_key_value_heads": 8, "vocab_size": 128256,
}  # fmt: skip


@pytest.mark.parametrize("minor", sorted(interpreters()))
def test_what_reads_data_of_the_package(minor: str, pyz: Path, tmp_path: Path) -> None:
    python = interpreters()[minor]
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} does not start")
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    line = ["python", "-m", "sglang.launch_server", "--model-path", str(tmp_path), "--tp", "3"]
    for status, said, command in (
        (1, "<style>:root {", ["explain", "--format", "html", str(LOG)]),
        (0, "missing-libcudnn: cuDNN", ["rules", "show", "missing-libcudnn"]),
        (0, "--tp 1, 2, 4, 8, 16, 32", ["tp", str(tmp_path)]),
        (1, "cannot be split over this tensor-parallel size", ["launch", "--sglang", "0.5.8", "--", *line]),
        (0, '"$schema"', ["--explain-json-schema"]),
    ):  # fmt: skip
        done = run(python, pyz, tmp_path, *command)
        assert (done.returncode, done.stderr) == (status, ""), command
        assert said in done.stdout, command


def test_it_carries_itself_to_the_nodes_of_a_ray_cluster(pyz: Path, ray: Path, tmp_path: Path) -> None:
    """The stand-in fails unless the runtime environment holds the package as files."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([node(0), node(1)]))
    done = subprocess.run(
        [sys.executable, str(pyz), "fleet", "--ray", str(plan), "--python", sys.executable, "--format", "json"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ray)},
        cwd="/", capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert [entry["status"] for entry in json.loads(done.stdout)["nodes"]] == ["healthy", "healthy"], done.stderr


def test_a_home_that_cannot_be_written_is_no_obstacle(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(sys.executable, pyz, tmp_path / "file", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sgldoctor ")


def test_an_older_python_is_told_so(pyz: Path, tmp_path: Path) -> None:
    for minor in (6, 7, 8, 9):
        for python in glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python3.{minor}")):
            done = run(python, pyz, tmp_path, "check")
            assert done.returncode == 1
            assert done.stderr.startswith("sgldoctor: needs Python 3.10 or newer")
            return
    pytest.skip("no older Python here")
