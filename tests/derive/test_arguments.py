"""The reader of arguments against argparse itself, built from the same tables, over all releases."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor.derive.arguments import Argument, Reading, read, whole
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.flags import Flag

RELEASES = flags.releases()
SAMPLE = (RELEASES[0], "0.5.4", "0.5.8", "0.5.14", "0.5.19", RELEASES[-1])


class RefusedError(Exception):
    """What argparse would print and exit with."""


class HelpedError(Exception):
    """Where argparse would print its help and exit."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpedError(message)

    def print_help(self, file: Any = None) -> None:
        return


def convert(flag: Flag) -> Any:
    def human(text: str) -> int:
        value = whole(text)
        if value is None:
            raise argparse.ArgumentTypeError(text)
        return value

    def table(text: str) -> dict[str, Any]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise argparse.ArgumentTypeError(text)
        return value

    kinds: dict[str, Any] = {
        "int": int,
        "List[int]": int,
        "float": float,
        "List[float]": float,
        "json.loads": json.loads,
        "json_list_type": json.loads,
        "parse_cuda_graph_config_arg": table,
    }
    return {"human_readable_int": human}.get(flag.type) or kinds.get(flag.type, str)


def parser(release: str) -> Parser:
    made = Parser(prog="server")
    for flag in {f.flag: f for f in flags.table(release).values()}.values():
        dest = flag.flag[2:].replace("-", "_")
        if flag.nargs == "0":
            made.add_argument(*flag.names, dest=dest, action="store_true", required=flag.required)
            continue
        choices = [convert(flag)(choice) for choice in flag.choices] or None
        nargs = None if flag.nargs == "1" else flag.nargs
        made.add_argument(
            *flag.names, dest=dest, nargs=nargs, type=convert(flag), choices=choices, required=flag.required
        )
    return made


PARSERS = {release: parser(release) for release in SAMPLE}


def ours(words: list[str], release: str) -> Reading:
    return read([Argument(word) for word in words], flags.table(release))


def refused(reading: Reading) -> bool:
    return any(fault.kind not in ("deprecated", "removed") for fault in reading.faults)


def words() -> st.SearchStrategy[list[str]]:
    """Command lines of real flags, abbreviations, misspellings and values that fit or do not."""
    spellings = sorted(flags.table(RELEASES[-1]))
    name = st.sampled_from(spellings)
    short = st.builds(lambda n, cut: n[:cut], name, st.integers(3, 20))
    odd = name.map(lambda n: n.replace("-", "_").replace("__", "--", 1))
    value = st.sampled_from(
        [
            "1",
            "8",
            "-1",
            "0.5",
            "-.5",
            "auto",
            "fa3",
            "x",
            "8k",
            "4Ki",
            "1.5Ki",
            "{}",
            "{",
            "-x",
            "",
            "a b",
            "- b",
            "-",
        ]
    )
    equals = st.builds(lambda n, v: f"{n}={v}", st.one_of(name, short), value)
    word = st.one_of(name, name, value, short, odd, equals)
    return st.lists(word, max_size=7).map(lambda rest: ["--model-path", "m", *rest])


@settings(max_examples=300, deadline=None)
@given(words(), st.sampled_from(SAMPLE))
def test_refuses_what_argparse_refuses(line: list[str], release: str) -> None:
    reading = ours(line, release)
    said = ""
    try:
        PARSERS[release].parse_args(line)
    except HelpedError:
        return  # what stands after it is never read
    except RefusedError as error:
        said = str(error)
    assert refused(reading) == bool(said), (release, line, said, reading.faults)


@pytest.mark.parametrize("release", RELEASES)
def test_every_flag_of_every_release_parses(release: str) -> None:
    for name, flag in flags.table(release).items():
        value = {"int": "1", "List[int]": "1", "float": "1", "List[float]": "1", "human_readable_int": "1k"}.get(
            flag.type
        )
        objects = {"json.loads": "{}", "json_list_type": "[]", "parse_cuda_graph_config_arg": "{}"}
        value = flag.choices[0] if flag.choices else value or objects.get(flag.type, "x")
        line = ["--model-path", "m", name] + ([] if flag.nargs == "0" else [value])
        reading = ours(line, release)
        assert not refused(reading), (name, reading.faults)
        assert reading.options[-1].flag.flag == flag.flag


def test_reports_every_fault_not_only_the_first() -> None:
    reading = ours(["--tp", "x", "--nope", "1", "--port", "--trust-remote-code", "true", "--dtype=int3"], "0.5.8")
    assert [(f.kind, f.given, f.value) for f in reading.faults] == [
        ("type", "--tp", "x"),
        ("unknown", "--nope", ""),
        ("missing", "--port", ""),
        ("stray", "true", "--trust-remote-code"),
        ("choice", "--dtype", "int3"),
        ("required", "--model-path", ""),
    ]


def test_an_unknown_variable_is_never_a_fault() -> None:
    table = flags.table("0.5.8")
    reading = read([Argument("--tp"), Argument("$TP", False), Argument("$MORE", False)], table)
    assert reading.faults == []
    assert reading.open
    assert read([Argument("--tp=$TP", False), Argument("--model-path=m")], table).faults == []
