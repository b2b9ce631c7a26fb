"""Python files of installed distributions against RECORD: gone, emptied, or cut off in the middle.

An installation that was killed or ran out of disk leaves a package that is listed, whose import then fails anywhere.
Sizes say little about sources, since people mend them in place: a file of another size counts only where Python would
not take it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping

from sgldoctor.lazy import lazy
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

WHOLE = lazy(r"sglang|sgl(?:ang)?-kernel")
"""Distributions of which every file is asked for."""
NEAR = lazy(
    r"torch|torchvision|triton|transformers|tokenizers|huggingface-hub|numpy|fastapi|starlette|uvicorn|pydantic|pyzmq"
    r"|xgrammar|safetensors|flashinfer-python|openai|msgspec|outlines|compressed-tensors|requests|aiohttp|pillow|einops"
)
"""What SGLang imports when it starts: of these the files of two levels and the folders of the third have to be there,
the files of the first level as they were; where something is wrong, all of them are looked at. For what lies deeper,
and for everybody else, there is no time."""
DEPTH = 3
OPTIONAL = lazy(r"_?test(?:s|ing)?(?:_.*)?(?:\.py)?|conftest\.py|benchmarks?|examples?|docs?")
"""What images leave out to be smaller."""
DATA = {"flashinfer-python": ("flashinfer/data",)}
"""Folders of other files without which a package works no more: the sources that FlashInfer compiles."""
SHALLOW = {"sglang": 1}
"""How deep below their package every file is looked into; of all others those of the first level."""
ZEROS = "filled with zeros"
FEW = 5
"""People mend a file or two in place; that many of another size, and most of all, are another release."""
MOST = 1 << 20
MOST_COMPILED = 20


class Lost(NamedTuple):
    """A file, or a whole folder, that is not as it was installed."""

    path: str
    problem: str


def lost(target: Target, name: str, location: str, data: bytes, since: float) -> list[Lost]:
    """What is wrong with the Python files that the RECORD ``data`` of a distribution lists.

    ``since`` is when that was written: what was changed later is looked into.
    """
    whole = WHOLE.fullmatch(name) is not None
    if not whole and NEAR.fullmatch(name) is None:
        return []
    listed = (folder for folder in DATA.get(name, ()) if f"\n{folder}/".encode() in data)
    absent = [folder for folder in listed if not rooted.is_folder(target.root, f"{location}/{folder}")]
    found = [Lost(f"{location}/{folder}", "missing") for folder in absent]
    doubtful: list[str] = []
    changed: set[str] = set()
    folders = _expected(data, DEPTH if not whole else 99)
    for folder, entries in folders.items():
        asked = entries if whole or "/" not in folder else ()
        _compare(target, f"{location}/{folder}", entries, asked, found, doubtful, since, changed)
    if found and not whole:  # one that was cut off was cut off further down, too
        found, doubtful = found[: len(absent)], []
        for folder, entries in folders.items():
            _compare(target, f"{location}/{folder}", entries, entries, found, doubtful, since, changed)
    found += _zeros(target, location, folders, changed)
    found += _of_another(location, doubtful, sum(len(folders[folder]) for folder in folders if "/" not in folder))
    found += [Lost(path, problem) for path in doubtful[:MOST_COMPILED] if (problem := _refused(target, path))]
    return [one for one in found if not _unread(one.path)]


def _zeros(
    target: Target, location: str, folders: Mapping[str, Mapping[str, int]], changed: Collection[str]
) -> list[Lost]:
    """Files as long as they should be that hold nothing: what a machine that lost its power had not written yet.

    It takes files by the dozen, so of the folders further down the largest file and the first stand for the rest, and
    what is in ``changed``; where one is found, all are looked at.
    """
    everything: list[str] = []
    first = set(changed)
    for folder, entries in folders.items():
        names = [name for name, size in entries.items() if size]
        everything += [f"{location}/{folder}/{name}" for name in names]
        if names and folder.count("/") > SHALLOW.get(folder.partition("/")[0], 0):
            names = [max(names, key=entries.__getitem__), *({"__init__.py"} & entries.keys())]
        first.update(f"{location}/{folder}/{name}" for name in names)
    asked = sorted(first)
    if not any(_zero(target, path) for path in asked):
        return []
    return [Lost(path, ZEROS) for path in everything if _zero(target, path)]


def _zero(target: Target, path: str) -> bool:
    return rooted.read(target.root, path, 1) == b"\0"


def _of_another(location: str, doubtful: list[str], of: int) -> list[Lost]:
    """Most files of a package's first level with another size: those of another release were copied over them."""
    top = [path for path in doubtful if path.count("/", len(location) + 1) == 1]
    many = len(top) >= FEW and len(top) * 2 > of
    return [Lost(path, f"of another size, as {len(top)} of {of} files") for path in top] if many else []


def _compare(
    target: Target,
    folder: str,
    entries: dict[str, int],
    asked: Collection[str],
    found: list[Lost],
    doubtful: list[str],
    since: float,
    changed: set[str],
) -> None:
    """Add what one folder lacks, and of the files that are ``asked`` for what has another size."""
    there: Mapping[str, int] = (
        rooted.sizes(target.root, folder, asked, since, changed)
        if asked
        else dict.fromkeys(rooted.names(target.root, folder), -1)
    )
    for entry, size in entries.items() if asked else [(name, entries[name]) for name in entries if name not in there]:
        real = there.get(entry)
        if real == size or (real is not None and (not size or entry not in asked)):
            continue
        path = f"{folder}/{entry}"
        if real is None:
            # A file whose compiled form is there instead was left out on purpose.
            if entry + "c" not in there and OPTIONAL.fullmatch(entry) is None:
                found.append(Lost(path, "missing"))
        elif real == 0:
            found.append(Lost(path, "empty"))
        else:
            doubtful.append(path)


def _expected(data: bytes, depth: int) -> dict[str, dict[str, int]]:
    """Entries by folder, down to ``depth`` parts of a path: files with their size, folders with 0.

    Of thousands of lines most lie below a folder that is known already; an expression would go through each of them.
    """
    folders: dict[str, dict[str, int]] = {}
    below = "\n"  # the folder of which the last line was one: no line begins so at first
    for line in data.decode("utf-8", "replace").split("\n"):
        if line.startswith((below, '"')) or ".py," not in line:
            continue
        path, _, rest = line.partition(",")
        size = rest.rpartition(",")[2].strip()
        if not path.endswith(".py") or not size.isdecimal() or size == "0":
            continue
        level = path.count("/") + 1
        if level > depth:
            first, second, third = path.split("/", 3)[:3]
            below = f"{first}/{second}/{third}/"
            folders.setdefault(f"{first}/{second}", {}).setdefault(third, 0)
            continue
        folder, _, entry = path.rpartition("/")
        if level > 2 or (level == 2 and entry != "__init__.py"):  # that one is asked for in every distribution
            folders.setdefault(folder, {})[entry] = int(size)
    return {folder: entries for folder, entries in folders.items() if "/test" not in folder}


def _refused(target: Target, path: str) -> str:
    """Why Python would not take a source; ``""`` where it would, or where this Python is too old to judge."""
    minor = tuple(int(part) for part in re.findall(r"\d+", target.version)[:2])
    if not minor or minor > sys.version_info[:2]:
        return ""
    source = rooted.read(target.root, path, MOST)
    if source is None or len(source) == MOST:
        return ""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError) as error:
        return f"no Python: {error.msg if isinstance(error, SyntaxError) else error}"
    except (RecursionError, MemoryError, OverflowError):
        return ""
    return ""


def _unread(path: str) -> bool:
    return path in rooted.UNREAD or path.rpartition("/")[0] in rooted.UNREAD
