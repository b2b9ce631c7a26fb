"""Where the doctor keeps what it would otherwise work out again at every start."""

from __future__ import annotations

import os


def cache_folder() -> str:
    """The doctor's part of the user's cache folder, which need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "sgldoctor")
