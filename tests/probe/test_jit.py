"""Compiled kernels kept in a cache: real shared objects, of this torch, of another one, and cut off."""

from __future__ import annotations

from pathlib import Path

from tests.lab_env import CHECK, make_env, needs_gcc, shared_object

pytestmark = needs_gcc

HOME = {"HOME": "/root"}


def test_a_cache_of_another_torch_and_a_cut_build_are_seen(tmp_path: Path) -> None:
    lab = make_env(tmp_path)
    cache = lab.root / "root/.cache/torch_extensions/py311_cu128"
    torch = [lab.site / "torch/lib" / name for name in ("libc10.so", "libc10_cuda.so")]
    shared_object(cache / "fits/fits.so", needed=torch, wants=[CHECK])
    shared_object(cache / "old/old.so", needed=torch, wants=[CHECK[:-2] + "jb"])
    (cache / "cut").mkdir()
    (cache / "cut/cut.so").write_bytes(b"")
    shared_object(cache.with_name("py310_cu128") / "other/other.so", needed=torch, wants=[CHECK[:-2] + "jb"])
    rows = {row["cache"].rpartition("/")[2]: row for row in lab.facts(HOME).rows("jit.stale")}
    assert rows.keys() == {"old", "cut"}
    assert rows["old"]["symbol"] == CHECK[:-2] + "jb"
    assert rows["cut"]["problem"] == "file too short"


def test_no_cache_is_no_fault(tmp_path: Path) -> None:
    facts = make_env(tmp_path).facts(HOME)
    assert facts.known("jit.stale")
    assert facts.rows("jit.stale") == ()


def test_what_cached_kernels_were_compiled_for(tmp_path: Path) -> None:
    lab = make_env(tmp_path)
    cache = lab.root / "root/.cache/torch_extensions/py311_cu128"
    flags = {
        "one": "-gencode=arch=compute_90a,code=sm_90a",
        "both": "-gencode=arch=compute_80,code=[sm_80,compute_80] -gencode arch=compute_90,code=sm_90",
        "portable": "-gencode=arch=compute_75,code=compute_75",
        "none": "-O3",
    }
    for name, text in flags.items():
        shared_object(cache / name / f"{name}.so")
        (cache / name / "build.ninja").write_text(f"cuda_cflags = {text}\n")
    rows = {
        row["cache"].rpartition("/")[2]: (row["machines"], row["virtual"]) for row in lab.raw(HOME).rows("jit.built")
    }
    assert rows == {"one": (["90a"], []), "both": (["80", "90"], ["80"]), "portable": ([], ["75"])}
