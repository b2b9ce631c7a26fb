"""``sgldoctor redact``: secrets go, every other byte stays, in any encoding, at any length, as the lines come."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor.report.redact import redact
from sgldoctor.report.stream import CONTEXT, LONGEST, redacted
from sgldoctor.snapshot.pseudonyms import names_of, pseudonym
from sgldoctor.snapshot.pseudonyms import text as hidden
from tests.cli.test_errors import ROOT, doctor, one_line
from tests.terminal import talk

KEY = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", *["Qk1hAbCd+/" * 6] * 40, "c2hvcnQ=", "-----END RSA PRIVATE KEY-----"]
)
TEXT = f"""\x1b[31mserver_args=ServerArgs(model_path='m', api_key='sesame-open', tp_size=8)\x1b[0m\r
  - name: HF_TOKEN
    value: hf_abcdefghijklmnopqrstuvwxyz
{KEY}
machine x login bob
  password swordfish9
last line without end: https://u:hunter2@h/x"""
SECRETS = ("sesame", "hf_abc", "Qk1h", "c2hvcnQ", "swordfish", "hunter2")


def pieces(data: bytes, sizes: list[int]) -> Callable[[], bytes]:
    """A reader that gives ``data`` in pieces of these sizes, over and over."""
    position = turn = 0

    def read() -> bytes:
        nonlocal position, turn
        piece = data[position : position + sizes[turn % len(sizes)]]
        position += len(piece)
        turn += 1
        return piece

    return read


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(0, 300))
def test_pieces_make_no_difference(sizes: list[int], before: int) -> None:
    text = "x" * before + "\n" + TEXT
    out = b"".join(redacted(pieces(text.encode(), sizes))).decode()
    assert out == redact(text)
    assert not [secret for secret in SECRETS if secret in out]
    assert out.count("\n") == text.count("\n")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 60))
def test_what_holds_no_secret_stays_byte_for_byte(data: bytes, size: int) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    decoded = data.decode("utf-8", "surrogateescape")
    if redact(decoded) == decoded:
        assert b"".join(redacted(pieces(data, [size]))) == data


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_utf_16_stays_utf_16(coding: str, size: int) -> None:
    data = ("\ufeff" + TEXT).encode(coding) + b"\x00"  # cut in the middle of a character
    out = b"".join(redacted(pieces(data, [size])))
    assert out == ("\ufeff" + redact(TEXT)).encode(coding) + b"\x00"


def test_a_key_that_was_cut_off_hides_nothing_else() -> None:
    text = "\n".join([KEY.rsplit("\n", 3)[0], "[2026-11-24] Traceback: RuntimeError", "plain words follow"] * 3) + "\n"
    out = b"".join(redacted(pieces(text.encode(), [100]))).decode()
    assert "Qk1h" not in out
    assert out.count("RuntimeError") == out.count("plain words") == 3


@pytest.mark.parametrize("at", [LONGEST - CONTEXT, LONGEST - 100, LONGEST, LONGEST + 7, 2 * LONGEST])
def test_a_line_without_end_is_cut_where_no_secret_is(at: int) -> None:
    filler = ("word, " * (at // 6 + 1))[:at]
    text = f"{filler} api_key='sesame-open-{'7' * 100}' {filler[: 2 * CONTEXT]}"
    out = b"".join(redacted(pieces(text.encode(), [50_000]))).decode()
    assert out == text.replace("sesame-open-" + "7" * 100, "<redacted>")


def test_file_and_standard_input(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(TEXT.encode())
    for done in (
        doctor("redact", str(log)),
        doctor("redact", stdin=TEXT.encode()),
        doctor("redact", "-", stdin=TEXT.encode()),
    ):
        assert done.returncode == 0, done.stderr
        assert done.stdout == redact(TEXT).encode()
        assert done.stderr == b""
    assert doctor("redact", stdin=b"").stdout == b""


def test_lines_come_out_as_they_come_in() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sgldoctor", "redact"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for number in range(3):
            running.stdin.write(b"line %d api_key=sesame-open\n" % number)
            assert running.stdout.readline() == b"line %d api_key=<redacted>\n" % number
        running.stdin.close()
        assert running.wait(timeout=20) == 0


@pytest.mark.parametrize("line", [b"[TP0] INFO step 17, token usage: 0.31, cuda graph: True\n", b"no end of words, "])
def test_memory_does_not_grow_with_the_input(line: bytes, tmp_path: Path) -> None:
    def peak(megabytes: int) -> int:
        path = tmp_path / "log"
        path.write_bytes(line * (megabytes * (1 << 20) // len(line)))
        # ru_maxrss begins at the peak of the process that forked; VmHWM is this program's own.
        code = (
            "import sys; from sgldoctor.__main__ import main; code = main(['redact']);"
            "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], file=sys.stderr); sys.exit(code)"
        )
        with path.open("rb") as stdin:
            done = subprocess.run(
                [sys.executable, "-c", code], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
            )
        return int(done.stderr.split()[-1])

    assert peak(12) - peak(2) < 8 << 10  # KiB


@pytest.mark.parametrize(
    ("content", "words"),
    [(gzip.compress(b"PK\x03\x04rest", mtime=0), "zip"), (b"BZhrest", "bzip2"), (b"PK\x03\x04rest", "zip")],
    ids=["zip in gzip", "bzip2", "zip"],  # without, a name of a test would hold the time of packing
)
def test_packed_data_is_refused_since_its_secrets_would_pass(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    assert words in one_line(doctor("redact", str(path)))
    assert words in one_line(doctor("redact", stdin=content))


def test_gzip_comes_out_unpacked_and_without_secrets(tmp_path: Path) -> None:
    text = b"line\n" * 100_000 + b"api_key='sesame-open-9'\n"
    path = tmp_path / "crash.log.gz"
    path.write_bytes(gzip.compress(text))
    for done in (doctor("redact", str(path)), doctor("redact", stdin=path.read_bytes())):
        assert done.stdout == text.replace(b"sesame-open-9", b"<redacted>")
    path.write_bytes(b"\x1f\x8b\x08rest")
    assert "damaged gzip data" in one_line(doctor("redact", str(path)))


NAMED = """node connect to 10.0.3.17:50000 failed, fe80::1ff:fe23:4567:890a too
  File "/home/alice/venv/x.py", line 3; ssh bob@node18.corp.example
--dist-init-addr 10.0.3.17:5000 host='node22' http://node22.corp.example/v1
"""
STAYS = """nvidia-cublas-cu12      12.8.4.1
nvidia-curand-cu12==10.3.9.90 libcublas.so.12.8.4.1 cudnn 9.10.2.21 at 10:20:30
127.0.0.1:30000 localhost 0.0.0.0 std::vector<int> https://github.com/x/y host=None
"""


def test_names_and_addresses_are_replaced_alike_on_request() -> None:
    shown = doctor("redact", "--pseudonyms", stdin=(NAMED + STAYS).encode()).stdout.decode()
    for name in ("10.0.3.17", "fe80::", "alice", "bob", "node18", "corp.example", "node22"):
        assert name not in shown
    assert shown.endswith(STAYS)
    lines = shown.splitlines()
    address = lines[0].split("connect to ")[1].split(":")[0]
    assert f"--dist-init-addr {address}:5000" in shown
    host = lines[2].split("host='")[1].split("'")[0]
    assert f"http://{host}." in shown
    assert doctor("redact", "--pseudonyms", stdin=shown.encode()).stdout.decode() == shown
    own = doctor("redact", "--pseudonyms", stdin=NAMED.encode(), SGLDOCTOR_PSEUDONYM_KEY="mine").stdout.decode()
    assert address not in own
    assert doctor("redact", stdin=NAMED.encode()).stdout.decode() == NAMED


OCTETS = st.tuples(*[st.integers(1, 254)] * 3).map(lambda o: f"10.{o[0]}.{o[1]}.{o[2]}")


@settings(max_examples=100, deadline=None)
@given(OCTETS, st.sampled_from(["{}", "eth0:{}<0>", "tcp://{}:29500", "[{}]", "peer {}, gone", "addr={};", "({})"]))
def test_an_address_never_survives_and_is_always_the_same(address: str, around: str) -> None:
    names = names_of({}, "node")
    shown = hidden(around.format(address), names)
    assert address not in shown
    assert shown == around.format(pseudonym("address", address, names.key))


def test_an_archive_becomes_an_archive_without_secrets(tmp_path: Path) -> None:
    held = tmp_path / "bundle.tar.gz"
    with tarfile.open(held, "w:gz") as archive:
        for name, data in (
            ("node/a.log", TEXT.encode()),
            ("b.gz", gzip.compress(b"x")),
            ("c.json", b'{"api_key": "q1w2e3"}'),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.uname = len(data), "alice"
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    done = doctor("redact", str(held))
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().splitlines() == [
        "sgldoctor: left out b.gz: gzip data", "sgldoctor: left out link: no plain file"
    ]  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
        assert {entry.uname for entry in archive} == {""}
    assert files == {"node/a.log": redact(TEXT).encode(), "c.json": b'{"api_key": "<redacted>"}'}
    held.write_bytes(held.read_bytes()[:200])
    assert str(held) in one_line(doctor("redact", str(held)))
    with tarfile.open(tmp_path / "plain.tar", "w") as archive:
        archive.add(__file__, "x.py")
    assert "name its file" in one_line(doctor("redact", stdin=(tmp_path / "plain.tar").read_bytes()))


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    assert "No such file" in one_line(doctor("redact", str(tmp_path / "none")))
    assert "is a folder" in one_line(doctor("redact", str(tmp_path)))
    assert "unrecognized" in one_line(doctor("redact", "a", "b"))


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a line of no interest\n" * 200_000)
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -m sgldoctor redact "$1" | head -1', sys.executable, str(path)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == b"a line of no interest\n"
    assert done.stderr == b""
    assert done.returncode == 141  # as of any program whose reader has gone


def test_secrets_are_shown_on_a_terminal_alone_and_only_where_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text("[2026-02-03 10:12:10] ValueError: bad api_key='sesame-open-9'\n")
    assert "--no-redact is for a terminal" in one_line(doctor("explain", "--no-redact", str(log)))
    command = [sys.executable, "-m", "sgldoctor", "explain", str(log)]
    assert b"sesame-open-9" not in talk(command, [], ROOT)[0]
    assert b"sesame-open-9" in talk([*command, "--no-redact"], [], ROOT)[0]
