"""The release of SGLang that the container image or the requirement round a launch line names."""

from __future__ import annotations

import re

from sgldoctor.launch.shell import Word
from sgldoctor.lazy import lazy

_VERSION = r"(\d+\.\d+\.\d+(?:\.post\d+|rc\d+)?)(?![\w.])"
_IMAGE = lazy(rf"(?:\A|[/\s=\"'])sglang(?:-[a-z]+)?:v?{_VERSION}")
_REQUIREMENT = lazy(rf"(?:\A|[\s=\"'])sglang(?:\[[\w,-]{{1,80}}\])?=={_VERSION}")
_SWITCH = lazy(
    r"-[ditPq]+\Z|--(?:rm|detach|interactive|tty|privileged|init|read-only|publish-all|quiet|replace|no-healthcheck"
    r"|oom-kill-disable|sig-proxy|disable-content-trust|no-mount|nv|contain|cleanenv|writable-tmpfs)\Z"
)


def release_of(text: str) -> str:
    """The release that an image (``lmsysorg/sglang:v0.5.8-cu130``) or a requirement (``sglang==0.5.8``) names."""
    match = _IMAGE.search(text) or _REQUIREMENT.search(text)
    return match[1] if match else ""


def release_before(words: list[Word]) -> str:
    """The release that the words before a server command name; a volume or a name of that shape is no image."""
    option = ""
    for word in words:
        text = word.text
        named, _, _ = text.partition("=") if text.startswith("-") else (option, "", "")
        option = text if text.startswith("-") and "=" not in text and not _SWITCH.match(text) else ""
        if not word.known:
            continue
        if match := _REQUIREMENT.search(text):
            return match[1]
        match = _IMAGE.search(text)
        if match and (not named or "image" in named) and not re.match(r"[/.~$]", text):
            return match[1]
    return ""
