"""Taking a new release into the knowledge, on two wheels of a few lines, without a package index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[1]
DATA = "sgldoctor/knowledge/data"

OLD = {
    "server_args.py": """
import dataclasses
@dataclasses.dataclass
class ServerArgs:
    tp_size: int = 1
    kept: int = 3
    leaving: int = 5
    def __post_init__(self):
        if self.tp_size == 7:
            raise ValueError("seven is no good size at all")
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--tp-size", type=int, default=1)
        parser.add_argument("--kept", type=int, default=3)
        parser.add_argument("--leaving", type=int, default=5)
""",
    "environ.py": "class Envs:\n    SGLANG_STAYS = EnvInt(1)\n    SGLANG_LEAVES = EnvBool(True)\n",
    "managers/thing.py": (
        "def run(x):\n    envs.SGLANG_STAYS.get(); envs.SGLANG_LEAVES.get()\n"
        "    raise RuntimeError(f'the thing broke while it ran: {x}')\n"
    ),
}
NEW = {
    "server_args.py": OLD["server_args.py"]
    .replace('"--kept", type=int, default=3', '"--kept", type=int, default=4')
    .replace('        parser.add_argument("--leaving", type=int, default=5)\n', "")
    .replace(
        '"--tp-size", type=int, default=1)',
        '"--tp-size", type=int, default=1)\n        parser.add_argument("--new")',
    ),
    "environ.py": "class Envs:\n    SGLANG_STAYS = EnvInt(2)\n",
    "managers/thing.py": (
        "def run(x):\n    envs.SGLANG_STAYS.get()\n    raise RuntimeError(f'the thing stopped while it ran: {x}')\n"
    ),
}
RULE = """
title = "The thing broke"
cause = "unclear"
about = "It broke."
[[log]]
anchor = "the thing broke while it ran"
"""
BROKE = "“the thing broke while it ran: {…}”"
DEFECTS = '[[left-over]]\nfile = "environ.py"\nhas = "SGLANG_LEAVES"\n'


def members(version: str, files: dict[str, str], torch: str) -> dict[str, str]:
    about = f"Metadata-Version: 2.1\nName: sglang\nVersion: {version}\nRequires-Python: >=3.10\n"
    about += f"Requires-Dist: torch{torch}\n"
    return {f"sglang/srt/{name}": text for name, text in files.items()} | {
        f"sglang-{version}.dist-info/METADATA": about
    }


def wheel(folder: Path, version: str, files: dict[str, str], torch: str) -> Path:
    path = folder / f"sglang-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members(version, files, torch).items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 0, 0, 0)), text)
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose knowledge holds the release 9.0 alone."""
    root = tmp_path_factory.mktemp("checkout")
    skipped = shutil.ignore_patterns("__pycache__", "_rules.py")
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=skipped)
    shutil.copytree(ROOT / "sgldoctor", root / "sgldoctor", ignore=skipped)
    (root / "scripts/defects.toml").write_text(DEFECTS)
    (root / "rules/engine").mkdir(parents=True)
    (root / "rules/engine/thing-broke.toml").write_text(RULE)
    data = root / DATA
    (data / "server-args.json").write_text('{"releases": ["9.0"], "flags": {}}')
    (data / "defects.json").write_text('{"releases": ["9.0"], "defects": {}}')
    (data / "sglang-releases.json").write_text('{"releases": {}, "kernels": {}, "companions": {}}')
    (data / "launch-conflicts.json").write_text(
        '{"conflicts": [{"name": "seven", "flags": ["--tp-size"], "present": [["9.0", null]], "where": "",'
        ' "says": "the thing broke while it ran: {…}"}]}'
    )
    (data / "limits.json").write_text('{"limits": [], "notices": [], "capability": {"minimum": "7.5"}}')
    (data / "flag-successors.json").write_text('{"flags": {"--leaving-too": "--leaving"}}')
    (data / "launch-packages.json").write_text('{"needs": []}')
    (root / "wheels").mkdir()
    wheel(root / "wheels", "9.0", OLD, "==2.0.0")
    done = update(root, "--again")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def update(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/update.py", "--wheels", "wheels", "--offline", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / DATA).iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def updated(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same after the release 9.1, and what was said of it."""
    new = wheel(tmp_path_factory.mktemp("new"), "9.1", NEW, "==2.1.0")
    root = tmp_path_factory.mktemp("updated") / "checkout"
    shutil.copytree(checkout, root)
    done = update(root, "--add", str(new), "--report", "said.md")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "said.md").read_text().strip() in done.stdout
    return root, done.stdout


def test_every_file_knows_the_release(updated: tuple[Path, str]) -> None:
    data = updated[0] / DATA
    for name in ("server-args.json", "env-vars.json", "defects.json", "launch-refusals.json", "pin-variants.json"):
        assert json.loads((data / name).read_text())["releases"] == ["9.0", "9.1"], name
    assert list(json.loads((data / "sglang-releases.json").read_text())["releases"]) == ["9.0", "9.1"]
    with open(data / "messages.jsonl", encoding="utf-8") as stream:
        assert json.loads(next(stream))["releases"] == ["9.0", "9.1"]


@pytest.mark.parametrize(
    "line",
    [
        "- gone: `--leaving`",
        "- default: `--kept`: 3 → 4",
        "- new: `--new` (str, default None)",
        "- gone: `SGLANG_LEAVES`",
        "- default: `SGLANG_STAYS`: 1 → 2",
        "- torch: ==2.0.0 → ==2.1.0",
        "- left-over: cured",
        f"- engine/thing-broke: {BROKE} (managers/thing.py:run): now “the thing stopped while it ran: {{…}}”",
        f"- launch-conflicts.json: seven: {BROKE} vanished",
        "- flag-successors.json: --leaving-too: its successor --leaving is gone",
    ],
)
def test_it_says_what_changed(updated: tuple[Path, str], line: str) -> None:
    assert line in updated[1].splitlines()


def test_a_check_of_the_arguments_stays(updated: tuple[Path, str]) -> None:
    refused = json.loads((updated[0] / DATA / "launch-refusals.json").read_text())["refusals"]
    assert [row.split("\t")[0] for row in refused if row.endswith("seven is no good size at all")] == ["0-1"]


def test_again_changes_nothing(updated: tuple[Path, str]) -> None:
    root, _ = updated
    before = content(root)
    assert "nothing new: the knowledge goes up to SGLang 9.1" in update(root).stdout
    done = update(root, "--again")
    assert "data files changed: none" in done.stdout
    assert content(root) == before


def test_a_source_distribution_does_as_well(checkout: Path, updated: tuple[Path, str], tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(checkout, root)
    with tarfile.open(tmp_path / "sglang-9.1.tar.gz", "w:gz") as archive:
        for name, text in members("9.1", NEW, "==2.1.0").items():
            inside = "PKG-INFO" if name.endswith("METADATA") else f"python/{name}"
            entry = tarfile.TarInfo(f"sglang-9.1/{inside}")
            entry.size = len(text.encode())
            archive.addfile(entry, BytesIO(text.encode()))
    assert update(root, "--add", str(tmp_path / "sglang-9.1.tar.gz")).returncode == 0
    ours, theirs = content(root), content(updated[0])
    assert {name for name in ours if ours[name] != theirs[name]} == {"sglang-releases.json"}  # the day it was built


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--add", "nothing.whl"), 1, "neither a wheel nor a source distribution"),
        (("--add", "sglang-9.9-py3-none-any.whl"), 1, "sglang-9.9-py3-none-any.whl: "),
        (("--since", "1.2.3"), 2, "1.2.3 is no known release; known are 9.0 to 9.0"),
    ],
)
def test_wrong_input_is_one_line(checkout: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    (checkout / "sglang-9.9-py3-none-any.whl").write_bytes(b"no archive")
    before = content(checkout)
    done = update(checkout, *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert content(checkout) == before


def test_a_script_that_fails_leaves_the_data_alone(checkout: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(checkout, root)
    (root / "scripts/defects.py").write_text('raise SystemExit("no such defect")\n')
    before = content(root)
    done = update(root, "--again")
    assert done.returncode == 1
    assert "defects.py failed; nothing was changed" in done.stderr
    assert content(root) == before
