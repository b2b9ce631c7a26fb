"""What really becomes of a variable in each release.

The table of the memory-balance check is the sharpest case: three names, five ranges of releases, opposite meanings. It
was run against SGLang's own ``srt/environ.py`` of 0.5.8 and others; ``test_environ_itself.py`` repeats that.
"""

from __future__ import annotations

import pytest

from sgldoctor.derive.variables import among, explain_variable, judge, start
from sgldoctor.facts import Row
from sgldoctor.knowledge.variables import SAME, Transform, knowledge, meaning, place, releases

OLD = "SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK"
DISABLE = "SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK"
ENABLE = "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK"

# (first, last) -> for each name: does setting it turn the check off, and what should be set instead
TABLE: list[tuple[tuple[str, str], dict[str, tuple[bool, tuple[str, str] | None]]]] = [
    (("0.4.6.post5", "0.5.2"), {OLD: (True, None), DISABLE: (False, (OLD, "1")), ENABLE: (False, (OLD, "1"))}),
    (("0.5.3", "0.5.6.post2"), {OLD: (True, ("", "")), DISABLE: (False, (OLD, "1")), ENABLE: (False, (OLD, "1"))}),
    (("0.5.7", "0.5.17"), {OLD: (False, (ENABLE, "0")), DISABLE: (False, (ENABLE, "0")), ENABLE: (True, None)}),
    (("0.5.18", "0.5.20"), {OLD: (True, (ENABLE, "0")), DISABLE: (True, (ENABLE, "0")), ENABLE: (True, None)}),
    (("0.5.21", "0.5.23"), {OLD: (False, (ENABLE, "0")), DISABLE: (False, (ENABLE, "0")), ENABLE: (True, None)}),
]
OFF = {OLD: "1", DISABLE: "1", ENABLE: "0"}


def every_release() -> list[tuple[str, str, bool, tuple[str, str] | None]]:
    known = releases()
    cases = []
    for (first, last), names in TABLE:
        for release in known[known.index(first) : known.index(last) + 1]:
            cases += [(release, name, works, instead) for name, (works, instead) in names.items()]
    return cases


def explained(name: str, value: str | None, release: str | None, says: str = "") -> Row:
    row = explain_variable(name, value, release, says)
    assert row is not None
    return row


def test_the_table_covers_all_releases() -> None:
    assert {release for release, *_ in every_release()} == set(releases())


@pytest.mark.parametrize(("release", "name", "works", "instead"), every_release())
def test_memory_balance_check(release: str, name: str, works: bool, instead: tuple[str, str] | None) -> None:
    row = explain_variable(name, OFF[name], release)
    if instead is None:
        assert row is None
        return
    assert row is not None
    assert row["works"] is works
    assert (row["successor"], row["successor_value"]) == instead


def test_what_sglang_prints_is_quoted() -> None:
    says = explained(OLD, "1", "0.5.8")["says"]
    assert f"Environment variable {OLD} will be deprecated, please use {ENABLE} instead" in says
    assert f"Environment variable {OLD} is deprecated, please use {DISABLE}" in says
    assert explained(DISABLE, "1", "0.5.8")["says"] == ""
    assert explained(DISABLE, "1", "0.5.19")["says"].startswith(f"Environment variable {DISABLE} is deprecated.")


def test_the_notes_tell_the_trap() -> None:
    assert "means the opposite" in explained(OLD, "1", "0.5.8")["note"]
    assert "ignores it without a word" in explained(DISABLE, "1", "0.5.8")["note"]
    assert "spawned processes only" in explained(OLD, "1", "0.5.18")["note"]
    assert "obeying its warning would turn the setting off" in explained(OLD, "1", "0.5.4")["note"]
    assert "neither name has any effect" in explained(OLD, "1", "0.5.23")["note"]


def test_value_zero_is_inverted_too() -> None:
    row = explained(OLD, "0", "0.5.8")  # copied unchanged: it turns the check off, while it asked for it
    assert (row["works"], row["successor_value"]) == (False, "1")


def test_without_a_value_a_switch_is_taken_as_switched_on() -> None:
    assert explained(OLD, None, "0.5.8")["successor_value"] == "0"
    assert explained("SGLANG_GC_LOG", None, "0.5.8")["successor_value"] == ""


def test_unknown_release_tells_each_range() -> None:
    row = explained(OLD, "1", None)
    assert row["works"] is None
    assert (row["successor"], row["successor_value"], row["release"]) == (ENABLE, "0", "")
    for part in ("..0.5.2 ", "0.5.3..0.5.6.post2 ", "0.5.7..0.5.17 ", "0.5.18..0.5.20 ", "0.5.21.. "):
        assert part in row["note"]
    assert explain_variable(ENABLE, "0", None) is None


def test_a_warning_that_was_seen_narrows_the_releases() -> None:
    says = f"Environment variable {OLD} will be deprecated, please use {ENABLE} instead"
    row = explained(OLD, None, None, says)
    assert (row["releases"], row["works"], row["kind"]) == ("0.5.7..0.5.17", False, "inverted")


def test_a_range_of_releases_narrows_too() -> None:
    places = list(range(releases().index("0.5.9"), releases().index("0.5.12") + 1))
    row = among(OLD, "1", places)
    assert row is not None
    assert (row["works"], row["releases"]) == (False, "0.5.9..0.5.12")
    assert row["note"].startswith("SGLang 0.5.9..0.5.12 copies")
    assert among(OLD, "1", [releases().index("0.5.2")]) is None
    assert among(OLD, "1", []) is None


# Read under the old name only, while the release's warning names the new one.
@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("SGL_ENABLE_JIT_DEEPGEMM", "0.5.3.post1"),
        ("SGL_JIT_DEEPGEMM_PRECOMPILE", "0.5.3"),
        ("SGL_JIT_DEEPGEMM_COMPILE_WORKERS", "0.5.3.post1"),
        ("SGL_DG_CACHE_DIR", "0.5.4"),
        ("SGL_CHUNKED_PREFIX_CACHE_THRESHOLD", "0.5.6.post2"),
        ("SGL_DG_USE_NVRTC", "0.5.22"),
        ("SGL_CPU_QUANTIZATION", "0.5.22"),
        ("SGL_USE_DEEPGEMM_BMM", "0.5.18"),
    ],
)
def test_obeying_the_warning_turns_the_setting_off(name: str, release: str) -> None:
    row = explained(name, "1", release)
    assert (row["kind"], row["works"], row["successor"]) == ("misadvised", True, "")
    new = name.replace("SGL_", "SGLANG_", 1)
    obeyed = explained(new, "1", release)
    assert (obeyed["works"], obeyed["successor"]) == (False, name)


def test_a_release_that_reads_both_names_in_different_places() -> None:
    row = explained("SGL_USE_DEEPGEMM_BMM", "1", "0.5.22")
    assert (row["kind"], row["works"]) == ("misadvised", True)
    assert "in different places" in row["note"]


@pytest.mark.parametrize(
    ("name", "value", "release", "kind", "works", "successor", "given"),
    [
        ("SGLANG_GC_LOG", "1", "0.5.8", "renamed", True, "SGLANG_LOG_GC", "1"),
        ("SGLANG_GC_LOG", "1", "0.5.23", "renamed", False, "SGLANG_LOG_GC", "1"),
        ("SGLANG_QUEUED_TIMEOUT_MS", "5000", "0.5.9", "milliseconds", True, "SGLANG_REQ_WAITING_TIMEOUT", "5"),
        ("SGLANG_QUEUED_TIMEOUT_MS", "1500", "0.5.23", "milliseconds", False, "SGLANG_REQ_WAITING_TIMEOUT", "1.5"),
        ("SGLANG_NSA_FUSE_TOPK", "0", "0.5.15", "renamed", True, "SGLANG_DSA_FUSE_TOPK", "0"),
        ("SGLANG_ENABLE_FLASHINFER_GEMM", "1", "0.5.8", "flag", True, "--fp8-gemm-backend=flashinfer_trtllm", ""),
        ("SGLANG_CUTLASS_MOE", "1", "0.5.19", "flag", False, "--moe-runner-backend=cutlass", ""),
        ("SGLANG_OPT_USE_CUDA_SCONV", "1", "0.5.18", "removed", False, "", ""),
        (
            "SGLANG_ENABLE_EPLB_BALANCEDNESS_METRIC",
            "1",
            "0.5.19",
            "harmful",
            False,
            "--expert-balancedness-report-mode",
            "",
        ),
        ("SGLANG_WAIT_PORT_TIMEOUT", "60", "0.5.8", "inert", False, "", ""),
    ],
)
def test_other_kinds(name: str, value: str, release: str, kind: str, works: bool, successor: str, given: str) -> None:
    row = explained(name, value, release)
    assert [row[key] for key in ("kind", "works", "successor", "successor_value")] == [kind, works, successor, given]
    assert row["note"].startswith(f"SGLang {release} ")


def test_a_variable_that_is_declared_and_never_read_is_not_condemned() -> None:
    row = explained("SGLANG_JIT_LOG_LEVEL", "3", "0.5.23")
    assert (row["kind"], row["works"]) == ("inert", None)


def test_a_variable_in_good_standing_is_not_mentioned() -> None:
    for name in ("SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "SGLANG_LOCAL_IP_NIC", "SGLANG_TORCH_PROFILER_DIR"):
        assert explain_variable(name, "x", "0.5.23") is None, name
    assert explain_variable("SGLANG_NOBODY_KNOWS_THIS", "1", "0.5.8") is None


def test_a_newer_or_odd_release_is_judged_by_the_nearest() -> None:
    assert place("0.5.24") == len(releases()) - 1
    assert place("0.5.8.post1.dev12+gabcdef") == releases().index("0.5.8")
    assert place("0.1.0") is None
    assert place("0.0.0.dev1+ge9d6b9eb2") is None  # a checkout without tags: any release
    assert place("not a version") is None
    assert explained(DISABLE, "1", "99.0")["works"] is False
    assert explain_variable(DISABLE, "1", "not a version") == explain_variable(DISABLE, "1", None)


def test_meaning_is_symmetric() -> None:
    assert meaning(OLD)[ENABLE] == Transform(inverted=True)
    assert meaning(OLD)[DISABLE] == SAME
    for name in {one.old for one in knowledge().notices}:
        for other, there in meaning(name).items():
            back = meaning(other)[name]
            assert there.inverted == back.inverted
            assert abs(there.factor * back.factor - 1) < 1e-9


def test_every_variable_in_every_release_has_a_verdict() -> None:
    names = {one.old for one in knowledge().notices} | {name for name in knowledge().variables if name[:4] == "SGL_"}
    for name in sorted(names):
        for at in range(len(releases())):
            verdict = judge(name, at)
            assert bool(verdict.kind) == bool(verdict.note)
            if verdict.successor and not verdict.successor.startswith("-"):
                assert verdict.successor != name


def test_the_copy_reaches_what_it_should() -> None:
    at = releases().index("0.5.8")
    after, says = start({"SGL_ANYTHING": SAME}, at)
    assert after == {"SGL_ANYTHING": SAME, "SGLANG_ANYTHING": SAME}
    assert says == ["Environment variable SGL_ANYTHING is deprecated, please use SGLANG_ANYTHING"]
    assert start({"SGL_ANYTHING": SAME}, releases().index("0.5.2")) == ({"SGL_ANYTHING": SAME}, [])
