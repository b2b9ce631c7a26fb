"""The ELF reader against gcc's files, pyelftools and damage."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgldoctor.probe.elf import BadElf, Elf, gnu_hash
from tests.lab_env import needs_gcc, shared_object

pytestmark = needs_gcc


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    other = shared_object(folder / "libother.so.3", defines=["other"], versions="OTHER_1 { global: other; };")
    return shared_object(
        folder / "libsample.so.1",
        needed=[other],
        rpath="$ORIGIN/../lib:/opt/lib",
        defines=["first", "second", "_ZN3c104cuda5checkEv"],
        wants=["other", "nowhere"],
        versions="SAMPLE_1 { global: first; }; SAMPLE_2 { global: *; } SAMPLE_1;",
    )


def test_the_dynamic_section(sample: Path) -> None:
    elf = Elf(str(sample))
    assert elf.soname == "libsample.so.1"
    assert elf.needed == ("libother.so.3",)
    assert elf.rpath == ("$ORIGIN/../lib", "/opt/lib")
    assert elf.runpath is None


def test_symbols_and_versions(sample: Path) -> None:
    elf = Elf(str(sample))
    assert dict(elf.undefined()) == {b"other": False, b"nowhere": False}
    assert [(need.version, need.library) for need in elf.version_needs if "libc" not in need.library] == [
        ("OTHER_1", "libother.so.3")
    ]
    assert {"SAMPLE_1", "SAMPLE_2"} <= elf.version_offers
    for name in (b"first", b"second", b"_ZN3c104cuda5checkEv"):
        assert elf.exports(name, gnu_hash(name))
    for name in (b"other", b"nowhere", b"third", b""):
        assert not elf.exports(name, gnu_hash(name))


def test_a_library_with_the_old_hash_table_only(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "libold.so"
    command = ["gcc", "-shared", "-nostdlib", "-fPIC", "-x", "c", "-", "-o", str(path), "-Wl,--hash-style=sysv"]
    subprocess.run(command, input="extern void far(void); void near(void) { far(); }", text=True, check=True)
    elf = Elf(str(path))
    assert elf.exports(b"near", gnu_hash(b"near"))
    assert not elf.exports(b"far", gnu_hash(b"far"))
    assert [name for name, _ in elf.undefined()] == [b"far"]


def oracle(path: Path) -> tuple[set[str], set[str], list[str], str]:
    """Undefined symbols, exports, DT_NEEDED and SONAME as pyelftools reads them."""
    with path.open("rb") as stream:
        file = ELFFile(stream)
        undefined: set[str] = set()
        exports: set[str] = set()
        table = file.get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            if symbol.name:
                (undefined if symbol["st_shndx"] == "SHN_UNDEF" else exports).add(symbol.name)
        section = file.get_section_by_name(".dynamic")
        assert isinstance(section, DynamicSection)
        needed = [str(getattr(tag, "needed", "")) for tag in section.iter_tags("DT_NEEDED")]
        soname = next((str(getattr(tag, "soname", "")) for tag in section.iter_tags("DT_SONAME")), "")
        return undefined, exports, needed, soname


def system_libraries() -> list[Path]:
    import re

    maps = Path("/proc/self/maps").read_text()
    return sorted({Path(found) for found in re.findall(r"/\S+\.so\S*", maps) if Path(found).is_file()})


@pytest.mark.parametrize("path", system_libraries()[:25], ids=lambda path: path.name)
def test_real_libraries_read_as_pyelftools_reads_them(path: Path) -> None:
    undefined, exports, needed, soname = oracle(path)
    elf = Elf(str(path))
    assert list(elf.needed) == needed
    assert elf.soname == soname
    assert {name.decode() for name, _ in elf.undefined()} == undefined
    for name in sorted(exports)[:400]:
        assert elf.exports(name.encode(), gnu_hash(name.encode())), name
    for name in sorted(undefined - exports)[:100]:
        assert not elf.exports(name.encode(), gnu_hash(name.encode())), name


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "file too short"),
        (lambda data: b"<html>not found</html>" * 10, "invalid ELF header"),
        (lambda data: data[:4] + b"\x01" + data[5:], "wrong ELF class"),
        (lambda data: data[:18] + struct.pack("<H", 40) + data[20:], "wrong machine"),
        (lambda data: data[: len(data) // 2], "truncated"),
    ],
)
def test_unusable_files_say_why(sample: Path, tmp_path: Path, damage: object, words: str) -> None:
    assert callable(damage)
    bad = tmp_path / "bad.so"
    bad.write_bytes(damage(sample.read_bytes()))
    import os

    with pytest.raises(BadElf, match=words):
        Elf(str(bad), os.uname().machine)


def test_a_file_cut_after_its_last_segment_still_loads(sample: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.so"
    cut.write_bytes(sample.read_bytes()[:-300])
    assert Elf(str(cut)).soname == "libsample.so.1"


def look_at_everything(path: Path) -> None:
    elf = Elf(str(path))
    _ = elf.needed, elf.soname, elf.rpath, elf.runpath, elf.version_needs, elf.version_offers
    names = [name for name, _ in elf.undefined()][:50]
    for name in (*names, b"first"):
        elf.exports(name, gnu_hash(name))


@pytest.fixture(scope="module", autouse=True)
def dynamic(sample: Path) -> None:
    offset, length = Elf(str(sample))._dynamic
    DYNAMIC[str(sample)] = (offset, offset + length)


DYNAMIC: dict[str, tuple[int, int]] = {}
"""Where the dynamic section of the sample lies: most of what a reader can stumble over."""


@settings(max_examples=400, deadline=2000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_corrupt_file_is_a_bad_elf_and_nothing_else(sample: Path, data: st.DataObject) -> None:
    content = bytearray(sample.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # Most bytes of a small file are padding: aim at the headers and at the tables behind them.
        begin, end = data.draw(st.sampled_from([(0, 64), (64, 0x200), (0x1C8, 0x540), DYNAMIC[str(sample)]]))
        place = data.draw(st.integers(begin, end - 9))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        value = data.draw(
            st.sampled_from([0, 1, 0x7F, 0xFF, 1 << 31, (1 << 32) - 1, (1 << 64) - 1]) | st.integers(0, 1 << 16)
        )
        content[place : place + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bad.so"
        path.write_bytes(content)
        try:
            look_at_everything(path)
        except BadElf:
            return
