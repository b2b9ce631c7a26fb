"""The command-line flags of each SGLang release: names, types, choices, what replaced them.

Source: ``data/server-args.json``, read from the syntax trees of ``sglang/srt/server_args.py`` and
``sglang/srt/arg_groups/`` of each release, and ``data/flag-successors.json`` where SGLang itself is silent.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sgldoctor.knowledge.releases import load
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any, NamedTuple

_USE = lazy(r"(?i)(?:use|set|for) [`'\"]?(--[\w{},=-]+(?: [a-z_]\w*)?)[`'\"]?(?: to '(\w+)')?")
_IS_DEPRECATED = lazy(r"(--[\w-]+) is deprecated")
_SWITCHES = ("store_true", "store_false", "BooleanOptionalAction", "DeprecatedAction", "DeprecatedStoreTrueAction")
_WARNS_ONLY = "The command line argument '"


class Flag(NamedTuple):
    """One flag of one release.

    Attributes:
        flag: its canonical name: the newest main spelling, the same in all releases.
        names: what this release accepts, aliases included.
        dest: attribute of ``ServerArgs``, as a dump of it names the value.
        type: ``str``, ``int``, ``float``, ``bool`` or the name of SGLang's parser.
        nargs: ``"0"`` no value, ``"1"`` one value, ``"?"``, ``"*"`` or ``"+"`` as in argparse.
        choices: allowed values as text, ``()`` where any is.
        default: as declared; often None and decided at run time.
        required: whether argparse insists on it.
        deprecated: whether this release warns of it.
        raises: whether this release stops as soon as it is given.
        successor: what SGLang names instead, ``""`` if nothing.
        says: SGLang's words about its end, ``""`` if none.
        action: argparse's or SGLang's own action, ``""`` where the value is stored.
    """

    flag: str
    names: tuple[str, ...]
    dest: str
    type: str
    nargs: str
    choices: tuple[str, ...]
    default: Any
    required: bool
    deprecated: bool
    raises: bool
    successor: str
    says: str
    action: str = ""


class Judges(NamedTuple):
    """The releases that a line is judged by.

    Attributes:
        release: the one whose answer is given.
        exact: whether it is the very release that was asked for.
        others: further releases that may be meant: what one of them accepts is not certainly wrong.
        newer: whether the release asked for is newer than all that are known.
        note: in words, ``""`` if exact.
        older: whether the release asked for is older than all that are known: nothing of its own is known then.
    """

    release: str
    exact: bool
    others: tuple[str, ...]
    newer: bool
    note: str
    older: bool = False


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return load("server-args.json") | {"successors": load("flag-successors.json")["flags"]}


def releases() -> tuple[str, ...]:
    """All releases that are known, oldest first."""
    return tuple(_data()["releases"])


@lru_cache(maxsize=1)
def _order() -> dict[str, int]:
    return {release: index for index, release in enumerate(_data()["releases"])}


def judges(version: str | None) -> Judges:
    """Which known releases to judge by for an installed, inferred or unknown ``version``."""
    known = _data()["releases"]
    if not version:
        return Judges(known[-1], False, tuple(known), False, f"SGLang's release is not known; judged by {known[-1]}")
    if version.partition("+")[0] in _order():
        return Judges(version.partition("+")[0], True, (), False, "")
    from packaging.version import InvalidVersion, Version

    try:
        asked = Version(version)
        plain = Version(asked.public)
    except InvalidVersion:
        return Judges(known[-1], False, tuple(known), False, f"'{version}' is no release; judged by {known[-1]}")
    ordered = [Version(release) for release in known]
    if plain in ordered:
        return Judges(known[ordered.index(plain)], True, (), False, "")
    below = [release for release, other in zip(known, ordered, strict=True) if other < plain]
    above = [release for release, other in zip(known, ordered, strict=True) if other > plain]
    if not above:
        note = f"SGLang {version} is newer than what is known; judged by {known[-1]}"
        return Judges(known[-1], False, (), True, note)
    if not below:
        note = f"SGLang {version} is older than what is known; judged by {known[0]}"
        return Judges(known[0], False, (), False, note, older=True)
    chosen = below[-1]
    return Judges(chosen, False, (above[0],), False, f"SGLang {version} is no known release; judged by {chosen}")


def inside(spans: list[list[str | None]], release: str) -> bool:
    """Whether ``release`` lies in one of ``spans``: pairs of first and last release, None for "still"."""
    order = _order()
    at = order[release]
    return any(order[str(since)] <= at and (until is None or at <= order[until]) for since, until in spans)


@lru_cache(maxsize=8)
def _deprecations(release: str) -> tuple[bool, dict[str, str]]:
    """Whether ``DeprecatedAction`` only warns in ``release``, and what its code says of deprecated flags."""
    texts = [entry["text"] for entry in _data()["deprecation_texts"] if inside(entry["present"], release)]
    called = {name: text for text in texts for name in _IS_DEPRECATED.findall(text)}
    return any(text.startswith(_WARNS_ONLY) for text in texts), called


_MIRRORED = lazy(r"\bsame value as [`'\"]?(--[a-z][a-z0-9-]{1,60})")


def _successor(use: str, says: str) -> str:
    """What to use, with its value where the text names one: ``--moe-a2a-backend deepep``."""
    match = _USE.search(says)
    if match and (match[2] or " " in match[1]):
        pointed = f"{match[1]} {match[2]}" if match[2] else match[1]
        # "use --a instead of" is no value: one is quoted with its flag, or ends the sentence.
        if match[2] or (not pointed.endswith(" instead") and re.search(re.escape(match[1]) + r"[`'\".]", says)):
            return pointed
    return use or (match[1].split(" ")[0] if match else "")


@lru_cache(maxsize=64)
def table(release: str) -> dict[str, Flag]:
    """Every spelling that argparse knows in ``release`` (one of :func:`releases`) and its flag."""
    order = _order()
    at = order[release]
    warns_only, called = _deprecations(release)
    out: dict[str, Flag] = {}
    for flag, entry in _data()["flags"].items():
        for history in entry["history"]:
            if order[history["since"]] <= at and (history["until"] is None or at <= order[history["until"]]):
                spelled = _flag(flag, history, warns_only, called)
                for name in spelled.names:
                    out[name] = spelled
                break
    return out


def _flag(flag: str, entry: dict[str, Any], warns_only: bool, called: dict[str, str]) -> Flag:
    action = entry.get("action") or ""
    names, listed = _names(entry), _choices(entry)
    if entry.get("nargs") is not None:
        nargs = str(entry["nargs"])
    elif action == "DeprecatedStoreConstAction":
        nargs = "1" if listed else "0"
    elif action in _SWITCHES:
        nargs = "0"
    else:
        nargs = "+" if entry["type"].startswith("List[") else "1"
    deprecated = entry.get("deprecated") or {}
    spoken = next((called[name] for name in names if name in called), "")
    says = str(deprecated.get("says") or "") if deprecated.get("use") or not spoken else spoken
    ended = bool(deprecated) or bool(says)
    return Flag(
        flag, names, str(entry["dest"]), str(entry["type"]), nargs, listed, entry.get("default"),
        bool(entry.get("required")), ended,
        action == "DeprecatedAction" and (not warns_only or says.startswith("Removed")),
        _successor(str(deprecated.get("use") or ""), says) if ended else "", says, str(action),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _owners() -> dict[str, list[str]]:
    """Every spelling of any release and the canonical flags that have had it."""
    out: dict[str, list[str]] = {}
    for flag, entry in _data()["flags"].items():
        for name in dict.fromkeys(name for history in entry["history"] for name in _names(history)):
            out.setdefault(name, []).append(flag)
    return out


def canonical(name: str) -> str:
    """The canonical flag of a spelling that some release has, ``""`` if none has."""
    owners = _owners().get(name)
    return owners[-1] if owners else ""


@lru_cache(maxsize=1)
def _dests() -> dict[str, str]:
    return {h["dest"]: flag for flag, entry in _data()["flags"].items() for h in entry["history"]} | {
        flag[2:].replace("-", "_"): flag for flag in _data()["flags"]
    }


def by_dest(dest: str) -> str:
    """The canonical flag of an attribute of ``ServerArgs`` (``tp_size``), ``""`` if there is none."""
    return _dests().get(dest, "")


def dest_of(flag: str, release: str) -> str:
    """The attribute of ``ServerArgs`` that a flag sets in ``release``; for one that it lacks, as it would be named."""
    found = _entry(canonical(flag), release) if release in _order() else None
    return str(found["dest"]) if found else flag[2:].replace("-", "_")


def spans(name: str) -> list[tuple[str, str]]:
    """The ranges of releases that accept the spelling ``name``, oldest first, both ends included."""
    known = _data()["releases"]
    return _runs([release for release in known if _spelled(name, release)], known)


def declared(flag: str, release: str) -> bool:
    """Whether ``release`` has the canonical flag, under whatever spelling; False for a release that is not known."""
    return release in _order() and bool(_entry(flag, release))


def numeric(flag: str) -> bool:
    """Whether a flag takes nothing but a number, in every release that has it."""
    held = _data()["flags"].get(flag)
    return bool(held) and all(entry["type"] in ("int", "float", "human_readable_int") for entry in held["history"])


def allowing(flag: str, value: str) -> list[tuple[str, str]]:
    """The ranges of releases in which ``flag`` lists ``value`` among its choices or lists none."""
    known = _data()["releases"]
    allowed = []
    for release in known:
        entry = _spelled(flag, release) or _entry(flag, release)
        if entry and (not _choices(entry) or value in _choices(entry)):
            allowed.append(release)
    return _runs(allowed, known)


def _entry(flag: str, release: str) -> dict[str, Any]:
    """What is recorded of a canonical flag in ``release``, empty where it has none: no table of all flags is made."""
    at = _order()[release]
    for entry in _data()["flags"].get(flag, {}).get("history", ()):
        if _order()[entry["since"]] <= at and (entry["until"] is None or at <= _order()[entry["until"]]):
            found: dict[str, Any] = entry
            return found
    return {}


def _spelled(name: str, release: str) -> dict[str, Any]:
    """What is recorded in ``release`` of the flag with this spelling, which may belong to another in other releases."""
    entries = (_entry(flag, release) for flag in _owners().get(name, ()))
    return next((entry for entry in entries if name in _names(entry)), {})


def _names(entry: dict[str, Any]) -> tuple[str, ...]:
    names = tuple(entry.get("names", ()))
    if entry.get("action") == "BooleanOptionalAction":
        names += tuple("--no-" + name[2:] for name in names if name.startswith("--"))
    return names


def _choices(entry: dict[str, Any]) -> tuple[str, ...]:
    choices = entry.get("choices")
    return tuple(str(choice) for choice in choices) if isinstance(choices, list) else ()


def _runs(chosen: list[str], known: list[str]) -> list[tuple[str, str]]:
    runs: list[tuple[str, str]] = []
    for release in chosen:
        if runs and known.index(runs[-1][1]) + 1 == known.index(release):
            runs[-1] = (runs[-1][0], release)
        else:
            runs.append((release, release))
    return runs


def after(release: str) -> str:
    """The release that follows ``release``, ``""`` after the newest."""
    known = _data()["releases"]
    at = _order()[release] + 1
    return str(known[at]) if at < len(known) else ""


def successor(name: str, release: str) -> tuple[str, str]:
    """What replaces the spelling ``name`` in ``release``, with its value if one is known, and SGLang's words about it.

    Successors that are gone themselves are followed. ``("", words)`` where nothing replaces it.
    """
    flags = _data()["flags"]
    present = table(release)
    words = ""
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        flag = canonical(name.partition("=")[0])
        if not flag:
            return "", words
        whole = flags[flag]["history"]
        history = [entry for entry in whole if _order()[entry["since"]] <= _order()[release]] or whole
        deprecated = history[-1].get("deprecated") or {}
        words = words or str(deprecated.get("says") or "")
        pointed = _successor(str(deprecated.get("use") or ""), words) or _data()["successors"].get(flag, "")
        if not pointed:
            return "", words
        main = re.split(r"[ =]", pointed)[0]
        if main in present or "{" in main:
            return pointed, words
        name = main
    return "", words


def is_switch(name: str) -> bool:
    """Whether a spelling is that of an option without a value, as long as it did something."""
    entry = _data()["flags"].get(canonical(name)) or {"history": ()}
    return any(h.get("type") == "bool" or str(h.get("action") or "").startswith("store_") for h in entry["history"])


def mirrored(says: str) -> str:
    """The option whose value a successor is to have: "to the same value as `--tp-size`"; ``""`` for none."""
    match = _MIRRORED.search(says)
    return match[1] if match else ""


def nearest(name: str, release: str) -> str:
    """The accepted spelling that is most like ``name``, ``""`` if none is close."""
    import difflib

    present = table(release)
    plain = "--" + re.sub(r"[_\u2010-\u2015]", "-", name.lower()).lstrip("-")
    if plain in present:
        return plain
    found = prefixed(plain, release)
    if len(found) == 1:
        return found[0]
    close = difflib.get_close_matches(plain, present, n=1, cutoff=0.75)
    return close[0] if close else ""


def prefixed(name: str, release: str) -> list[str]:
    """The spellings that ``name`` abbreviates, by argparse's rule: every option that begins with it."""
    return sorted(spelling for spelling in [*table(release), "--help"] if spelling.startswith(name))
