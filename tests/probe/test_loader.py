"""The simulated loader against the real one: gcc-made graphs of libraries, resolved by ``ld.so`` itself and by us."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from sgldoctor.probe.loader import CACHE_FLAGS, Process, read_cache
from tests.lab_env import MACHINE, needs_gcc, shared_object

pytestmark = needs_gcc

LOADER = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}.get(MACHINE, "")
needs_loader = pytest.mark.skipif(not os.path.exists(LOADER), reason="no glibc")


def real(path: Path, library_path: str = "") -> dict[str, str]:
    """What ld.so makes of each needed name, ``""`` for one that it does not find."""
    environ = {"LD_TRACE_LOADED_OBJECTS": "1", **({"LD_LIBRARY_PATH": library_path} if library_path else {})}
    done = subprocess.run([LOADER, str(path)], capture_output=True, text=True, env=environ, check=False)
    found = re.findall(r"^\s*(\S+) => (?:(not found)|(\S+))", done.stdout, re.MULTILINE)
    assert found, done.stderr
    return {name: os.path.realpath(file) if file else "" for name, _, file in found if not file.startswith("(")}


def simulated(path: Path, library_path: str = "") -> dict[str, str]:
    process = Process("/", MACHINE, library_path)
    scope = process.load(str(path))
    found = {node.name: os.path.realpath(node.path) for node in scope[1:]}
    return {**found, **{name: "" for name, _ in process.missing}}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """``top`` finds ``left`` by DT_RPATH and ``right`` by DT_RUNPATH; both want libraries that lie elsewhere."""
    deep = shared_object(tmp_path / "deep/libdeep.so.1")
    other = shared_object(tmp_path / "deep/libother.so.1")
    gone = shared_object(tmp_path / "deep/libgone.so.1")
    left = shared_object(tmp_path / "left/libleft.so.1", needed=[deep])
    right = shared_object(tmp_path / "right/libright.so.1", needed=[other, gone], runpath="$ORIGIN/../nowhere")
    gone.unlink()
    shared_object(tmp_path / "copy/libdeep.so.1")
    shared_object(tmp_path / "copy/libother.so.1")
    return shared_object(
        tmp_path / "libtop.so", needed=[left, right], rpath="$ORIGIN/left:${ORIGIN}/right:$ORIGIN/deep"
    )


@needs_loader
@pytest.mark.parametrize("folder", ["", "copy", "deep", "copy:{}/deep"])
def test_rpath_runpath_and_the_variable_as_ld_so_takes_them(graph: Path, tmp_path: Path, folder: str) -> None:
    library_path = f"{tmp_path}/{folder.format(tmp_path)}" if folder else ""
    expected = real(graph, library_path)
    assert simulated(graph, library_path) == expected
    # DT_RPATH of the chain counts for what libleft wants, but not for libright, which has a DT_RUNPATH.
    assert expected["libdeep.so.1"].endswith("deep/libdeep.so.1")
    assert expected["libgone.so.1"] == ""


@needs_loader
def test_files_that_are_links_into_a_cache(graph: Path, tmp_path: Path) -> None:
    """``uv --link-mode symlink``: ``$ORIGIN`` is the folder of the link, not of the file behind it."""
    env = tmp_path / "env"
    for folder in (".", "left", "right", "deep"):
        (env / folder).mkdir(exist_ok=True)
        for file in (tmp_path / folder).glob("*.so*"):
            (env / folder / file.name).symlink_to(file)
    (tmp_path / "deep").rename(tmp_path / "moved")
    for file in (env / "deep").iterdir():
        target = tmp_path / "moved" / file.name
        file.unlink()
        file.symlink_to(target)
    expected = real(env / graph.name)
    assert expected["libdeep.so.1"] == str(tmp_path / "moved/libdeep.so.1")
    assert simulated(env / graph.name) == expected


@needs_loader
@pytest.mark.parametrize("program", ["gcc", "python3", "git", "ls", "ssh"])
def test_real_programs_are_resolved_as_ld_so_resolves_them(program: str) -> None:
    path = shutil.which(program)
    if path is None or Path(path).read_bytes()[:4] != b"\x7fELF":
        pytest.skip(f"no {program} here that is a program")
    expected = {name: file for name, file in real(Path(path)).items() if not name.startswith("ld-linux")}
    assert simulated(Path(path)) == expected


def test_a_library_that_is_loaded_already_is_taken_wherever_it_came_from(tmp_path: Path) -> None:
    loaded = shared_object(tmp_path / "wheel/libpart.so.12", soname="libpart.so.12")
    user = shared_object(tmp_path / "kernel/ops.so", needed=[loaded])
    process = Process("/", MACHINE)
    process.load(str(user))
    assert [name for name, _ in process.missing] == ["libpart.so.12"]
    process.forget()
    process.load(str(loaded))
    process.load(str(user))
    assert process.missing == []


def test_the_rpath_of_the_interpreter_counts_for_everything(tmp_path: Path) -> None:
    """A conda Python has DT_RPATH ``$ORIGIN/../lib``: its libstdc++ hides the system's."""
    part = shared_object(tmp_path / "env/lib/libpart.so.1")
    user = shared_object(tmp_path / "env/site/ops.so", needed=[part])
    python = shared_object(tmp_path / "env/bin/python3.11", rpath="$ORIGIN/../lib")
    process = Process("/", MACHINE)
    process.load(str(user))
    assert [name for name, _ in process.missing] == ["libpart.so.1"]
    process = Process("/", MACHINE)
    process.start(str(python))
    process.load(str(user))
    assert process.missing == []


def test_a_needed_library_that_is_no_elf_file(tmp_path: Path) -> None:
    part = shared_object(tmp_path / "libpart.so.1")
    user = shared_object(tmp_path / "ops.so", needed=[part], rpath="$ORIGIN")
    part.write_text("<html>")
    process = Process("/", MACHINE)
    process.load(str(user))
    assert process.corrupt == {str(part): ("file too short", str(user))}
    assert process.missing == []


@needs_loader
def test_libraries_for_other_machines_are_passed_over(tmp_path: Path) -> None:
    """A 32-bit or foreign library on the way is no fault while one for this machine comes later."""
    right = shared_object(tmp_path / "right/libpart.so.1")
    user = shared_object(tmp_path / "ops.so", needed=[right])
    (tmp_path / "other").mkdir()
    data = right.read_bytes()
    for foreign in (data[:4] + b"\x01" + data[5:], data[:18] + b"\x16\0" + data[20:]):  # of 32 bits; of s390
        (tmp_path / "other/libpart.so.1").write_bytes(foreign)
        both = f"{tmp_path}/other:{tmp_path}/right"
        assert simulated(user, both)["libpart.so.1"] == str(right)
        assert simulated(user, both)["libpart.so.1"] == real(user, both)["libpart.so.1"]
        process = Process("/", MACHINE, f"{tmp_path}/other")
        process.load(str(user))
        assert list(process.corrupt) == [f"{tmp_path}/other/libpart.so.1"]


def test_a_circle_of_libraries_ends(tmp_path: Path) -> None:
    first = shared_object(tmp_path / "libfirst.so", rpath="$ORIGIN")
    second = shared_object(tmp_path / "libsecond.so", rpath="$ORIGIN", needed=[first])
    shared_object(first, rpath="$ORIGIN", needed=[second])
    assert [node.name for node in Process("/", MACHINE).load(str(first))] == ["libfirst.so", "libsecond.so"]


def cache_of(entries: list[tuple[str, str, int]]) -> bytes:
    """An ``ld.so.cache`` of the new format."""
    head = 48 + 24 * len(entries)
    table, strings = b"", b""
    for name, path, flags in entries:
        key = head + len(strings)
        strings += name.encode() + b"\0"
        value = head + len(strings)
        strings += path.encode() + b"\0"
        table += struct.pack("<iIIIQ", flags, key, value, 0, 0)
    return b"glibc-ld.so.cache1.1" + struct.pack("<II", len(entries), len(strings)) + b"\0" * 20 + table + strings


def test_the_cache_of_another_root(tmp_path: Path) -> None:
    flags = CACHE_FLAGS[MACHINE]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ld.so.cache").write_bytes(
        cache_of([("libpart.so.1", "/odd/place/libpart.so.1", flags), ("libpart.so.1", "/i386/libpart.so.1", 3)])
    )
    assert read_cache(str(tmp_path), MACHINE) == {"libpart.so.1": ["/odd/place/libpart.so.1"]}
    part = shared_object(tmp_path / "odd/place/libpart.so.1")
    shared_object(tmp_path / "opt/ops.so", needed=[part])
    process = Process(str(tmp_path), MACHINE)
    (_, node) = process.load("/opt/ops.so")
    assert (node.path, node.via) == ("/odd/place/libpart.so.1", "ld.so.cache")


@pytest.mark.parametrize("cut", [0, 10, 30, 60, 75, 90])
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, cut: int) -> None:
    (tmp_path / "etc").mkdir()
    whole = cache_of([("libpart.so.1", "/a/libpart.so.1", CACHE_FLAGS[MACHINE])])
    (tmp_path / "etc/ld.so.cache").write_bytes(whole[:cut])
    assert read_cache(str(tmp_path), MACHINE) == {}


@needs_loader
def test_the_cache_of_this_machine() -> None:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    expected = re.findall(r"^\t(\S+) \(libc6,x86-64\) => (\S+)$", listed, re.MULTILINE)
    if not expected:
        pytest.skip("no ldconfig here")
    found = read_cache("/", MACHINE)
    assert {(name, path) for name, paths in found.items() for path in paths} >= set(expected)
