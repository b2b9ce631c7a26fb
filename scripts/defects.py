"""Makes ``sgldoctor/knowledge/data/defects.json``: the releases in which each known defect of SGLang stands.

    python scripts/defects.py WHEELS          a folder with sglang-*.whl of every release to be known

``scripts/defects.toml`` says how each defect is recognised in the sources: every one of its ``[[NAME]]`` must hold of a
release. ``file`` is a path below ``sglang/srt`` or a list of such (the file has moved); ``in`` a function or class,
``Class.function`` for a method, the whole file where it is left out; ``has`` and ``lacks`` are regular expressions of
which the text must hold, or not hold, a match. Where neither file nor function is there, only ``absent = true`` holds.
"""

import ast
import json
import re
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import tomllib
from packaging.version import Version

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "sgldoctor" / "knowledge" / "data" / "defects.json"
ROOT = "sglang/srt/"


class Release:
    """The sources of one wheel."""

    def __init__(self, path: Path) -> None:
        self.version = path.name.split("-")[1]
        self._archive = zipfile.ZipFile(path)
        self._names = frozenset(self._archive.namelist())

    @cache  # noqa: B019 - a script that ends
    def text(self, file: str, inside: str) -> str | None:
        """The text of a file, or of one function or class in it; None where it is absent."""
        if ROOT + file not in self._names:
            return None
        source = self._archive.read(ROOT + file).decode("utf-8", "replace")
        if not inside:
            return source
        node: ast.AST | None = ast.parse(source)
        for name in inside.split("."):
            node = (
                next((part for part in ast.walk(node) if getattr(part, "name", None) == name), None) if node else None
            )
        return ast.get_source_segment(source, node) if node is not None else None

    def holds(self, sign: dict[str, Any]) -> bool:
        """Whether one sign of a defect is there."""
        files = [sign["file"]] if isinstance(sign["file"], str) else sign["file"]
        texts = [text for text in (self.text(file, sign.get("in", "")) for file in files) if text is not None]
        if not texts or sign.get("absent"):
            return not texts and bool(sign.get("absent"))
        return any(
            ("has" not in sign or re.search(sign["has"], text, re.DOTALL | re.MULTILINE) is not None)
            and ("lacks" not in sign or re.search(sign["lacks"], text, re.DOTALL | re.MULTILINE) is None)
            for text in texts
        )


def main() -> None:
    """Look for every defect in every release, and write the ranges."""
    wheels = sorted(Path(sys.argv[1]).glob("sglang-*.whl"), key=lambda path: Version(path.name.split("-")[1]))
    releases = [Release(path) for path in wheels]
    signs = tomllib.loads((HERE / "defects.toml").read_text(encoding="utf-8"))
    found = {}
    for name, conditions in sorted(signs.items()):
        present = [all(release.holds(sign) for sign in conditions) for release in releases]
        spans: list[list[str]] = []
        for index, here in enumerate(present):
            if here and index and present[index - 1]:
                spans[-1][1] = releases[index].version
            elif here:
                spans.append([releases[index].version, releases[index].version])
        if not spans:
            raise SystemExit(f"{name}: no release has it; the signs in defects.toml are wrong")
        last = max(index for index, here in enumerate(present) if here)
        cured = releases[last + 1].version if last + 1 < len(releases) else ""
        found[name] = {"spans": spans, "cured": cured}
        print(f"{name:44} {', '.join('..'.join(span) for span in spans)}  cured: {cured or '-'}")
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
    head = json.dumps(
        {"source": "sources in the wheels of sglang", "releases": [release.version for release in releases]}
    )
    OUT.write_text(f'{head[:-1]}, "defects": {{\n{rows}\n}}}}\n', encoding="utf-8")
    print(f"{len(found)} defects, {len(releases)} releases, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
