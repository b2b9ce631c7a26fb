"""Where snapshots come from; whatever is no snapshot is refused in bounded memory and does not spoil the others."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.errors import InputError
from sgldoctor.fleet import sources
from sgldoctor.fleet.gather import Fleet
from sgldoctor.fleet.sources import items
from sgldoctor.snapshot import to_text
from tests.fleet.nodes import base, line


def named(host: str) -> dict[str, Any]:
    return {**base(), "host": host}


def read(paths: list[Path | str], stdin: bytes = b"") -> Fleet:
    fleet = Fleet()
    fleet.add_all(items([str(path) for path in paths], io.BytesIO(stdin)))
    return fleet


def archive(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def test_files_folders_archives_and_lines(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / "rack1"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(to_text(named("a")))
    (folder / "b.jsonl").write_bytes(line(named("b")) + line(named("c")))
    (folder / ".half.json").write_text("{")
    (folder / "notes.txt").write_text("no snapshot")
    packed = archive(tmp_path / "more.tar.gz", {"d.json": line(named("d")), "e/e.json": to_text(named("e")).encode()})
    plain = archive(tmp_path / "plain.tar", {"f.json": line(named("f"))}, "w")
    fleet = read([tmp_path / "snapshots", packed, plain, "-"], line(named("g")))
    assert fleet.names == list("abcdefg")
    assert fleet.unread == []
    assert len(fleet.groups) == 1


def test_what_srun_kubectl_and_ansible_print() -> None:
    noise = b"srun: job 7 queued\nwarning: x\n\n"
    labelled = b"3: " + line(named("a")) + b"[pod/b-0/server] " + line(named("b"))
    one_line = b"c | CHANGED | rc=0 | (stdout) " + line(named("c"))
    pretty = to_text(named("d")).encode() + to_text(named("e")).encode()
    fleet = read(["-"], noise + labelled + one_line + pretty + b"srun: done\n")
    assert fleet.names == list("abcde")
    assert fleet.unread == []
    ((name, _, because, _, passed),) = fleet.passed
    assert (name, passed) == ("standard input", 3), "an empty line is none"
    assert because == "they begin no JSON object: line 1: srun: job 7 queued"


def test_what_only_looks_like_an_object_is_passed_over() -> None:
    """Braces of programs are no damaged snapshots; an object that is cut off is one."""
    noise = b"W0101 config {'a': 1} {x}\nset {1, 2}\n"
    fleet = read(["-"], noise + line(named("a")) + b'3: {"schema": "sgldoct\n')
    assert fleet.names == ["a"]
    assert [item.passed for item in fleet.passed] == [2]
    assert [entry.node for entry in fleet.unread] == ["standard input, line 4"]


def test_lines_that_are_passed_over_are_told(tmp_path: Path) -> None:
    stdin = b"srun: job 7 queued\nHF_TOKEN=hf_abcdefghijklmnopqrstuv\n" + line(named("a"))
    command = [sys.executable, "-m", "sgldoctor", "fleet"]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert b"2 lines of standard input: passed over: they begin no JSON object: line 1: srun: job 7" in done.stdout
    assert done.returncode == 0, "noise is no gap in what was examined"
    (tmp_path / "noise.jsonl").write_bytes(b"only\nnoise\n")
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 3
    assert f"2 lines of {tmp_path}/noise.jsonl: passed over" in " ".join(done.stdout.decode().split())


def test_what_they_print_may_be_kept_in_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(b"srun: job 7 queued\n" + line(named("a")) + line(named("b")))
    pretty = tmp_path / "pretty.json"
    pretty.write_text(to_text(named("c")) + to_text(named("d")))
    many = tmp_path / "many.jsonl"
    many.write_bytes(b"".join(line(named(f"node{number}")) for number in range(400)))
    fleet = read([kept, pretty, many])
    assert fleet.names[:4] == list("abcd")
    assert len(fleet.names) == 404
    assert fleet.unread == []


def test_two_nodes_of_one_name_stay_two(tmp_path: Path) -> None:
    for name in ("x.json", "y.json"):
        (tmp_path / name).write_text(to_text(named("same")))
    assert read([tmp_path]).names == ["same", "same (2)"]


HOSTILE = {
    "nested": b"[" * 100_000,
    "nested-object": b'{"a":' * 100_000,
    "not-json": b"{no",
    "nan": b'{"schema": "sgldoctor.snapshot/1", "facts": {"host": {"source": "probe", "rows": [{"cpus": NaN}]}}}',
    "other": b'{"schema": "something.else/1"}',
    "newer": b'{"schema": "sgldoctor.snapshot/99"}',
    "no-facts": b'{"schema": "sgldoctor.snapshot/1"}',
    "list": b"[1, 2]",
    "rows": b'{"schema": "sgldoctor.snapshot/1", "facts": {"host": {"source": "probe", "rows": "x"}}}',
    "row": b'{"schema": "sgldoctor.snapshot/1", "facts": {"host": {"source": "probe", "rows": ["x"]}}}',
    "cell": b'{"schema": "sgldoctor.snapshot/1", "facts": {"host": {"source": "probe", "rows": [{"cpus": {"a": 1}}]}}}',
    "gpus": b'{"schema": "sgldoctor.snapshot/1", "facts": {"gpus": {"source": "probe", "rows": [7]}}}',
    "unknown": b'{"schema": "sgldoctor.snapshot/1", "facts": {}, "unknown": [3]}',
    "binary": b"\x00\xff\xfe" * 100,
    "many": b'{"facts": [' + b"{}," * 500_000 + b"1]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_snapshot_is_refused_and_the_others_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(HOSTILE[name])
    (tmp_path / "good.json").write_text(to_text(named("good")))
    fleet = read([tmp_path])
    assert fleet.names == ["good"]
    (refused,) = fleet.unread
    assert refused.because
    assert "\n" not in refused.because


@pytest.mark.parametrize("name", ["nested", "not-json", "other", "cell"])
def test_a_bad_line_spoils_only_itself(name: str) -> None:
    bad = HOSTILE[name] if HOSTILE[name].startswith(b"{") else b"{" + HOSTILE[name]
    fleet = read(["-"], line(named("a")) + bad + b"\n" + line(named("b")))
    assert fleet.names == ["a", "b"]
    assert len(fleet.unread) == 1


def test_a_line_that_never_ends_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 200_000)
    endless = b'{"schema": "' + b"x" * 900_000 + b'"}\n'
    cut = to_text(named("c")).encode()[:5000]
    fleet = read(["-"], line(named("a")) + endless + line(named("b")) + cut)
    assert fleet.names == ["a", "b"]
    assert [entry.because for entry in fleet.unread] == [
        "larger than 0 MiB: not a snapshot",
        "cut off in the middle",
    ]


def test_damaged_and_bloated_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive(tmp_path / "a.tar.gz", {"a.json": line(named("a")), "b.json": line(named("b"))}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.tar").write_bytes(gzip.compress(b"no archive at all" * 100))
    assert len(read([tmp_path / "cut.tar.gz"]).unread) == 1
    assert len(read([tmp_path / "no.tar"]).unread) == 1
    monkeypatch.setattr(sources, "LARGEST", 100_000)
    bloated = archive(tmp_path / "big.tar.gz", {"a.json": line(named("a")), "big.json": b"0" * 300_000})
    fleet = read([bloated])
    assert fleet.names == ["a"]
    assert "larger" in fleet.unread[0].because


def test_a_huge_file_is_refused_in_little_memory(tmp_path: Path) -> None:
    """Ten gigabytes in one line, and as many objects as fit; sparse, so that it costs no disk."""
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.write(b'{"schema": "')
        stream.truncate(10 << 30)
    (tmp_path / "many.json").write_bytes(b'{"facts":[' + b"{}," * (5 << 20) + b"1]}")
    (tmp_path / "good.json").write_text(to_text(named("good")))
    # ru_maxrss begins at the peak of the process that forked; VmHWM is this program's own.
    code = (
        "import sys; from sgldoctor.__main__ import main; code = main(sys.argv[1:]);"
        "peak = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0];"
        "print(code, peak, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "fleet", str(tmp_path), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    _, peak = done.stderr.split()[-2:]
    assert int(peak) < 250_000  # kB
    report = json.loads(done.stdout)
    assert report["nodes"][0]["name"] == "good"
    assert {row["because"] for row in report["facts"]["fleet.unread"]["rows"]} == {
        "larger than 16 MiB; the file is read no further",
        "too many values: not a snapshot",
    }


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read([tmp_path / "no.json"])
    with pytest.raises(InputError, match="no snapshot"):
        read([tmp_path])
