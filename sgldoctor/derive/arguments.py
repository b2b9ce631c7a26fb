"""Arguments of the server, read as argparse reads them in one release, reporting every fault instead of the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sgldoctor.knowledge.flags import Flag
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

_NEGATIVE = lazy(r"-\d+\Z|-\d*\.\d+\Z")
_HUMAN = lazy(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)\Z")
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""Dashes that word processors and web pages make of two hyphens."""


class Argument(NamedTuple):
    """One argument as the server receives it; ``known`` is False where it holds something that was not looked up."""

    text: str
    known: bool = True


class Option(NamedTuple):
    """One option that the release accepts: as it was ``given``, and its values."""

    flag: Flag
    given: str
    values: tuple[Argument, ...]


class Fault(NamedTuple):
    """What argparse, or the flag's own check, refuses.

    ``kind`` is ``unknown``, ``ambiguous``, ``missing`` (a value), ``novalue`` (one that is not taken), ``type``,
    ``choice``, ``stray`` (a word that belongs to no option), ``removed`` (accepted only to be refused),
    ``deprecated`` (accepted, with a warning) or ``required``.
    """

    kind: str
    given: str
    value: str
    flag: Flag | None
    matches: tuple[str, ...] = ()


class Reading(NamedTuple):
    """The options in order, the faults in order, and whether an argument that is not known may have been anything."""

    options: list[Option]
    faults: list[Fault]
    open: bool


class _Found(NamedTuple):
    flag: Flag | None
    given: str
    value: str | None
    matches: tuple[str, ...]


def read(arguments: Sequence[Argument], table: Mapping[str, Flag], *, positional_model: bool = False) -> Reading:
    """Read ``arguments`` by the flags of ``table`` (spelling to flag).

    ``positional_model``: the first bare word is the model, as ``sglang serve`` allows.
    """
    options: list[Option] = []
    faults: list[Fault] = []
    unsure = helped = model = False
    if positional_model and arguments and not arguments[0].text.startswith("-"):
        model = True
        arguments = arguments[1:]
    kinds = _classify(arguments, table)
    at = 0
    while at < len(arguments):
        argument, kind = arguments[at], kinds[at]
        at += 1
        if kind is None:
            unsure = unsure or not argument.known
            if argument.known and argument.text != "--":
                faults.append(Fault("stray", argument.text, _owner(options), None))
                # An option after a typographic dash takes its value with it.
                if argument.text[:1] and argument.text[0] in DASHES and at < len(arguments) and kinds[at] is None:
                    at += 1
            continue
        if kind.given in ("-h", "--help"):
            helped = True
            continue
        if len(kind.matches) > 1:
            faults.append(Fault("ambiguous", kind.given, "", None, kind.matches))
        elif kind.flag is None and argument.known:
            faults.append(Fault("unknown", kind.given, "", None))
        if kind.flag is None:
            # Its value, if one follows, is no stray word of its own.
            if kind.value is None and at < len(arguments) and kinds[at] is None:
                at += 1
            unsure = unsure or not argument.known
            continue
        values, at = _values(kind, arguments, kinds, at, argument.known)
        options.append(Option(kind.flag, kind.given, values))
        faults += _judge(kind, values)
    if not (unsure or helped):
        given = {option.flag.flag for option in options} | ({"--model-path"} if model else set())
        wanted = {flag.flag: flag for flag in table.values() if flag.required and flag.flag not in given}
        if "--config" not in given:
            faults += [Fault("required", flag.names[0], "", flag) for flag in wanted.values()]
    return Reading(options, faults, unsure)


def _owner(options: list[Option]) -> str:
    """The option just before a stray word, if it takes no value: ``--trust-remote-code true``."""
    return options[-1].given if options and options[-1].flag.nargs == "0" else ""


def _classify(arguments: Sequence[Argument], table: Mapping[str, Flag]) -> list[_Found | None]:
    """Per argument: the option that it is, or None for a value; argparse's ``_parse_optional``."""
    spellings = [*table, "--help"]
    out: list[_Found | None] = []
    ended = False
    for argument in arguments:
        text = argument.text
        if ended or not text.startswith("-") or len(text) == 1:
            out.append(None)
            continue
        if text == "--":
            ended = True
            out.append(None)
            continue
        if text in table or text in ("-h", "--help"):
            out.append(_Found(table.get(text), text, None, ()))
            continue
        name, equals, value = text.partition("=")
        explicit = value if equals else None
        if equals and name in table:
            out.append(_Found(table[name], name, explicit, ()))
            continue
        matches = tuple(s for s in spellings if s.startswith(name)) if text.startswith("--") else ()
        if len(matches) == 1:
            out.append(_Found(table.get(matches[0]), matches[0] if matches[0] == "--help" else name, explicit, ()))
        elif matches:
            out.append(_Found(None, name, explicit, matches))
        elif _NEGATIVE.match(text) or " " in text:
            out.append(None)
        else:
            out.append(_Found(None, name, explicit, ()))
    return out


def _values(
    found: _Found, arguments: Sequence[Argument], kinds: list[_Found | None], at: int, known: bool
) -> tuple[tuple[Argument, ...], int]:
    """The values of the option before position ``at`` and the position after them."""
    flag = found.flag
    if found.value is not None:
        return (Argument(found.value, known),), at
    if flag is None or flag.nargs == "0":
        return (), at
    end = at
    most = 1 if flag.nargs in ("1", "?") else len(arguments)
    while end < len(arguments) and kinds[end] is None and arguments[end].text != "--" and end - at < most:
        end += 1
    return tuple(arguments[at:end]), end


def _judge(found: _Found, values: tuple[Argument, ...]) -> list[Fault]:
    flag = found.flag
    if flag is None:
        return []
    faults: list[Fault] = []
    if flag.nargs == "0" and values:
        faults.append(Fault("novalue", found.given, values[0].text, flag))
    elif flag.nargs in ("1", "+") and not values:
        faults.append(Fault("missing", found.given, "", flag))
    elif flag.nargs != "0":
        for value in values:
            if not value.known:
                continue
            if not _converts(value.text, flag.type):
                faults.append(Fault("type", found.given, value.text, flag))
            elif flag.choices and not _chosen(value.text, flag):
                faults.append(Fault("choice", found.given, value.text, flag))
    if flag.raises:
        faults.append(Fault("removed", found.given, "", flag))
    elif flag.deprecated:
        faults.append(Fault("deprecated", found.given, "", flag))
    return faults


def _chosen(text: str, flag: Flag) -> bool:
    if text in flag.choices:
        return True
    try:
        return flag.type in ("int", "List[int]") and str(int(text)) in flag.choices
    except ValueError:
        return False


def _converts(text: str, kind: str) -> bool:
    """Whether ``text`` passes the type of its flag; parsers of SGLang that are not known here pass everything."""
    try:
        if kind in ("int", "List[int]"):
            int(text)
        elif kind in ("float", "List[float]"):
            float(text)
        elif kind in ("json.loads", "json_list_type"):
            json.loads(text)
        elif kind == "parse_cuda_graph_config_arg":
            return isinstance(json.loads(text), dict)
        elif kind == "human_readable_int":
            return whole(text) is not None
    except (ValueError, RecursionError):
        return False
    return True


def whole(text: str) -> int | None:
    """The number that ``text`` stands for where SGLang reads suffixes (``8k`` is 8000, ``8Ki`` 8192); None if none.

    ``human_readable_int`` of ``sglang/srt/utils/common.py``: decimals only before k, M, G, T.
    """
    text = text.strip()
    match = _HUMAN.match(text)
    if match:
        powers = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
        if "." not in match[1]:
            return int(match[1]) * powers[match[2]]
        return None if match[2].endswith("i") else int(float(match[1]) * powers[match[2]])
    try:
        return int(text)
    except ValueError:
        return None
