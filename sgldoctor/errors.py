"""Errors that a user can do something about.

Every expected failure is a :class:`DoctorError` with a message that says what is wrong and what to do. Only
``sgldoctor.__main__`` turns one into an exit status; anything else that escapes is a defect of ours.
"""


class DoctorError(Exception):
    """An expected failure: one line for the user, exit status 2."""


class UsageError(DoctorError):
    """The command line does not make sense."""


class InputError(DoctorError):
    """A file, log, snapshot or environment that was named cannot be read."""


class RuleError(DoctorError):
    """A rule file is not usable; the message names the file and the key."""


class FixError(DoctorError):
    """A repair was refused before anything changed; the message says why."""
