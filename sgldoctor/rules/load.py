"""Reading rules: the built-in ones from a compiled module, folders of TOML files through a cache.

Parsing 300 TOML files costs about 100 ms, so no parser runs on an ordinary start, and no rule is made that nothing asks
for (see ``base``). A wheel carries ``sgldoctor/_rules.py``, one literal written by the build; a source checkout and the
folders of third parties are parsed once and cached under the user's cache folder, keyed by name, size and time of every
file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sgldoctor import cache
from sgldoctor.errors import InputError, RuleError
from sgldoctor.rules import base
from sgldoctor.rules.base import Compiled, Parsed, RuleBase

CACHE_FORMAT = 7
"""Raise it when the compiled form changes, so that stale caches are left alone."""


def checkout_folder() -> str | None:
    """The ``rules`` folder of a source checkout, or None in an installed copy."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "rules")
    return folder if os.path.isfile(os.path.join(os.path.dirname(folder), "hatch_build.py")) else None


def load(folders: Sequence[str] = ()) -> RuleBase:
    """All built-in rules and those of ``folders``; raises RuleError for a file that is no rule."""
    rules = RuleBase()
    rules.add(builtin())
    seen = rules.slugs() if folders else {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"{folder}: no such folder of rules")
        compiled = folder_rules(folder, foreign=True)
        for slug, _, path, _ in compiled[0]:
            if slug in seen:
                raise RuleError(f"{path}: a rule named {slug!r} exists already: {seen[slug]}")
            seen[slug] = path
        rules.add(compiled)
    return rules


def builtin() -> Compiled:
    """The rules that ship with the doctor."""
    folder = checkout_folder()
    if folder is None:
        from sgldoctor._rules import RULES  # written by the wheel's build (hatch_build.py)

        return RULES  # type: ignore[no-any-return,unused-ignore]
    return folder_rules(folder)


def parse_folder(folder: str) -> list[Parsed]:
    """Parse every rule file below ``folder``; raises RuleError for invalid TOML."""
    return [_parse(folder, path) for path in _files(folder)]


def compile_folder(folder: str) -> Compiled:
    """The rules of every file below ``folder``; raises RuleError for a file that is no rule."""
    return base.compiled(parse_folder(folder))


def folder_rules(folder: str, *, foreign: bool = False) -> Compiled:
    """As :func:`compile_folder`, through the cache; an unusable cache is no error, only slower.

    ``foreign`` rules have not passed our tests: RuleError as well for a pattern that is slow on some text.
    """
    files = _files(folder)
    path = os.path.abspath(folder)
    name = f"rules-{cache.of_path(path)}.marshal"
    key = (CACHE_FORMAT, foreign, path, tuple(_stamp(file) for file in files))
    held = cache.held(name, key)
    if held is None:
        parsed = [_parse(folder, file) for file in files]
        held = base.compiled(parsed)
        if foreign:
            from sgldoctor.rules.lint import lint_patterns
            from sgldoctor.rules.schema import build

            for slug, area, file, data in parsed:
                for problem in lint_patterns(build(data, slug, area, file)):
                    raise RuleError(f"{file}: {problem}")
        cache.keep(name, key, held)
    return held  # type: ignore[no-any-return]


def _files(folder: str) -> list[str]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.join(parent, name) for name in sorted(names) if name.endswith(".toml")]
    return found


def _stamp(path: str) -> tuple[str, int, int]:
    status = os.stat(path)
    return path, status.st_size, status.st_mtime_ns


def _parse(folder: str, path: str) -> Parsed:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with open(path, "rb") as stream:
            data = tomllib.load(stream)
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RuleError(f"{path}: not valid TOML: {error}") from error
    relative = os.path.relpath(path, folder)
    slug = os.path.basename(path)[: -len(".toml")]
    return slug, os.path.dirname(relative) or "rules", os.path.join(os.path.basename(folder), relative), data
