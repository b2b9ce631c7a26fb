"""Requirement lines and versions as ``packaging`` takes them, which is the judge of both."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from sgldoctor.derive.requirement import read
from sgldoctor.knowledge.files import read_json
from sgldoctor.versions import compare, satisfies, valid

ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.7",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
}
RECORDED = Path(__file__).parents[1] / "lab/snapshots"

ODD = """numpy
numpy >= 1.2 , <3
numpy (>=1.2,<3)
numpy ()
 Foo.Bar_baz[A,b-c]~=1.4.2 ; extra == 'x_y'
foo[]
foo==1.*
foo!=1.2.*,>=1
foo===1.0
foo==1.0+cu128
foo>=1.0rc1
foo>=2.0.dev0
foo @ https://example.com/foo-1.0.whl
foo @ https://example.com/foo-1.0.whl ; python_version < '3.12'
foo (>=1.0,<2.*) ; bogus
foo>=1;python_version<"3.9"
foo>=1; (python_version>="3.9" and sys_platform=="linux") or extra=='dev'
foo>=1; python_version>="3.9" and (sys_platform=="win32" or platform_machine!="aarch64")
foo>=1; python_version>="3.9" or sys_platform=="win32" and platform_machine=="arm64"
foo; python_version in "3.9 3.11"
foo; python_version not in "3.9 3.11"
foo; "linux" in sys_platform
foo; '3.8' <= python_version
foo; platform_release >= "5"
foo; python_version == "3.*"
foo; python_version ~= "3.8"
foo; python_full_version > "3.11.6"
foo; implementation_version < "3.12"
foo; platform_python_implementation != 'PyPy'
foo; os_name == "nt" and
foo; (os_name == "nt"
foo; os_name == "nt" os_name == "nt"
foo; os_name >= "nt"
foo; extra == "A.B"
foo; extra != "a-b"
foo>=1,
foo,
foo bar
foo>=
>=1
-foo
foo<2,>=1,!=1.5
foo<=v1
foo>=1.0.post1
foo>=01.0""".splitlines()


def known_lines() -> list[str]:
    """All requirement lines that the knowledge and the lab hold."""
    found: set[str] = set(ODD)

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, str) and len(value) < 300:
            found.add(value)

    walk(read_json("sglang-releases.json"))
    for path in RECORDED.glob("*.json"):
        for row in json.loads(path.read_text())["facts"].get("packages", {"rows": []})["rows"]:
            found.update(row.get("requires") or ())
    return sorted(found)


@pytest.mark.parametrize("extras", [set[str](), {"x-y"}, {"dev", "a-b"}], ids=len)
def test_lines_are_read_as_the_grammar_reads_them(extras: set[str]) -> None:
    lines = known_lines()
    assert len(lines) > 1500
    for line in lines:
        ours = read(line)
        try:
            theirs = Requirement(line)
        except InvalidRequirement:
            assert ours is None, line
            continue
        assert ours is not None, line
        assert (ours.name, set(ours.extras)) == (theirs.name, theirs.extras), line
        assert SpecifierSet(ours.specifier) == theirs.specifier, line
        assert ours.specifier == str(theirs.specifier), line
        marker = theirs.marker
        try:
            holds = marker is None or any(marker.evaluate({**ENVIRONMENT, "extra": one}) for one in extras or {""})
        except Exception:  # noqa: BLE001 - what cannot be compared does not apply
            holds = False
        assert ours.applies(ENVIRONMENT, extras) == holds, line


VERSIONS = """1 1.0 1.2dev3 1.2post1 1.0.0 1.2 1.2.0 1.2.3 1.10 1.2.3.post1 1.2.post2 2 2.0.1 10.0 1.2.3+cu128
1.2.3.post1+cu128 1.2.3+CU128 1.2.3rc1 1.3.dev5 1.2.3a1.dev2 1.2.3b2 1.2.3.post1.dev3 1.2rc1.post2 1.10rc2+cu128 0 0.0
2!1.0 01.2 v1.2 1.2-1 1.2.3.4.5.6.7.8 nonsense 1.2.x""".split()
BOUNDS = """1 1.0 1.2.0dev0 1.2post1 1.2 1.2.0 1.2.3 1.2.3.post1 1.2.post2 1.10 2 1.* 1.2.* 1.2.3.* 1.2.0.* 1.2.3+cu128
1.2.3rc1 1.3.dev5 1.2.3b2 1.2.3.post1.dev3 1.2rc1 1.2rc1.post2 1.2.3rc1.* 0""".split()


def test_versions_satisfy_what_they_satisfy_for_packaging() -> None:
    clauses = [operator + bound for operator in ("==", "!=", ">=", "<=", "<", ">", "~=", "===") for bound in BOUNDS]
    both = [",".join(pair) for pair in itertools.product(clauses[::7], clauses[::5])]
    for version, specifier in itertools.product(VERSIONS, [*clauses, *both, "", " ", "nonsense"]):
        try:
            Version(version)
            expected = SpecifierSet(specifier).contains(version, prereleases=True)
        except ValueError:  # what cannot be read satisfies nothing false
            expected = True
        assert satisfies(version, specifier) == expected, (version, specifier)


def test_versions_are_ordered_as_packaging_orders_them() -> None:
    def real(text: str) -> Version | None:
        try:
            return Version(text.partition("+")[0])
        except InvalidVersion:
            return None

    for first, second in itertools.product(VERSIONS, repeat=2):
        left, right = real(first), real(second)
        assert valid(first) == (left is not None)
        if left is None or right is None:
            with pytest.raises(ValueError, match=r"nvalid version"):
                compare(first, second)
        else:
            assert compare(first, second) == (left > right) - (left < right), (first, second)


def test_a_healthy_environment_is_judged_without_packaging() -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); from tests.lab.replay import judge, load; from pathlib import Path; "
        "import tempfile; judge({k: v for k, v in load('sound-good058').items() if k != 'findings'}, "
        "Path(tempfile.mkdtemp())); print([name for name in sys.modules if name.startswith('packaging')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=RECORDED.parents[2]
    )
    assert done.stdout.strip() == "[]"
