"""Keeping secrets out of everything that is shown, stored or sent.

Every pasted SGLang log is suspect: ``server_args=ServerArgs(...)`` prints ``api_key``, ``admin_api_key`` and
``ssl_keyfile_password`` in clear (sgl-project/sglang issues 37457, 39449).

Only values are replaced; names, line breaks and what tells the fault stay. Every expression starts at a
literal and is bounded, so the time is linear in the text's length; none is compiled before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

REDACTED = "<redacted>"
_openly = False

# Shapes that are secret wherever they stand; the prefixes are those that their issuers document.
_SHAPES = r"""(?x)
    \bhf_[A-Za-z0-9]{16,255}                                    # Hugging Face
    | \b(?:sk|rk|pk)-[\w-]{16,512}                              # OpenAI and those who copy it
    | \bgh[pousr]_[A-Za-z0-9]{20,255} | \bgithub_pat_\w{20,255} # GitHub
    | \bglpat-[\w-]{16,255}                                     # GitLab
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}                               # AWS access key id
    | \bAIza[\w-]{30,255}                                       # Google
    | \bxox[abeoprs]-[\w-]{10,255}                              # Slack
    | \bnvapi-[\w-]{16,255}                                     # NVIDIA
    | \bdckr_pat_[\w-]{16,255} | \bgsk_[A-Za-z0-9]{20,255} | \bxai-[\w-]{20,255} | \br8_[A-Za-z0-9]{20,255} # services
    | \bya29\.[\w.-]{16,1024}                                  # Google, for an hour
    | \bpypi-[\w-]{16,1024} | \bnpm_[A-Za-z0-9]{20,255}         # package indexes
    | \beyJ[\w-]{8,8192}\.[\w-]{8,8192}\.[\w-]{0,8192}          # JSON web token
"""
_SHAPE_ANCHORS = tuple("hf_ k- gh glpat- KIA SIA AIza xox nvapi- pypi- dckr_ gsk_ xai- r8_ ya29 npm_ eyJ".split())
_BEARER = r"(?i)\b(bearer|basic|digest|negotiate)([ \t]{1,4})([\w.~+/=:,-]{6,8192})"
_HEADER = (
    r"(?i)\b((?:proxy-)?authorization|x-api-key|x-auth-token|x-goog-api-key|(?:set-)?cookie)"
    r"(\\{0,3}[\"']?[ \t]{0,3}[:=,][ \t]{0,3}\\{0,3}[\"']?)([^\n\"'\\]{1,8192})"
)
# User and password of a URL; a password may hold an @, so the last @ before the next / counts.
_URL = r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@'\"<>]{1,512}(?:@[^\s/@'\"<>]{1,512}){0,4}@"
_QUERY = (
    r"(?i)([?&][a-z0-9_.-]{0,32}(?:token|key|secret|signature|password|credential|sig)[a-z0-9_.-]{0,16}=)"
    r"[^&\s'\"<>]{1,8192}"
)
_PEM = r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)((?:[A-Za-z0-9+/=\s:,.]|-(?!-)|\\[nr]){0,20000})(-----END)?"
_PEM_CUT = r"[A-Za-z0-9+/=]{40,}"

_SEPARATOR = r"""\\{0,3}["']?[ \t]{0,4}(?:=>|=(?!=)|:)[ \t]{0,4}"""
# Escaped quote to the next quote; a closed string; an unclosed one to the end of the line; a bare word.
_VALUE = (
    r"""(\\{1,3}["'][^"'\n\\]{0,8192}|[bfru]{0,2}"(?:[^"\n\\]|\\.){0,8192}"|[bfru]{0,2}'(?:[^'\n\\]|\\.){0,8192}'"""
    r"""|["'][^\n]{0,8192}|[^\s,;)\]}&'"]{1,8192})"""
)
# Names whose value is secret whatever it looks like; [\w-]{0,32} takes their rest: secret_access_key, PASSWORD_2.
_STRONG = (
    r"(?i)((?:passw(?:or)?d|passphrase|secret|credential|(?:auth|access|refresh|id|session|bearer)[_-]?token(?![a-z])|"
    r"(?:api|access|private|admin|auth|account|encryption|signing|subscription|service|master|storage|session|ssh|wandb)"
    rf"[_-]?key)[\w-]{{0,32}}{_SEPARATOR}){_VALUE}"
)
_STRONG_ANCHORS = ("key", "passw", "passphrase", "secret", "credential")
_STRONG_WORDS = r"[hsdnr][_-]?token(?![a-z])"  # the last letters of what makes a token a strong name
# "tokenizer", "tokens", "token_id", "#new-token: 7" and "key=" are everyday words of an inference server.
_WEAK = rf"(?i)((?<![a-z])token(?![\w-]){_SEPARATOR}){_VALUE}"
# Environment style: HF_TOKEN=, FOO_KEY_2=, REDIS_AUTH=; also as JSON or YAML. A Dockerfile may have a blank instead.
_VARIABLE = rf"((?:TOKEN|KEY|AUTH)(?![A-Z])[A-Z0-9_]{{0,40}}{_SEPARATOR}){_VALUE}"
_DOCKERFILE = (
    r"(?m)^([ \t]{0,16}(?:ENV|ARG)[ \t]{1,4}[A-Z0-9_]{0,40}(?:TOKEN|KEY|AUTH|PASSWORD|SECRET)(?![A-Z])[A-Z0-9_]{0,40}"
    rf"[ \t]{{1,4}}){_VALUE}"
)
# Kubernetes and compose: "- name: HF_TOKEN", then "value: ..." on the next line or behind a comma.
_PAIR = (
    r"(?i)(\bname[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?\w{0,40}(?:token|key|secret|passw(?:or)?d|credential|auth)"
    r"(?![a-z])\w{0,40}[\"']?[ \t]{0,4},?\s{0,80}[\"']?value[\"']?[ \t]{0,4}[:=][ \t]{0,4})"
    rf"{_VALUE}"
)
_NETRC = rf"(?i)(\blogin[ \t]{{1,4}}\S{{1,200}}\s{{1,40}}password[ \t]{{1,4}}){_VALUE}"
# As words of a line; as items of a list (Python, JSON, a Dockerfile's CMD); as items of YAML, one on each line.
_OPTION = (
    r"(?i)(--[a-z0-9_-]{0,32}(?:passw(?:or)?d|passphrase|secret|api[_-]?key|token|private[_-]?key)(?![\w-])"
    r"(?:[ \t=]{1,4}|\\{0,3}[\"']?[ \t]{0,4},\s{0,80}|\\{0,3}[\"']?[ \t]{0,4}\r?\n[ \t]{0,80}-[ \t]{1,4}))"
    rf"{_VALUE}"
)
# Programs whose option for a password is one letter.
_SHORT = (
    r"(?i)(\b(?:(?:curl|wget)\b[^\n|;]{0,300}?[ \t](?:-u|--user)[ \t=]{0,4}[\"']?[\w.@-]{1,64}:|"
    r"sshpass[ \t]{1,4}-p[ \t]{0,4}|login\b[^\n|;]{0,200}?[ \t]-p[ \t=]{1,4}))"
    rf"{_VALUE}"
)
_SHORT_ANCHORS = ("curl", "wget", "sshpass", "login")
# A table of variables: the name, blanks or a bar, and what cannot be a word.
_TABLE = r"(\b[A-Z0-9_]{0,40}(?:TOKEN|KEY|SECRET|PASSWORD)[ \t|]{1,40})([\w.~+/=-]{10,512})(?!\S)"
_EMPTY = {"", "none", "null", "true", "false", "nil", "undefined", "[]", "{}", REDACTED}
_NUMBER = r"[-+]?[0-9]{1,12}(?:\.[0-9]{0,6})?%?"
_SUSPICIOUS = r"(?i)token|key|secret|passw|passphrase|credential|auth(?!or)"
_NAME_ANCHORS = ("token", "key", "auth", "passw", "passphrase", "secret", "credential")


@contextmanager
def openly() -> Iterator[None]:
    """While this lasts, :func:`redact` changes nothing: for a terminal whose owner wants to see lines as they are."""
    global _openly  # noqa: PLW0603 - everything that is shown passes through here, from wherever it is called
    _openly = True
    try:
        yield
    finally:
        _openly = False


def redact(text: str) -> str:
    """``text`` with every secret replaced by ``<redacted>``, line for line."""
    if _openly:
        return text
    lower = text.lower()
    if "private key-----" in lower:
        text = re.sub(_PEM, _pem, text)
    if "://" in lower:
        text = re.sub(_URL, rf"\1{REDACTED}@", text)
        text = re.sub(_QUERY, rf"\1{REDACTED}", text)
    if "authorization" in lower or "cookie" in lower or "x-" in lower:
        text = re.sub(_HEADER, _header, text)
    if "bearer" in lower or "basic" in lower or "digest" in lower or "negotiate" in lower:
        text = re.sub(_BEARER, _bearer, text)
    if any(anchor in lower for anchor in _NAME_ANCHORS):
        text = re.sub(_OPTION, _option, text)
        # The costliest expression; a serving log says "token" in each line and none of these.
        if any(anchor in lower for anchor in _STRONG_ANCHORS) or re.search(_STRONG_WORDS, lower):
            text = re.sub(_STRONG, _strong, text)
        text = re.sub(_WEAK, _weak, text)
        text = re.sub(_VARIABLE, _variable, text)
        text = re.sub(_DOCKERFILE, _variable, text)
        text = re.sub(_PAIR, _variable, text)
        text = re.sub(_TABLE, _table, text)
        text = re.sub(_NETRC, _strong, text)
    if any(anchor in lower for anchor in _SHORT_ANCHORS):
        text = re.sub(_SHORT, _strong, text)
    if any(anchor in text for anchor in _SHAPE_ANCHORS):
        text = re.sub(_SHAPES, REDACTED, text)
    return text


def redact_value(name: str, value: str) -> str:
    """The value of a variable or field as it may be shown: nothing of a secret one, others through :func:`redact`."""
    return REDACTED if secret(name, value) else redact(value)


def redact_option(name: str, value: str) -> str:
    """The value of an option of a command line as it may be shown.

    What an option is about stands at the end of its name: ``--api-key`` is a key, ``--speculative-token-map`` a map.
    """
    about = re.split(r"[-_.]", name.rstrip("-_.0123456789"))[-1]
    harmless = about.lower().endswith(("file", "tokens"))  # a path; a number of tokens: 16k
    return redact_value(name, value) if re.search(_SUSPICIOUS, about) and not harmless else redact(value)


def secret(name: str, value: str) -> bool:
    """Whether the value of a variable or field of this name must not be shown.

    ``SGLANG_..._TOKENS_PER_RANK=128`` counts tokens: a number, or anything about a tokenizer, under a name without
    another suspicious word is no secret. Switches and empty values are none either, and the doctor needs them.
    """
    if value.strip().lower() in _EMPTY:
        return False
    words = {word.lower() for word in re.findall(_SUSPICIOUS, name)}
    if words == {"token"} and re.search(r"(?i)token(?!s|iz)", name) is None:
        # "tokens" before another word counts them, too: --prompt-tokens-buckets tse 1000 2 8
        counted = re.fullmatch(_NUMBER, value.strip()) is not None or re.search(r"(?i)tokens[_-][a-z]", name)
        return not counted and re.search(r"(?i)tokeniz", name) is None
    return bool(words)


def _parts(value: str) -> tuple[str, str, str]:
    """A matched value as (opening, content, closing)."""
    opening = re.match(r"\\{0,3}[bfru]{0,2}[\"']", value)
    if opening is None:
        return "", value, ""
    head = opening.group()
    rest = value[len(head) :]
    closing = head[-1] if rest.endswith(head[-1]) else ""
    return head, rest[: len(rest) - len(closing)], closing


def _strong(match: re.Match[str]) -> str:
    head, content, tail = _parts(match.group(2))
    if content.strip().lower() in _EMPTY:
        return match.group()
    return f"{match.group(1)}{head}{REDACTED}{tail}"


def _option(match: re.Match[str]) -> str:
    # A usage text prints "--api-key API_KEY".
    name, separator = match.group(1).lstrip("-").rstrip(" \t=-'\"\\,\r\n"), match.group(1)
    metavar = name.replace("-", "_").upper()
    content = _parts(match.group(2))[1]
    if match.group(2).startswith(metavar) or content.startswith("--"):
        return match.group()
    prose = "," in separator and match.group(2) == content and content.isalpha() and len(content) < 12
    return match.group() if prose else _strong(match)


def _table(match: re.Match[str]) -> str:
    content = match.group(2)
    mixed = any(sign.isdigit() for sign in content) and any(sign.isalpha() for sign in content)
    return f"{match.group(1)}{REDACTED}" if mixed and content[0] not in "/.=" else match.group()


def _weak(match: re.Match[str]) -> str:
    """Under ``token``, which has harmless meanings, only what can be a secret: long, no number, word or <token>."""
    content = _parts(match.group(2))[1]
    word = content.isalpha() and content.islower() and len(content) < 12
    return match.group() if len(content) < 6 or word or " " in content.strip() else _variable(match)


def _variable(match: re.Match[str]) -> str:
    head, content, tail = _parts(match.group(2))
    harmless = len(content) < 4 or content[0] in "<[({" or content.strip().lower() in _EMPTY
    if harmless or re.fullmatch(_NUMBER, content):
        return match.group()
    return f"{match.group(1)}{head}{REDACTED}{tail}"


def _header(match: re.Match[str]) -> str:
    if match.group(3).strip().lower() in _EMPTY:
        return match.group()
    return f"{match.group(1)}{match.group(2)}{REDACTED}"


def _bearer(match: re.Match[str]) -> str:
    # "basic functionality" and "bearer tokens" are prose; a credential is long or not a lower-case word.
    content = match.group(3)
    if content.isalpha() and content.islower() and len(content) < 20:
        return match.group()
    return f"{match.group(1)}{match.group(2)}{REDACTED}"


def _pem(match: re.Match[str]) -> str:
    if match.group(3) is None:  # cut off: what follows may be something else, so only what looks like key material
        return match.group(1) + re.sub(_PEM_CUT, REDACTED, match.group(2))
    body = "\n".join(REDACTED if line.strip() else line for line in match.group(2).split("\n"))
    return match.group(1) + body + match.group(3)
