"""Python files of installed packages that are gone, emptied or cut; wheels of other platforms; programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sgldoctor.facts import Facts
from sgldoctor.probe.packages import packages
from sgldoctor.probe.record import libc_of
from sgldoctor.probe.target import Target
from tests.lab_env import distribution

MINOR = ".".join(map(str, sys.version_info[:2]))
FILES = {
    "transformers/__init__.py": "x = 1\n",
    "transformers/utils.py": "def use():\n    return 1\n",
    "transformers/models/__init__.py": "y = 1\n",
    "transformers/models/qwen3/__init__.py": "z = 1\n",
    "transformers/testing_utils.py": "t = 1\n",
    "transformers/models/deep/er/deepest.py": "d = 1\n",
}


def look(site: Path, root: str = "/", **more: str) -> Facts:
    folder = str(site) if root == "/" else "/" + str(site.relative_to(root))
    return packages(Target(root, more.get("python", sys.executable), sys.prefix, (folder,), MINOR, {}, "test", "venv"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    distribution(folder, "transformers", "4.57.1", [], list(FILES))
    return folder


def damage(facts: Facts) -> list[tuple[str, str]]:
    return [(row["file"], row["problem"]) for row in facts.rows("record.damaged")]


def test_a_whole_package(site: Path) -> None:
    assert damage(look(site)) == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("transformers/utils.py", None, "missing"),
        ("transformers/utils.py", "", "empty"),
        ("transformers/utils.py", "def use(", "no Python: '(' was never closed"),
        ("transformers/utils.py", "x = 1\0\0\0", "no Python: source code string cannot contain null bytes"),
        ("transformers/models/__init__.py", None, "missing"),
        ("transformers/models/qwen3", None, "missing"),
        ("transformers/models/deep", None, "missing"),
    ],
)
def test_what_a_cut_off_installation_leaves(site: Path, file: str, text: str | None, problem: str) -> None:
    path = site / file
    if text is not None:
        path.write_text(text)
    elif path.is_dir():
        path.rename(site / "elsewhere")
    else:
        path.unlink()
    assert damage(look(site)) == [(file, problem)]


def test_files_that_a_lost_power_supply_left_full_of_zeros(site: Path) -> None:
    """They are as long as they should be; below the first level the largest is looked at, and then all."""
    for file in ("transformers/models/qwen3/__init__.py", "transformers/models/__init__.py"):
        size = (site / file).stat().st_size
        (site / file).write_bytes(bytes(size))
    assert damage(look(site)) == [("transformers/models/__init__.py", "filled with zeros")]
    (site / "transformers/__init__.py").write_bytes(bytes(6))
    (first, *_) = look(site).rows("record.damaged")
    assert (first["file"], first["problem"], first["count"]) == ("transformers/__init__.py", "filled with zeros", 2)


def test_a_file_that_was_changed_after_the_installation_is_looked_into_wherever_it_lies(tmp_path: Path) -> None:
    """Beside a larger one in a folder deep inside SGLang, of which only the largest would be read."""
    files = {"sglang/srt/models/large.py": "x = 1\n" * 9, "sglang/srt/models/small.py": "y = 1\n", "sglang/a.py": "1\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    distribution(tmp_path, "sglang", "0.5.8", [], list(files))
    record = next(tmp_path.glob("*.dist-info/RECORD"))
    small = tmp_path / "sglang/srt/models/small.py"
    small.write_bytes(bytes(6))
    before, after = record.stat().st_mtime - 9, record.stat().st_mtime + 9
    os.utime(small, (before, before))
    assert damage(look(tmp_path)) == []
    os.utime(small, (after, after))
    assert damage(look(tmp_path)) == [("sglang/srt/models/small.py", "filled with zeros")]


def test_files_of_another_release_over_those_that_were_installed(tmp_path: Path) -> None:
    """A file or two were mended in place; most of them are not what the metadata tell."""
    names = [f"einops/part{number}.py" for number in range(8)]
    for name in ("einops/__init__.py", *names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    distribution(tmp_path, "einops", "0.8.1", [], ["einops/__init__.py", *names])
    for number, name in enumerate(names):
        (tmp_path / name).write_text("longer = 1\n")
        rows = look(tmp_path).rows("record.damaged")
        assert [row["problem"] for row in rows] == ([f"of another size, as {number + 1} of 8 files"] * (number > 3))


def test_a_package_of_which_only_the_compiled_form_is_there(tmp_path: Path) -> None:
    (tmp_path / "sympy").mkdir()
    (tmp_path / "sympy/__init__.py").write_text("x = 1\n")
    distribution(tmp_path, "sympy", "1.14", [], ["sympy/__init__.py"])
    (tmp_path / "sympy/__init__.py").rename(tmp_path / "sympy/__init__.pyc")
    assert damage(look(tmp_path)) == []
    (tmp_path / "sympy/__init__.pyc").unlink()
    assert damage(look(tmp_path)) == [("sympy/__init__.py", "missing")]


def test_modules_of_one_file_and_the_path_file_of_a_folder(tmp_path: Path) -> None:
    """``six.py`` is all of a package; without its .pth file a folder is not on the path; others are not missed."""
    files = ["six.py", "stem.pth", "stem/inner/mod.py", "extra.pth", "whole/__init__.py", "whole.pth"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    distribution(tmp_path, "six", "1.17.0", [], files)
    assert damage(look(tmp_path)) == []
    for name in ("extra.pth", "whole.pth"):
        (tmp_path / name).unlink()
    assert damage(look(tmp_path)) == []
    (tmp_path / "stem.pth").unlink()
    assert damage(look(tmp_path)) == [("stem.pth", "missing")]
    (tmp_path / "six.py").unlink()
    (row,) = look(tmp_path).rows("record.damaged")
    assert sorted(row["files"]) == ["six.py", "stem.pth"]


def test_compiled_modules_full_of_zeros_or_for_another_machine(tmp_path: Path) -> None:
    """A wheel may hold libraries for several machines, and text in place of a library; what Python imports may not."""
    arm = b"\x7fELF\2\1\1" + bytes(11) + b"\xb7\0" + bytes(200)
    files = {"fast/one.abi3.so": arm, "fast/libarm.so": arm, "fast/libtext.so": b"INPUT(libone.so.1)" + bytes(50)}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    distribution(tmp_path, "fast", "1", [], list(files))
    machine = look(tmp_path).value("python", "machine")
    assert damage(look(tmp_path)) == ([] if machine == "aarch64" else [("fast/one.abi3.so", "wrong machine aarch64")])
    (tmp_path / "fast/libarm.so").write_bytes(bytes(len(arm)))
    assert "fast/libarm.so" in look(tmp_path).rows("record.damaged")[0]["files"]


def test_what_people_do_on_purpose(site: Path) -> None:
    (site / "transformers/testing_utils.py").unlink()  # images leave tests out
    (site / "transformers/utils.py").write_text("def use():\n    return 2  # mended in place\n")
    (site / "transformers/models/qwen3/__init__.py").unlink()  # the third level is asked for as folders alone
    (site / "transformers/models/__init__.py").rename(site / "transformers/models/__init__.pyc")
    assert damage(look(site)) == []


def test_a_package_that_is_far_from_sglang_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/__init__.py").write_text("x = 1\n")
    (tmp_path / "far/gone.py").write_text("x = 1\n")
    distribution(tmp_path, "far", "1.0", [], ["far/__init__.py", "far/gone.py"])
    (tmp_path / "far/gone.py").unlink()
    assert damage(look(tmp_path)) == []


def test_what_is_left_of_an_earlier_release_owns_no_file(site: Path) -> None:
    """``pip install --target --upgrade`` replaces the package and leaves the metadata of the old one."""
    (site / "transformers/utils.py").unlink()
    newer = [name for name in FILES if name != "transformers/utils.py"]
    distribution(site, "transformers", "5.0.0", [], newer)
    assert damage(look(site)) == []


@pytest.mark.parametrize(
    ("tags", "seen"),
    [
        (["cp311-cp311-musllinux_1_2_x86_64"], "musllinux_1_2_x86_64"),
        (["cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64"], "manylinux2014_aarch64"),
        (["cp311-cp311-win_amd64"], "win_amd64"),
        (["cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"], ""),
        (["cp311-cp311-linux_x86_64"], ""),
        (["cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux1_x86_64"], ""),
        (["py3-none-any"], ""),
        ([], ""),
    ],
)
def test_the_platform_of_a_wheel(tmp_path: Path, tags: list[str], seen: str) -> None:
    root, site = tmp_path, tmp_path / "site"
    (root / "lib64").mkdir()
    (root / "lib64/ld-linux-x86-64.so.2").write_text("")
    (root / "bin").mkdir()
    (root / "bin/python").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\0" + bytes(44))  # x86-64
    site.mkdir()
    (site / "fast.so").write_bytes(b"\x7fELF")
    info = distribution(site, "fast", "1.0", [], ["fast.so"])
    (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))
    rows = look(site, str(root), python="/bin/python").rows("packages.platform")
    assert [row["built"] for row in rows] == ([seen] if seen else [])


def test_a_wheel_of_windows_holds_no_shared_object(tmp_path: Path) -> None:
    (tmp_path / "fast.pyd").write_bytes(b"MZ")
    info = distribution(tmp_path, "fast", "1.0", [], ["fast.pyd"])
    (info / "WHEEL").write_text("Tag: cp311-cp311-win_amd64\n")
    assert [row["built"] for row in look(tmp_path).rows("packages.platform")] == ["win_amd64"]


def test_the_c_library_of_a_root(tmp_path: Path) -> None:
    target = Target(str(tmp_path), "", "", (), "", {}, "test", "venv")
    assert libc_of(target) == ""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/ld-musl-x86_64.so.1").write_text("")
    assert libc_of(target) == "musllinux"
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/ld-linux-x86-64.so.2").write_text("")
    assert libc_of(target) == "manylinux"


def test_programs_of_a_package(tmp_path: Path) -> None:
    names = ["triton/backends/nvidia/bin/ptxas", "triton/backends/nvidia/bin/nvdisasm"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!")
        (tmp_path / name).chmod(0o755)
    distribution(tmp_path, "triton", "3.5.1", [], names)
    assert (damage(look(tmp_path)), look(tmp_path).rows("packages.stopped")) == ([], ())
    (tmp_path / names[0]).chmod(0o644)
    assert [row["file"] for row in look(tmp_path).rows("packages.stopped")] == [names[0]]
    (tmp_path / names[1]).unlink()
    assert damage(look(tmp_path)) == [(names[1], "missing")]


def test_sources_of_an_editable_install_that_were_moved(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    (source / "sglang").mkdir(parents=True)
    info = distribution(site, "sglang", "0.5.8")
    (info / "direct_url.json").write_text(f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}')
    assert look(site).rows("packages.moved") == ()
    source.rename(tmp_path / "moved")
    assert [row["path"] for row in look(site).rows("packages.moved")] == [str(source)]
    (site / "old_way.egg-link").write_text("/gone/old_way\n.")  # setup.py develop
    assert {row["name"] for row in look(site).rows("packages.moved")} == {"sglang", "old-way"}
    (site / "old_way.egg-link").unlink()
    (site / "sglang").mkdir()  # found all the same
    assert look(site).rows("packages.moved") == ()


def python_of(folder: Path, python: str, kind: str = "venv") -> dict[str, object]:
    """What is said of the interpreter of a folder with packages of Python 3.11."""
    site = folder / "lib/python3.11/site-packages"
    target = Target("/", python, str(folder), (str(site),), "3.11.7", {}, "test", kind)
    return dict(packages(target).one("python"))


def test_an_interpreter_of_another_minor_release(tmp_path: Path) -> None:
    distribution(tmp_path / "venv/lib/python3.11/site-packages", "torch", "2.9.1")
    (tmp_path / "venv/bin").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    link = tmp_path / "venv/bin/python"
    for name, runs in (("python3.12", "3.12"), ("python3.11", ""), ("python3", ""), ("python3.13t", "3.13")):
        (tmp_path / name).write_text("")
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / name)
        assert python_of(tmp_path / "venv", str(link))["runs"] == runs


def test_a_virtual_environment_without_its_file(tmp_path: Path) -> None:
    venv, base = tmp_path / "venv", tmp_path / "base/bin/python3.11"
    distribution(venv / "lib/python3.11/site-packages", "torch", "2.9.1")
    base.parent.mkdir(parents=True)
    base.write_text("")
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(base)
    assert python_of(venv, str(venv / "bin/python"), "system")["lost"] == str(venv)
    assert python_of(tmp_path / "base", str(venv / "bin/python"), "system")["lost"] == str(venv)
    assert python_of(tmp_path / "base", str(base), "system")["lost"] == ""
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert python_of(venv, str(venv / "bin/python"))["lost"] == ""


def shadowed(folder: Path, environ: dict[str, str] | None = None) -> tuple[list[str], list[str]]:
    """Modules hidden by PYTHONPATH, and by the folder in which the doctor runs."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    target = Target("/", sys.executable, sys.prefix, (str(site),), MINOR, environ or {}, "test", "venv")
    facts = packages(target._replace(cwd=str(folder / "here")))
    return tuple([row["name"] for row in facts.rows(name)] for name in ("modules.shadowed", "modules.shadowed_here"))  # type: ignore[return-value]


def test_what_lies_in_the_folder_of_the_start(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "logging").mkdir(parents=True)
    (here / "transformers").mkdir()
    (here / "mine.py").write_text("")
    assert shadowed(tmp_path) == ([], [])  # folders without __init__.py are passed over
    (here / "logging/__init__.py").write_text("")
    (here / "queue.py").write_text("")
    (here / "torch.py").write_text("")
    assert shadowed(tmp_path) == ([], ["logging", "queue", "torch"])
    assert shadowed(tmp_path, {"PYTHONSAFEPATH": "1"}) == ([], [])
    assert shadowed(tmp_path, {"PYTHONPATH": str(here)}) == (["torch", "logging", "queue"], [])
    for name in ("os.py", "site.py", "codecs.py"):
        (here / name).write_text("")
    assert shadowed(tmp_path, {"PYTHONPATH": str(here)}) == (["torch"], [])  # a standard library of its own


def test_a_checkout_of_sglang_in_the_folder_of_the_start(tmp_path: Path) -> None:
    for folder in ("here/sglang", "site/sglang"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").write_text("")
    assert shadowed(tmp_path) == ([], ["sglang"])
    (tmp_path / "site/sglang/__init__.py").unlink()
    (tmp_path / "site/sglang").rmdir()
    (tmp_path / "site/sglang").symlink_to(tmp_path / "here/sglang")  # the same sources
    assert shadowed(tmp_path) == ([], [])
