"""Errors that a user can do something about.

Every expected failure is a :class:`DoctorError` with a message that says what is wrong and what to do. Only
``sgldoctor.__main__`` turns one into an exit status; anything else that escapes is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class DoctorError(Exception):
    """An expected failure: one line for the user, exit status 2."""


class UsageError(DoctorError):
    """The command line does not make sense."""


class InputError(DoctorError):
    """A file, log, snapshot or environment that was named cannot be read."""


def unreadable(path: str, error: Exception) -> InputError:
    """The error of a file that cannot be read, in the words that every command has for it."""
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path} is a folder, not a file")
    return InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}")


def known(option: str, given: Iterable[str], names: Collection[str]) -> None:
    """Raise UsageError where a name that was given is none of ``names``: with those near it, or with all if few."""
    for name in given:
        if name in names:
            continue
        from difflib import get_close_matches

        near = get_close_matches(name, names, n=3)
        if near:
            raise UsageError(f"{option} {name}: there is none of this name; near are {', '.join(near)}")
        few = f": there are {', '.join(sorted(names))}" if len(names) < 40 else "; 'sgldoctor rules list' shows them"
        raise UsageError(f"{option} {name}: there is none of this name{few}")


class RuleError(DoctorError):
    """A rule file is not usable; the message names the file and the key."""


class FixError(DoctorError):
    """A repair was refused before anything changed; the message says why."""
