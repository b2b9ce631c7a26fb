"""The options of a launch line and what the release would refuse, warn of or ignore; facts to facts."""

from __future__ import annotations

from sgldoctor.derive.arguments import DASHES, Argument, Fault, Reading, read
from sgldoctor.derive.effective import REST, release_of
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import flags
from sgldoctor.knowledge.flags import Judges
from sgldoctor.knowledge.releases import load
from sgldoctor.launch import facts_of
from sgldoctor.lazy import lazy

# What stays refused in a release newer than all that are known: later releases add flags and choices.
_LASTING = ("missing", "novalue", "removed", "required", "type")
_ALWAYS = (
    "missing",
    "novalue",
    "required",
)  # what argparse refuses in any release, also one older than all that are known
# What a command that stands in a log is judged by: words round it may belong to the prose.
_IN_LOGS = ("unknown", "removed", "newer", "choice", "ambiguous", "deprecated", "type", "novalue")
_COMMANDS = 8


def derive(facts: Facts) -> Facts:
    """Everything that follows from a launch line, the release, the model and the machine."""
    from sgldoctor.derive import conflicts, devices, memory, parallel

    out = options(facts)
    whole = Facts()
    whole.merge(facts)
    whole.merge(out)
    for step in (conflicts.conflicts, devices.devices, devices.packages, parallel.indivisible, memory.memory):
        out.merge(step(whole))
    return out


def options(facts: Facts) -> Facts:
    """``launch.option`` and ``launch.invalid`` from ``launch.argument``, judged by the release in ``sglang``.

    Without arguments, the commands in ``launch`` are read, as a log shows them. With no release, or one that is not
    known, the nearest is taken and ``certain`` is False for whatever a release that may be meant accepts.
    """
    out = Facts()
    if facts.known("launch.argument"):
        _judge(out, facts, facts, None)
        return out
    for row in facts.rows("launch")[:_COMMANDS]:
        said = facts_of(str(row.get("command", "")))
        if said.known("launch.argument"):
            _judge(out, facts, said, row.get("line"))
    return out


def _judge(out: Facts, facts: Facts, line: Facts, number: int | None) -> None:
    """Add what the arguments in ``line`` say; ``number`` is the line of the log that they were found in."""
    entry = line.value("launch", "entry") or "launch_server"
    arguments = [Argument(str(row["text"]), bool(row.get("known", True))) for row in line.rows("launch.argument")]
    kind, arguments = _model_type(arguments) if entry == "serve" else ("", arguments)
    judged = flags.judges(release_of(facts, line))
    serve = entry == "serve"
    reading = read(arguments, flags.table(judged.release), positional_model=serve)
    if not facts.known("launch.option") and not out.known("launch.option"):
        out.put("launch.option", _options(reading, arguments, serve=serve), "derived")
    if reading.open:
        out.put_unknown(REST, "a variable of the line may hold any option")
    if any(option.flag.flag == "--config" for option in reading.options):
        out.put_unknown(REST, "further options are in the file that --config names")
    if kind not in ("", "auto", "llm") or (serve and _diffusion(reading)):
        kind = "diffusion" if kind in ("", "auto", "llm") else kind
        out.put_unknown("launch options", f"a {kind} model is served, with options of its own, which are not judged")
        return
    # The router takes options of its own beside the server's.
    open_ended = ("unknown", "ambiguous", "stray", "required") if entry == "router" else ()
    faults = [fault for fault in reading.faults if fault.kind not in open_ended]
    rows = [_completed(row, reading, judged) for row in _rows(faults, arguments, judged, serve=serve)]
    doubtful = sorted({str(row["flag"]) for row in rows if row["kind"] == "unknown" and not row["certain"]})
    if number is None and judged.newer and doubtful:
        out.put_unknown(
            "new options", f"{', '.join(doubtful)}: SGLang {judged.release}, the newest known, has no such option"
        )
    if number is not None:
        rows = [{**row, "line": number} for row in rows if row["kind"] in _IN_LOGS]
    out.put("launch.invalid", rows, "derived")


def _options(reading: Reading, arguments: list[Argument], *, serve: bool) -> list[Row]:
    rows: list[Row] = [
        {
            "flag": option.flag.flag,
            "value": " ".join(value.text for value in option.values),
            "given": option.given,
            "known": all(value.known for value in option.values),
        }
        for option in reading.options
    ]
    if serve and arguments and not arguments[0].text.startswith("-"):
        rows.insert(0, {"flag": "--model-path", "value": arguments[0].text, "given": "", "known": arguments[0].known})
    return rows


def _model_type(arguments: list[Argument]) -> tuple[str, list[Argument]]:
    """``sglang serve`` takes ``--model-type`` away before anything else is read."""
    for at, argument in enumerate(arguments):
        if argument.text == "--model-type" and at + 1 < len(arguments):
            return arguments[at + 1].text, arguments[:at] + arguments[at + 2 :]
        if argument.text.startswith("--model-type="):
            return argument.text.partition("=")[2], arguments[:at] + arguments[at + 1 :]
    return "", arguments


def _diffusion(reading: Reading) -> bool:
    """Whether options are given that only the server of diffusion models has: ``sglang serve`` looks at the model."""
    unknown = {fault.given for fault in reading.faults if fault.kind == "unknown"}
    return bool(unknown) and not unknown.isdisjoint(load("diffusion-flags.json")["flags"])


def _rows(faults: list[Fault], arguments: list[Argument], judged: Judges, *, serve: bool) -> list[Row]:
    elsewhere: list[Reading] | None = None
    rows: list[Row] = []
    for fault in faults:
        row = _row(fault, judged)
        if judged.exact:
            row["certain"] = True
        elif judged.newer or judged.older:
            row["certain"] = row["kind"] in (_LASTING if judged.newer else _ALWAYS)
        else:
            if elsewhere is None:
                elsewhere = [read(arguments, flags.table(other), positional_model=serve) for other in judged.others]
            row["certain"] = all(_refuses(other, fault) for other in elsewhere)
        if not row["certain"]:
            row["note"] += f" ({judged.note})"
        rows.append(row)
    return rows


def _completed(row: Row, reading: Reading, judged: Judges) -> Row:
    """A successor that is to have the value of another option gets it from the line, or the default of that option.

    SGLang says it as ``--attn-dp-size <dp-size>``, or "to the same value as `--tp-size`".
    """
    table = flags.table(judged.release)
    successor = str(row["successor"])
    asked = _OF_OTHER.search(successor)
    says = ""
    if successor and not asked and " " not in successor:
        own = table.get(str(row["flag"]))
        says = (own.says if own else "") or flags.successor(str(row["flag"]), judged.release)[1]
    flag = table.get(f"--{asked[1]}" if asked else flags.mirrored(says))
    if flag is None:
        return row
    values = [option.values for option in reading.options if option.flag.flag == flag.flag]
    value = "" if values or flag.default is None else str(flag.default)
    if values and len(values[-1]) == 1 and values[-1][0].known:
        value = values[-1][0].text
    if not value:
        return row
    return {**row, "successor": _OF_OTHER.sub(value, successor) if asked else f"{successor} {value}"}


_OF_OTHER = lazy(r"<([a-z][a-z0-9-]{1,60})>")


def _refuses(reading: Reading, fault: Fault) -> bool:
    """Whether another release faults the same words too; a warning there is no refusal."""
    severe = fault.kind != "deprecated"
    return any(
        other.given == fault.given and other.value == fault.value and (other.kind != "deprecated" or not severe)
        for other in reading.faults
    )


def _row(fault: Fault, judged: Judges) -> Row:
    release = judged.release
    row: Row = {
        "flag": fault.given, "kind": fault.kind, "successor": "", "nearest": "", "choices": [], "value": fault.value,
        "since": "", "note": "",
    }  # fmt: skip
    if fault.kind == "unknown" or (fault.kind == "ambiguous" and _gone(fault.given, release)):
        _unknown(row, release)
        row["choices"] = list(fault.matches)
    elif fault.kind in ("deprecated", "removed"):
        successor, says = flags.successor(fault.given, release)
        ended = "stops" if fault.kind == "removed" else "warns"
        row["successor"] = (fault.flag.successor if fault.flag else "") or successor
        said = (fault.flag.says if fault.flag else "") or says or "it is deprecated"
        row["note"] = f"SGLang {release} {ended} at {fault.given}: {said}"
    elif fault.kind == "ambiguous":
        row["choices"] = list(fault.matches)
        row["note"] = (
            f"{fault.given} may be any of {len(fault.matches)} flags of SGLang {release}: {_some(fault.matches)}"
        )
        _meant(row, fault, release)
    elif fault.kind == "choice" and fault.flag:
        _choice(row, fault, release)
    elif fault.kind == "type" and fault.flag:
        row["note"] = f"{fault.given} takes {_KINDS.get(fault.flag.type, 'another kind of value')}, not '{fault.value}'"
    elif fault.kind == "missing":
        row["note"] = f"{fault.given} needs a value"
    elif fault.kind == "novalue":
        row["note"] = f"{fault.given} takes no value, and '{fault.value}' was given"
    elif fault.kind == "required":
        row["note"] = f"SGLang {release} cannot start without {fault.given}"
    else:
        owner = f": {fault.value} takes no value" if fault.value else ""
        row["note"] = f"'{fault.given}' belongs to no option{owner}"
        if fault.given[:1] and fault.given[0] in DASHES:
            row["nearest"] = flags.nearest(fault.given, release)
            row["note"] = f"'{fault.given}' begins with a typographic dash, not with two hyphens"
    return row


_KINDS = {
    "int": "an integer", "List[int]": "integers", "float": "a number", "List[float]": "numbers",
    "json.loads": "JSON", "human_readable_int": "an integer, such as 8192, 8k or 8Ki",
}  # fmt: skip


def _some(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _gone(name: str, release: str) -> bool:
    """Whether an abbreviation of today was a flag of its own: ``--cuda-graph-bs``, now with two successors."""
    known = flags.releases()
    spans = flags.spans(name)
    return bool(spans) and known.index(spans[-1][1]) < known.index(release)


def _unknown(row: Row, release: str) -> None:
    """Tell apart: gone, not there yet, and never there."""
    name = row["flag"]
    spans = flags.spans(name)
    known = flags.releases()
    if _gone(name, release):
        row["kind"] = "removed"
        row["since"] = flags.after(spans[-1][1])
        row["successor"], says = flags.successor(name, release)
        instead = f"; use {row['successor']}" if row["successor"] else ""
        row["note"] = f"{name} is gone since SGLang {row['since']}{instead or (f': {says}' if says else '')}"
    elif spans:
        row["kind"] = "newer"
        row["since"] = next(since for since, _ in spans if known.index(since) > known.index(release))
        row["note"] = f"{name} exists from SGLang {row['since']} on, not in {release}"
    else:
        row["nearest"] = flags.nearest(name, release)
        row["note"] = f"SGLang {release} has no option {name}"
        if row["nearest"]:
            row["note"] += f"; {row['nearest']} is the nearest"


def _meant(row: Row, fault: Fault, release: str) -> None:
    """The flag that an abbreviation named in the newest release in which it was unique."""
    known = flags.releases()
    for other in reversed(known[: known.index(release)]):
        found = flags.prefixed(fault.given, other)
        if len(found) == 1:
            main = flags.canonical(found[0])
            row["since"] = flags.after(other)
            row["nearest"] = next((name for name in fault.matches if flags.canonical(name) == main), "")
            return
    sized = [name for name in fault.matches if name == fault.given + "-size"]
    row["nearest"] = sized[0] if sized else ""


def _choice(row: Row, fault: Fault, release: str) -> None:
    import difflib

    if fault.flag is None:
        return
    known = flags.releases()
    row["choices"] = list(fault.flag.choices)
    row["note"] = f"SGLang {release} does not accept '{fault.value}' for {fault.given}"
    spans = flags.allowing(fault.flag.flag, fault.value)
    before = [until for _, until in spans if known.index(until) < known.index(release)]
    later = [since for since, _ in spans if known.index(since) > known.index(release)]
    lowered = {choice.lower(): choice for choice in reversed(fault.flag.choices)}
    close = difflib.get_close_matches(fault.value.lower().replace("-", "_"), lowered, n=1, cutoff=0.7)
    close = close or difflib.get_close_matches(fault.value.lower(), lowered, n=1, cutoff=0.7)
    row["nearest"] = lowered[close[0]] if close and not before else ""
    if before:
        row["since"] = flags.after(before[-1])
        row["note"] += f" since {row['since']}"
    elif later:
        row["since"] = later[0]
        row["note"] += f"; {later[0]} does"
    elif row["nearest"]:
        row["note"] += f"; {row['nearest']} is the nearest"
