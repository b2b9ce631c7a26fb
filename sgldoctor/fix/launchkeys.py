"""Flags that a file holds as keys: a YAML or JSON argument file, the keywords of ``ServerArgs(...)`` in Python.

Changes are worked out on the words that the keys amount to, as for any other launch line; here each is carried to the
key and the value that the words come from. Where a key does not stand in the text as expected, nothing is changed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from sgldoctor.errors import FixError
from sgldoctor.fix.launchline import Change
from sgldoctor.knowledge import flags
from sgldoctor.launch import values
from sgldoctor.launch.files import Located
from sgldoctor.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sgldoctor.fix.launchfile import Edit

KINDS = ("config", "json", "python")
"""The kinds of :class:`~sgldoctor.launch.files.Located` whose flags are keys."""
_BARE = re.compile(r"[A-Za-z_/][\w./-]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_WORDS_OF_YAML = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


class Pair(NamedTuple):
    """A key with its value: where both stand in the text, and the words of the launch line that they amount to."""

    key: tuple[int, int]
    value: tuple[int, int]
    words: tuple[str, ...]


class Style(NamedTuple):
    """How pairs are written: each on lines of its own or between commas, what parts key and value, how texts look."""

    lines: bool
    middle: str
    key: Callable[[str], str]
    text: Callable[[str], str]
    true: str = "true"


def edits(text: str, located: Located, changes: Sequence[Change], release: str) -> list[Edit]:
    """The pieces of text to replace for changes of the command's words; raises FixError where a key is not found."""
    pairs, style = _python(text, located, release) if located.kind == "python" else _yaml(text, located)
    if [word for pair in pairs for word in pair.words] != [word.text for word in located.command.arguments]:
        raise FixError(f"line {located.line}: its options do not stand there one by one: change them by hand")
    out: list[Edit] = []
    for change in changes:
        out += _edits(text, pairs, style, change)
    return out


def _edits(text: str, pairs: Sequence[Pair], style: Style, change: Change) -> Iterator[Edit]:
    from sgldoctor.fix.launchfile import Edit

    at = 0
    held: list[Pair] = []
    before: Pair | None = None
    for pair in pairs:
        end = at + len(pair.words)
        if at < change.last and end > change.first and pair.words:
            held.append(pair)
        elif end <= change.first:
            before = pair
        at = end
    new = list(_groups(change.words))
    if held and new:
        before = held.pop(0)
        flag, *rest = new.pop(0)
        if before.words[0] != flag:
            yield Edit(*before.key, style.key(flag))
        if before.words[1:] != tuple(rest):
            yield Edit(*before.value, _value(rest, style))
    for pair in held:
        yield _removal(text, pairs, pair, style)
    if new:
        entries = [f"{style.key(flag)}{style.middle}{_value(rest, style)}" for flag, *rest in new]
        yield _insertion(text, pairs, before, entries, style)


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    """Each flag with its values."""
    group: list[str] = []
    for word in words:
        if word.startswith("--") and group:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _value(words: Sequence[str], style: Style) -> str:
    written = [word if _NUMBER.fullmatch(word) else style.text(word) for word in words]
    if not written:
        return style.true
    return written[0] if len(written) == 1 else f"[{', '.join(written)}]"


def _removal(text: str, pairs: Sequence[Pair], pair: Pair, style: Style) -> Edit:
    from sgldoctor.fix.launchfile import Edit

    if style.lines:
        begin = text.rfind("\n", 0, pair.key[0]) + 1
        end = text.find("\n", pair.value[1])
        return Edit(begin, len(text) if end < 0 else end + 1, "")
    at = pairs.index(pair)
    if at + 1 < len(pairs):
        return Edit(pair.key[0], pairs[at + 1].key[0], "")
    return Edit(pairs[at - 1].value[1] if at else pair.key[0], pair.value[1], "")


def _insertion(text: str, pairs: Sequence[Pair], before: Pair | None, new: Sequence[str], style: Style) -> Edit:
    from sgldoctor.fix.launchfile import Edit

    first = pairs[0]
    if style.lines:
        lead = text[text.rfind("\n", 0, first.key[0]) + 1 : first.key[0]]
        if before is None:
            at = first.key[0] - len(lead)
            return Edit(at, at, "".join(f"{lead}{entry}\n" for entry in new))
        end = text.find("\n", before.value[1])
        end = len(text) if end < 0 else end
        return Edit(end, end, "".join(f"\n{lead}{entry}" for entry in new))
    gaps = [text[one.value[1] : two.key[0]] for one, two in pairwise(pairs)]
    apart = next((gap for gap in gaps if re.fullmatch(r"\s*,\s*", gap)), ", ")
    if before is None:
        return Edit(first.key[0], first.key[0], "".join(entry + apart for entry in new))
    return Edit(before.value[1], before.value[1], "".join(apart + entry for entry in new))


# -------------------------------------------------------------------------------------------------- YAML and JSON


def _yaml(text: str, located: Located) -> tuple[list[Pair], Style]:
    """The pairs of the mapping that begins on the command's line; JSON is read as the YAML that it is."""
    try:
        import yaml
    except ImportError:
        raise FixError("changing this file needs PyYAML: pip install 'sgldoctor[files]'") from None
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise FixError(f"line {located.line}: not to be read as YAML: change it by hand") from error
    fits = [node for node in nodes if node.id == "mapping" and node.start_mark.line + 1 == located.line]
    if len(fits) != 1 and located.kind == "json":
        fits = nodes[:1]
    if len(fits) != 1:
        raise FixError(f"line {located.line}: the options are not found as they are written: change them by hand")
    from sgldoctor.launch.manifests import value_of

    node = fits[0]
    pairs = []
    for key, value in node.value:
        if key.value == "<<" or value.start_mark.index < key.end_mark.index:
            raise FixError(f"line {key.start_mark.line + 1}: options that are merged from elsewhere: change it by hand")
        words = _words(key.value, value_of(value))
        pairs.append(Pair((key.start_mark.index, key.end_mark.index), (value.start_mark.index, _end(value)), words))
    quoted = text[pairs[0].key[0]] if pairs and text[pairs[0].key[0]] in "\"'" else ""
    dashes = any("-" in text[slice(*pair.key)] for pair in pairs) or not any(
        "_" in text[slice(*pair.key)] for pair in pairs
    )

    def spelled(flag: str) -> str:
        name = flag[2:] if dashes else flag[2:].replace("-", "_")
        return f"{quoted}{name}{quoted}"

    middle = text[pairs[0].key[1] : pairs[0].value[0]] if pairs else ": "
    return pairs, Style(
        not node.flow_style, middle if re.fullmatch(r":[ \t]+", middle) else ": ", spelled,
        json.dumps if quoted else _yaml_text,
    )  # fmt: skip


def _end(node: Any) -> int:
    """Where a node ends; the mark of a block sequence is only where the next thing begins."""
    if node.id == "sequence" and not node.flow_style and node.value:
        return _end(node.value[-1])
    if node.id == "mapping" and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    return int(node.end_mark.index)


def _yaml_text(word: str) -> str:
    return word if _BARE.fullmatch(word) and word.lower() not in _WORDS_OF_YAML else json.dumps(word)


# --------------------------------------------------------------------------------------------------------- Python


def _python(text: str, located: Located, release: str) -> tuple[list[Pair], Style]:
    """The keywords of the call on the command's line; a call that takes a dictionary as well is left to a person."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines(keepends=True)

    def index(line: int, column: int) -> int:
        # Columns of the syntax tree count bytes.
        return starts[line - 1] + len(lines[line - 1].encode("utf-8", "surrogateescape")[:column].decode("utf-8"))

    by_hand = FixError(f"line {located.line}: these options are not given one by one in a call: change them by hand")
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and node.lineno == located.line and node.keywords
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) == located.where
    ]  # fmt: skip
    if len(calls) != 1 or calls[0].args or any(not keyword.arg for keyword in calls[0].keywords):
        raise by_hand
    pairs = []
    for keyword in calls[0].keywords:
        value = keyword.value
        start = index(keyword.lineno, keyword.col_offset)
        end = index(value.end_lineno or 0, value.end_col_offset or 0)
        words = _words(str(keyword.arg), values.literal(value))
        pairs.append(Pair((start, start + len(str(keyword.arg))), (index(value.lineno, value.col_offset), end), words))
    return pairs, Style(False, "=", lambda flag: flags.dest_of(flag, release), json.dumps, "True")


def _words(name: str, value: Any) -> tuple[str, ...]:
    return tuple(word.text for word in values.command({name: value}).arguments)
