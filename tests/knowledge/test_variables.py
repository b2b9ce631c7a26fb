from __future__ import annotations

from sgldoctor.knowledge.drivers import minimum, newest_major, parts, shipped
from sgldoctor.knowledge.files import read_json
from sgldoctor.knowledge.variables import (
    FALSE,
    TRUE,
    Transform,
    declaration,
    inside,
    knowledge,
    place,
    prefixed,
    reads,
    releases,
)


def test_releases_are_in_order() -> None:
    from packaging.version import Version

    assert list(releases()) == sorted(releases(), key=Version)
    assert [place(release) for release in releases()] == list(range(len(releases())))


def test_all_runs_are_sound() -> None:
    known = knowledge()
    last = len(releases()) - 1
    runs = [run for one in known.variables.values() for run in (*one.declared, *one.read)]
    runs += [run for one in known.notices for run in one.present]
    runs += [run for one in known.limits.values() for run in one.present]
    assert all(0 <= first <= end <= last for first, end in runs)
    assert inside(((2, 4),), 4)
    assert not inside(((2, 4),), 5)


def test_limits_name_known_variables() -> None:
    for limit in knowledge().limits.values():
        assert limit.name in knowledge().variables
        assert limit.largest > 0
        assert ".py:" in limit.where


def test_declaration_follows_the_release() -> None:
    name = "SGLANG_MOONCAKE_CUSTOM_MEM_POOL"
    assert declaration(name, releases().index("0.5.4")) == ("bool", "False")
    assert declaration(name, releases().index("0.5.5.post1")) == ("str", "None")
    assert declaration(name, releases().index("0.5.2")) == ("", "")
    assert declaration("SGLANG_NOBODY_KNOWS_THIS", 0) == ("", "")


def test_reads() -> None:
    assert reads("SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK", releases().index("0.5.7"))
    assert not reads("SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK", releases().index("0.5.6.post2"))


def test_transform() -> None:
    invert, scale = Transform(inverted=True), Transform(factor=0.001)
    assert [invert.apply(value) for value in (*TRUE, *FALSE)] == ["0"] * len(TRUE) + ["1"] * len(FALSE)
    assert invert.apply("maybe") == "maybe"
    assert (scale.apply("2500"), scale.apply("soon"), scale.back().apply("2.5")) == ("2.5", "soon", "2500")
    assert invert.then(invert) == Transform()


def test_prefix() -> None:
    assert prefixed("SGL_SGL_X") == "SGLANG_SGL_X"
    assert prefixed("SGLANG_X") == ""


def test_drivers_are_in_order() -> None:
    data = read_json("drivers.json")
    table = sorted(data["toolkit"].items(), key=lambda item: parts(item[0]))
    drivers = [parts(driver) for _, driver in table]
    assert drivers == sorted(drivers)
    for cuda, driver in table:
        # What a toolkit came with satisfies the minimum of its major, and so runs that major.
        assert parts(driver) >= parts(minimum(cuda))
        assert newest_major(driver) == cuda.partition(".")[0]
        assert shipped(f"{cuda}.1") == driver


def test_unknown_cuda() -> None:
    assert (minimum("99.1"), shipped("99.1"), minimum(""), parts("cu128")) == ("", "", "", ())
