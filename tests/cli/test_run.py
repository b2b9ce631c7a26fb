"""``sgldoctor run``: the command behaves as if the doctor were not there, and its end is explained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from sgldoctor.running.kept import Kept, line_of, text_of
from tests.cli.test_errors import ROOT, doctor, one_line
from tests.terminal import talk

RUN = [sys.executable, "-m", "sgldoctor", "run"]
CRASH = ROOT / "fixtures" / "missing-libcudnn" / "fires-import.log"


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*RUN, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("status", [0, 7])
def test_the_status_is_that_of_the_command(status: int) -> None:
    done = doctor("run", "--", "sh", "-c", f"exit {status}")
    assert done.returncode == status
    assert done.stdout == b""
    assert (b"ended with status" in done.stderr) is bool(status)


def test_a_command_that_was_killed_is_followed_by_the_same_signal() -> None:
    for number in (signal.SIGKILL, signal.SIGABRT):
        done = doctor("run", "--", "sh", "-c", f"kill -{number:d} $$")
        assert done.returncode == -number
        assert f"was killed by {number.name}".encode() in done.stderr


def test_what_cannot_be_started_ends_as_in_a_shell(tmp_path: Path) -> None:
    assert "no such command" in one_line(doctor("run", "--", "/nonexistent/command"), 127)
    (tmp_path / "data").write_text("x")
    assert "Permission denied" in one_line(doctor("run", "--", str(tmp_path / "data")), 126)


def test_usage() -> None:
    assert "after '--'" in one_line(doctor("run"))
    assert "the command comes after '--'" in one_line(doctor("run", "python", "x.py"))
    assert "no number of seconds" in one_line(doctor("run", "--stall", "soon", "--", "true"))
    assert "is a folder" in one_line(doctor("run", "--bundle", "/", "--", "true"))


def test_bytes_pass_as_they_are_in_both_directions() -> None:
    data = bytes(range(256)) * 400 + b"no newline at the end"
    done = doctor("run", "--", "cat", stdin=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    done = doctor("run", "--", "sh", "-c", "cat >&2", stdin=data)
    assert (done.stdout, done.stderr) == (b"", data)


def test_one_file_for_both_outputs_keeps_their_order() -> None:
    script = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"
    both = subprocess.run(
        [*RUN, "--", "sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    assert both.stdout.decode().split() == [word for i in "12345" for word in ("out", i, "err", i)]


def test_a_large_output_takes_little_memory() -> None:
    script = f"head -c 24000000 /dev/zero | tr '\\0' 'x' | fold -w 99; cat {CRASH}; exit 3"
    # A child's peak begins at that of the process that forks it: a small one measures.
    measure = (
        "import os, sys; pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
        "_, status, usage = os.wait4(pid, 0); "
        "print('peak', usage.ru_maxrss, file=sys.stderr); sys.exit(os.waitstatus_to_exitcode(status))"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, *RUN, "--", "sh", "-c", script],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == 3
    assert "cuDNN (libcudnn.so.9) cannot be loaded" in said
    lines = 24_000_000 // 99 + 1
    assert f"line {lines + 9}: ImportError" in said  # the number that it has in the whole output
    assert int(said.rpartition("peak ")[2]) < 90 << 10  # KiB


def test_lines_come_out_as_they_come_in() -> None:
    with start("--", "cat") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for number in range(3):
            running.stdin.write(b"%d\n" % number)
            running.stdin.flush()
            assert running.stdout.readline() == b"%d\n" % number
        running.stdin.close()
        assert running.wait(timeout=20) == 0


TRAPS = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_signals_are_sent_on_once(name: str) -> None:
    with start("--", "sh", "-c", TRAPS.format(name)) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(getattr(signal, f"SIG{name}"))
        assert running.stdout.read() == f"got {name}\n".encode()
        assert running.wait(timeout=20) == 5
        # Asked to end, it owes nobody an explanation; SIGUSR1 asks for nothing.
        assert (b"status 5" in running.stderr.read()) is (name == "USR1")


def test_a_command_that_dies_by_the_signal_that_was_sent() -> None:
    with start("--", "sh", "-c", "echo ready; exec sleep 30") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == -signal.SIGTERM
        assert running.stderr.read() == b""


def test_what_is_ignored_stays_ignored_and_what_is_not_is_not() -> None:
    """``nohup`` works through us, and Python's own ignoring of SIGPIPE does not reach the command."""
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    program = ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]
    done = subprocess.run([*ignoring, *RUN, "--", *program], cwd=ROOT, capture_output=True, check=True)
    masks = dict(line.split() for line in done.stdout.decode().splitlines())
    assert int(masks["SigBlk:"], 16) == 0
    assert int(masks["SigIgn:"], 16) & 0x7FFFFFFF == 1 << (signal.SIGHUP - 1)


def test_a_reader_that_goes_away_stops_the_command() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" -- yes | head -1', "bash", *RUN], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert (done.stdout, done.stderr) == (b"y\n", b"")


def test_processes_left_behind_do_not_hold_it() -> None:
    begun = time.monotonic()
    with start("--", "sh", "-c", "sleep 40 & echo $!; exit 0") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        left = int(running.stdout.readline())
        assert running.wait(timeout=30) == 0
        assert time.monotonic() - begun < 25
        os.kill(left, signal.SIGKILL)
        assert b"still hold its output" in running.stderr.read()


def on_terminal(*command: str, keys: bytes = b"", until: bytes = b"") -> tuple[bytes, int]:
    """What appears on a terminal of 70 columns, and the status; ``keys`` are pressed once ``until`` has appeared."""
    return talk([*RUN, "--", *command], [(until, keys)] if keys else [], ROOT)


def test_a_terminal_stays_a_terminal() -> None:
    code = "import sys; print(*(f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr))); print('\\033[1mbold\\rbar')"
    shown, status = on_terminal(sys.executable, "-c", code)
    assert (shown, status) == (b"True True True\r\n\x1b[1mbold\rbar\r\n", 0)


def test_the_size_of_the_terminal_is_known_and_followed() -> None:
    code = (
        "import os, time\n"
        "end = time.time() + 20\n"
        "while os.get_terminal_size(1).columns != 70 and time.time() < end: time.sleep(0.05)\n"
        "print(os.get_terminal_size(1).columns)\n"
    )
    assert on_terminal(sys.executable, "-c", code)[0] == b"70\r\n"


def test_the_interrupt_key_reaches_the_command_once() -> None:
    code = (
        "import signal, sys, time\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: (seen.append(1), print('interrupted', flush=True)))\n"
        "print('ready', flush=True)\n"
        "end = time.time() + 20\n"
        "while not seen and time.time() < end: time.sleep(0.05)\n"
        "time.sleep(0.6)  # a second one would come by now\n"
    )
    shown, status = on_terminal(sys.executable, "-c", code, keys=b"\x03", until=b"ready")
    assert shown.count(b"interrupted") == 1
    assert status == 0


def test_a_crash_is_explained_and_bundled_without_its_secrets(tmp_path: Path) -> None:
    bundle = tmp_path / "crash.tar.gz"
    script = f"echo \"server_args=ServerArgs(api_key='sesame-open', tp_size=8)\"; cat {CRASH} >&2; exit 9"
    done = doctor("run", "--bundle", str(bundle), "--", "sh", "-c", script, "--api-key", "tiptop-secret")
    assert done.returncode == 9
    assert b"sesame-open" in done.stdout  # passed on untouched
    assert b"cuDNN (libcudnn.so.9) cannot be loaded" in done.stderr
    assert b"bundle written" in done.stderr
    with tarfile.open(bundle) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    assert set(files) == {"run.json", "output.log", "report.json", "report.md", "snapshot.json"}
    assert not [name for name, text in files.items() if "sesame-open" in text or "tiptop-secret" in text]
    how = json.loads(files["run.json"])
    assert (how["schema"], how["status"], how["signal"]) == ("sgldoctor.bundle/1", 9, "")
    assert json.loads(files["report.json"])["findings"][0]["rule"] == "missing-libcudnn"
    assert json.loads(files["snapshot.json"])["schema"].startswith("sgldoctor.snapshot/")
    assert "cannot open shared object file" in files["output.log"]


def test_a_bundle_with_pseudonyms_names_nobody(tmp_path: Path) -> None:
    bundle = tmp_path / "crash.tar.gz"
    said = "echo connect to 10.7.7.7:5000 on node18.corp.example as /home/alice/x failed"
    done = doctor("run", "--pseudonyms", "--bundle", str(bundle), "--", "sh", "-c", f"{said}; cat {CRASH} >&2; exit 9")
    assert done.returncode == 9
    with tarfile.open(bundle) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    for name, text in files.items():
        assert not [one for one in ("10.7.7.7", "alice") if one in text], name
        if name.endswith(".json"):
            json.loads(text)
    assert "connect to address-" in files["output.log"]
    assert "--pseudonyms goes with --bundle" in one_line(doctor("run", "--pseudonyms", "--", "true"))


def test_a_bundle_goes_through_a_pipe_and_does_not_take_its_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        doctor("run", "--bundle", str(pipe), "--", "sh", "-c", f"cat {CRASH} >&2; exit 9")
        assert reader.stdout is not None
        with tarfile.open(fileobj=reader.stdout, mode="r|gz") as archive:
            assert "report.json" in archive.getnames()
    assert pipe.is_fifo()


def test_a_bundle_that_cannot_be_written_does_not_change_the_status(tmp_path: Path) -> None:
    done = doctor("run", "--bundle", str(tmp_path / "no" / "b.tar.gz"), "--", "sh", "-c", "exit 4")
    assert done.returncode == 4
    assert f"there is no folder {tmp_path / 'no'}; make it meanwhile" in done.stderr.decode().splitlines()[0]
    assert b"cannot write" in done.stderr


def test_silence_is_told_while_the_command_goes_on() -> None:
    script = f"cat {CRASH}; sleep 2.5; echo end"
    done = doctor("run", "--stall", "0.5", "--", "sh", "-c", script)
    assert done.returncode == 0
    said = done.stderr.decode()
    assert said.count("nothing was printed for") == 1
    assert "last line: ImportError: libcudnn.so.9" in said
    assert "2 processes; using a processor: none" in said
    assert "cuDNN (libcudnn.so.9) cannot be loaded" in said
    assert done.stdout.endswith(b"\nend\n")


def test_what_is_kept_has_the_numbers_of_its_lines() -> None:
    lines = [b"line %d\n" % number for number in range(1, 20_001)]
    lines[9_999] = b"ValueError: in the middle\n"
    kept = Kept(head=2000, tail=3000, failures=60_000)
    for line in lines:
        kept.add(line)
    passages = kept.passages()
    for passage in passages:
        first = passage.data.split(b"\n")[0]
        if passage.line > 1 and first.startswith(b"line "):
            assert lines[passage.line - 1].strip().endswith(first) or first == lines[passage.line - 1].strip()
    text, starts = text_of(passages)
    at = text.split(b"\n").index(b"ValueError: in the middle") + 1
    assert line_of(at, starts) == 10_000
    assert text.startswith(b"line 1\n")
    assert text.endswith(b"line 20000\n")
    assert len(text) < 2000 + 3000 + 60_000 + (64 << 10)


def test_what_fits_is_kept_whole() -> None:
    kept = Kept(head=10, tail=1 << 16)
    kept.add(b"one\ntwo\nthree\n")
    kept.add(b"four")
    assert text_of(kept.passages()) == (b"one\ntwo\nthree\nfour", [(1, 1)])
    assert kept.last_line() == b"four"
