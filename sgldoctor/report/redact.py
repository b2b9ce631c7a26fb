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

from sgldoctor.lazy import compiled
from sgldoctor.report import secret_blocks

REDACTED = secret_blocks.REDACTED
_openly = False

# Shapes that are secret wherever they stand; the prefixes are those that their issuers document.
_SHAPES = r"""(?x)
    \bhf_[A-Za-z0-9]{16,255}                                    # Hugging Face
    | \bc?(?:sk|rk|pk)-[\w-]{16,512} | \b[srp]k_(?:live|test)_\w{16,255} # OpenAI and those who copy it; Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,255} | \bgithub_pat_\w{20,255} # GitHub
    | \bglpat-[\w-]{16,255}                                     # GitLab
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}                               # AWS access key id
    | \bAIza[\w-]{30,255}                                       # Google
    | \bxox[abeoprs]-[\w-]{10,255}                              # Slack
    | \bnvapi-[\w-]{16,255}                                     # NVIDIA
    | \bhv[sbr]\.[\w-]{20,1024} | \bdapi[0-9a-f]{32} | \bapi_org_[A-Za-z]{20,255} | \bpul-[0-9a-f]{40} # vaults, hubs
    | \bwandb_v1_\w{20,255} | \blsv2_[a-z]{2}_\w{32,255} | \btskey-[a-z]{2,20}-[\w-]{16,255} | \bpplx-\w{32,255}
    | \bSG\.[\w-]{16,64}\.[\w-]{16,64} | \bAGE-SECRET-KEY-1[0-9A-Z]{40,80}
    | \bdop_v1_[0-9a-f]{64} | \btgp_v1_[\w-]{32,255}
    | \bdckr_pat_[\w-]{16,255} | \bgsk_[A-Za-z0-9]{20,255} | \bxai-[\w-]{20,255} | \br8_[A-Za-z0-9]{20,255} # services
    | \bya29\.[\w.-]{16,1024}                                  # Google, for an hour
    | \bpypi-[\w-]{16,1024} | \bnpm_[A-Za-z0-9]{20,255}         # package indexes
    | \beyJ[\w-]{8,8192}\.[\w-]{8,8192}\.[\w-]{0,8192}          # JSON web token
"""
_SHAPE_ANCHORS = tuple(
    (
        "hf_ k- gh glpat- KIA SIA AIza xox nvapi- pypi- dckr_ gsk_ xai- r8_ ya29 npm_ eyJ hvs. hvb. hvr. dapi "
        "api_org_ pul- wandb_v1_ lsv2_ tskey- pplx- SG. AGE-S dop_v1_ tgp_v1_ k_live_ k_test_"
    ).split()
)
# A wrapped line may cut a token whose length is known.
_WRAPPED_SHAPE = r"\bhf_([A-Za-z0-9]{8,33})(\r?\n[ \t]{0,16})([A-Za-z0-9]{1,26})(?![A-Za-z0-9])"
_HF_LENGTH = 34
_WANDB = r"(?i)(\bwandb\b[^\n]{0,80}?\b(?:login|key)\b[^\n]{0,40}?)\b[0-9a-f]{40}\b"
# The last part of a webhook's address is all that protects it.
_HOOK = r"(?i)(\bhooks\.slack\.com/(?:services|workflows)/|\bdiscord(?:app)?\.com/api/webhooks/)[\w/-]{8,256}"
_BEARER = r"(?i)\b(bearer|basic|digest|negotiate)([ \t]{1,4})([\w.~+/=:,-]{6,8192})"
_HEADER = (
    r"(?i)\b((?:proxy-)?authorization|x-api-key|x-auth-token|x-goog-api-key|(?:set-)?cookie)"
    r"(\\{0,3}[\"']?[ \t]{0,3}[:=,][ \t]{0,3}(?:b(?=[\"']))?\\{0,3}[\"']?)"
    r"((?:(?:bearer|basic|token)[ \t]{0,4}\r?\n[ \t]{0,80})?[^\n\"'\\]{1,8192})"
)
# User and password of a URL; a password may hold an @, so the last @ before the next / counts.
_URL = r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@'\"<>]{1,512}(?:@[^\s/@'\"<>]{1,512}){0,4}@"
_QUERY = (
    r"(?i)([?&#][a-z0-9_.-]{0,32}(?:token|key|secret|signature|password|credential|sig)[a-z0-9_.-]{0,16}=)"
    r"([^&\s'\"<>]{1,8192})"
)

# Tables are aligned with blanks; an equals sign may be escaped as in JSON or a URL, or have colours round it.
_COLOUR = r"(?:\x1b\[[0-9;]{0,12}m)?"
_SEPARATOR = (
    rf"""\\{{0,3}}(?:["']\]?)?[ \t]{{0,40}}{_COLOUR}(?:[-=]>|=(?!=)|:|\\{{1,3}}u003[dD]|%3[dD])[ \t]{{0,40}}{_COLOUR}"""
    r"(?:(?:!!?|&)\w{1,20}[ ]{1,4})?"  # a tag or an anchor of YAML
)
# Escaped quote to the next quote; a closed string; an unclosed one to the end of the line; a bare word.
_VALUE = (
    r"""(\\{1,3}["'][^"'\n\\]{0,8192}|[bfru]{0,2}"(?:[^"\n\\]|\\.){0,8192}"|[bfru]{0,2}'(?:[^'\n\\]|\\.){0,8192}'"""
    r"""|["'][^\n]{0,8192}|[^\s,;)\]}&'"]{1,8192})"""
)
# Names whose value is secret whatever it looks like; [\w-]{0,32} takes their rest: secret_access_key, PASSWORD_2.
_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret|credential|(?:auth|access|refresh|id|session|bearer)[_-]?token(?![a-z])|"
    r"(?:api[ _-]?|(?:access|private|admin|auth|account|client|encryption|signing|subscription|service|master|storage|"
    r"session|ssh|wandb)[_-]?)key|(?:api|access|account|secret)\.key[\w.-]{0,60}(?==))[\w-]{0,32}"
)
# Behind the name: the value alone on the next line ("api_key:", "api_key: >-", "api_key = (", "api_key="); a quoted
# value that a terminal has wrapped, whose rest begins the next line; any other value.
_STRONG = (
    rf"(?i)({_NAME}{_SEPARATOR})(?:"
    r"(?P<break>(?:[|>][+-]?|\(|\\)?[ \t]{0,4}\r?\n[ \t]{1,80}(?:- )?[bfru]?[\"']?)"
    r"(?P<alone>[^\s\"',;(){}\[\]:]{6,8192})(?=[\"']?[ \t]{0,4}[,)]{0,2}[ \t]{0,4}(?:[\r\n]|\Z))"
    r"|(?P<quote>[bfru]?[\"'])(?P<left>[^\n\"']{1,400})(?P<end>\r?\n)(?P<right>[^\s\"',=:({]{1,400}(?:==)?)(?=[\"'])"
    rf"|(?P<value>{_VALUE}))"
)
# What such a name says besides the secret itself: secretName, secretKeyRef, access_key_count, password_file.
_ABOUT = (
    r"(?:[_-](?i:names?|refs?|files?|paths?|dir|count|len|length|size|num|type|version|url|required|enabled)"
    r"|(?<=[a-z])(?:Names?|Refs?|Files?|Path|Count|Length|Size|Type|Version|Url))$"
)
_STRONG_ANCHORS = ("key", "passw", "passphrase", "secret", "credential")
_STRONG_WORDS = r"[hsdnr][_-]?token(?![a-z])"  # the last letters of what makes a token a strong name
# "tokenizer", "tokens", "token_id", "#new-token: 7" and "key=" are everyday words of an inference server.
_WEAK = rf"((?:(?<![A-Za-z])(?i:token)|(?<=[a-z0-9])Token)(?![\w-]){_SEPARATOR}){_VALUE}"
_PWD = rf"(?i)((?<![a-z])pwd{_SEPARATOR}){_VALUE}"
# Environment style: HF_TOKEN=, FOO_KEY_2=, REDIS_AUTH=; also as JSON or YAML. A Dockerfile may have a blank instead.
_VARIABLE = rf"((?:TOKEN|KEY|AUTH)(?![A-Z])[A-Z0-9_]{{0,40}}{_SEPARATOR}){_VALUE}"
_DOCKERFILE = (
    r"(?m)^([ \t]{0,16}(?:ENV|ARG)[ \t]{1,4}[A-Z0-9_]{0,40}(?:TOKEN|KEY|AUTH|PASSWORD|SECRET)(?![A-Z])[A-Z0-9_]{0,40}"
    rf"[ \t]{{1,4}}){_VALUE}"
)
# Kubernetes and compose: "- name: HF_TOKEN", then "value: ..." on the next line or behind a comma; key= in XML.
_PAIR = (
    r"(?i)(\b(?:name[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?|key=[\"'])\w{0,40}"
    r"(?:token|key|secret|passw(?:or)?d|credential|auth)"
    r"(?![a-z])\w{0,40}[\"']?[ \t]{0,4},?\s{0,80}[\"']?(?:value|default)[\"']?[ \t]{0,4}[:=][ \t]{0,4})"
    rf"{_VALUE}"
)
# A pair of name and value in brackets, an element of XML, the access to a registry in Docker's configuration.
_TUPLE = (
    r"(?i)([(\[][ ]?b?[\"'][\w-]{0,40}(?:passw(?:or)?d|secret|api[_-]?key|token)[\"'],[ \t]{0,4}b?[\"'])"
    r"([^\"'\n]{6,8192})(?=[\"'][)\]])"
)
_ELEMENT = (
    r"(?i)(<(?:[\w:-]{1,40}[ ](?:name|key)=[\"'])?[\w:-]{0,40}"
    r"(?:passw(?:or)?d|secret|api[_-]?key|token)[\w:-]{0,16}[\"']?>)"
    r"([^<\s]{4,1024})(?=</)"
)
# Arguments of calls that are there to say who one is.
_CALL = (
    r"(?i)((?:\bauth=|(?:basic|digest)auth)\(b?[\"'][^\"'\n]{1,200}[\"'],[ ]{0,4}b?[\"']|\blogin\((?:key|token)=[\"'])"
    r"([^\"'\n]{4,1024})(?=[\"'])"
)
_REGISTRY = r"(\\{0,3}[\"']auth\\{0,3}[\"'][ \t]{0,4}:[ \t]{0,4}\\{0,3}[\"'])([A-Za-z0-9+/=]{16,8192})(?=\\{0,3}[\"'])"
# In sentences, and as words behind one another, what cannot be a word: "the API key is ...", "password ...".
_SENTENCE = (
    r"(?i)(\b(?:api[ _-]?keys?|password|passphrase|secret(?: key)?|(?:access|auth|bearer|your|user|hf) token)\b"
    rf"[ a-z]{{0,60}}(?:\bis|\bwas|:|=)[ \t]{{1,4}}{_COLOUR}[\"'`]?)"
    r"([\w+][\w.~+/=!@#$%^&*-]{9,512})"
)
_SENTENCE_ANCHORS = (
    "api key", "api_key", "api-key", "apikey", "password", "passphrase", "secret",
    "access token", "auth token", "bearer token", "your token", "user token", "hf token",
)  # fmt: skip
_BLANK = (
    r"(?i)(\b[\w-]{0,40}(?:api[_-]?key|access[_-]?key|secret[ _-]?key|passw(?:or)?d|passphrase|secret)"
    r"[ \t|]{1,40}[\"'`]?)"
    r"([\w+][\w.~+/=!@#$%^&*-]{9,512})(?![^\s\"'`])"
)
_NETRC = rf"(?i)(\blogin[ \t]{{1,4}}\S{{1,200}}\s{{1,40}}password[ \t]{{1,4}}){_VALUE}"
# As words of a line; as items of a list (Python, JSON, a Dockerfile's CMD); as items of YAML, one on each line.
_OPTION = (
    r"(?i)(--[a-z0-9_-]{0,32}(?:passw(?:or)?d|passphrase|secret|token"
    r"|(?:api|private|account|access|secret|storage|service)[_-]?keys?)(?![\w-])"
    r"(?:[\"'][ \t]{1,4}(?=[\"'])|[ \t=]{1,4}(?:\\\r?\n[ \t]{0,80})?"
    r"|\\{0,3}[\"']?[ \t]{0,4},\s{0,80}|\\{0,3}[\"']?[ \t]{0,4}\r?\n[ \t]{0,80}-[ \t]{1,4}))"
    rf"{_VALUE}"
)
# Programs whose option for a password is one letter.
_SHORT = (
    r"(?i)((?:--auth[ \t=]{1,4}[\w.@-]{1,64}:|"
    r"\b(?:curl|wget)\b[^\n|;]{0,300}?[ \t](?:-u|--user)[ \t=]{0,4}[\"']?[\w.@-]{0,64}:|"
    r"\bsshpass[ \t]{1,4}-p[ \t]{0,4}|\bredis-cli\b[^\n|;]{0,200}?[ \t]-a[ \t]{1,4}|\bvault[ \t]login[ \t]{1,4}(?!-)|"
    r"\bmysql(?:dump|admin)?\b[^\n|;]{0,200}?[ \t]-p(?=\S)|\blogin\b[^\n|;]{0,200}?[ \t]-p[ \t=]{1,4}))"
    rf"{_VALUE}"
)
_SHORT_ANCHORS = ("curl", "wget", "sshpass", "login", "redis-cli", "mysql", "--auth")
_PIPED = (
    r"(\becho[ \t]{1,4}(?:-[ne]{1,2}[ \t]{1,4})?[\"']?)([^\s|\"'$]{4,1024})"
    r"(?=[\"']?[ \t]{0,4}\|[^\n|]{0,200}(?:-stdin|--with-token|\bchpasswd))"
)
# A table of variables: the name, blanks or a bar, and what cannot be a word.
_TABLE = r"(\b[A-Z0-9_]{0,40}(?:TOKEN|KEY|SECRET|PASSWORD)[ \t|]{1,40})([\w.~+/=-]{10,512})(?!\S)"
_BARRED = r"(\b[a-z]{1,20}_token[ \t]{0,40}\|[ \t]{1,40})([\w.~+/=-]{10,512})(?!\S)"
_EMPTY = {"", "none", "null", "true", "false", "nil", "undefined", "[]", "{}", REDACTED}
_FUNCTION_WORDS = frozenset(
    "a an and as at be by can for from if in is it must not of on or should so that the then this to was when".split()
)
_NUMBER = r"[-+]?[0-9]{1,12}(?:\.[0-9]{0,6})?%?"
_SUSPICIOUS = r"(?i)token|key|secret|passw|passphrase|credential|auth(?!or)"
_NAME_ANCHORS = ("token", "key", "auth", "passw", "passphrase", "secret", "credential", "pwd")


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
        text = secret_blocks.private_keys(text)
    if ("data" in lower and "secret" in lower) or "apiversion" in lower:
        text = secret_blocks.manifests(text)
    if "hf_" in text and "\n" in text:
        text = compiled(_WRAPPED_SHAPE).sub(_rejoined, text)
    if "://" in lower:
        text = compiled(_URL).sub(rf"\1{REDACTED}@", text)
        text = compiled(_HOOK).sub(rf"\1{REDACTED}", text)
    if "=" in text and ("?" in text or "&" in text or "#" in text):
        text = compiled(_QUERY).sub(_query, text)
    if "authorization" in lower or "cookie" in lower or "x-" in lower:
        text = compiled(_HEADER).sub(_header, text)
    if "bearer" in lower or "basic" in lower or "digest" in lower or "negotiate" in lower:
        text = compiled(_BEARER).sub(_bearer, text)
    if any(anchor in lower for anchor in _NAME_ANCHORS):
        text = compiled(_OPTION).sub(_option, text)
        # The costliest expression; a serving log says "token" in each line and none of these.
        if any(anchor in lower for anchor in _STRONG_ANCHORS) or re.search(_STRONG_WORDS, lower):
            text = compiled(_STRONG).sub(_named, text)
            text = compiled(_BLANK).sub(_mixed, text)
            text = compiled(_TUPLE).sub(_alone, text)
        if any(anchor in lower for anchor in _SENTENCE_ANCHORS):
            text = compiled(_SENTENCE).sub(_mixed, text)
        text = compiled(_WEAK).sub(_weak, text)
        if "pwd" in lower:
            text = compiled(_PWD).sub(_pwd, text)
        if "</" in text:
            text = compiled(_ELEMENT).sub(rf"\1{REDACTED}", text)
        if "auth" in lower:
            text = compiled(_REGISTRY).sub(rf"\1{REDACTED}", text)
        if "auth=(" in lower or "auth(" in lower or "login(" in lower:
            text = compiled(_CALL).sub(rf"\1{REDACTED}", text)
        text = compiled(_VARIABLE).sub(_variable, text)
        text = compiled(_DOCKERFILE).sub(_variable, text)
        text = compiled(_PAIR).sub(_variable, text)
        text = compiled(_TABLE).sub(_table, text)
        if "_token" in text and "|" in text:
            text = compiled(_BARRED).sub(_table, text)
        text = compiled(_NETRC).sub(_strong, text)
    if any(anchor in lower for anchor in _SHORT_ANCHORS):
        text = compiled(_SHORT).sub(_strong, text)
    if "echo" in lower and "|" in text:
        text = compiled(_PIPED).sub(rf"\1{REDACTED}", text)
    if "wandb" in lower:
        text = compiled(_WANDB).sub(rf"\1{REDACTED}", text)
    if any(anchor in text for anchor in _SHAPE_ANCHORS):
        text = compiled(_SHAPES).sub(REDACTED, text)
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


def _named(match: re.Match[str]) -> str:
    name = re.sub(r"(?:[^\w-]|\\u003[dD]|%3[dD])+$", "", match.group(1))
    if re.search(_ABOUT, name):
        return match.group()
    if match["break"]:
        return match.group() if _is_word(match["alone"]) else f"{match.group(1)}{match['break']}{REDACTED}"
    if match["quote"]:
        return f"{match.group(1)}{match['quote']}{REDACTED}{match['end']}{REDACTED}"
    head, content, tail = _parts(match["value"])
    # A bare bracket or a block's sign begins a structure, as in "secretKeyRef: {name: ...}" and "password: |".
    structure = not head and re.fullmatch(r"[{(\[]+(?:[\w-]*:)?|[|>][+-]?[0-9]?|\\", content)
    if _nothing(content) or structure or (not head and _is_code(content, name)):
        return match.group()
    return f"{match.group(1)}{head}{REDACTED}{tail}"


def _strong(match: re.Match[str]) -> str:
    head, content, tail = _parts(match.group(2))
    return match.group() if _nothing(content) else f"{match.group(1)}{head}{REDACTED}{tail}"


def _nothing(content: str) -> bool:
    return content.strip().lower() in _EMPTY or re.fullmatch(r"[*\u2022]{2,}|x{3,}|\.{3}", content) is not None


def _is_code(content: str, name: str) -> bool:
    """Whether a bare value is what source code says there: a call, a type, a variable of the same name."""
    called = re.match(
        r"(?:[A-Za-z]\w*[_.])\w*[A-Za-z]\(|(?:getenv|frozenset)\(|(?:Optional|Union|List|list)\[|str$", content
    )
    last = re.search(r"\w+$", name)
    return called is not None or bool(last and content.rpartition(".")[2] == last[0])


def _is_word(content: str) -> bool:
    """Whether this is a word, a number or the name of something in a program, rather than a secret."""
    word = content.isalpha() and content.islower() and len(content) < 20
    program = re.fullmatch(r"[a-z_]+(?:\.[a-z_]+)+|[a-z]+(?:_[a-z]+)+", content)
    return word or content == REDACTED or re.fullmatch(_NUMBER, content) is not None or program is not None


def _alone(match: re.Match[str]) -> str:
    """A value whose name stands before it."""
    return match.group() if _is_word(match.group(2)) else f"{match.group(1)}{REDACTED}"


def _mixed(match: re.Match[str]) -> str:
    content = match.group(2)
    mixed = any(sign.isdigit() for sign in content) and any(sign.isalpha() for sign in content)
    return f"{match.group(1)}{REDACTED}" if mixed else match.group()


def _pwd(match: re.Match[str]) -> str:
    """A password under its short name, which is also that of the working folder."""
    content = _parts(match.group(2))[1]
    return match.group() if content[:1] in "/~.$%\\" or "(" in content else _variable(match)


def _query(match: re.Match[str]) -> str:
    counted = re.fullmatch(_NUMBER, match.group(2)) and re.search(r"(?i)token|key", match.group(1))
    return match.group() if counted or match.group(2) == REDACTED else f"{match.group(1)}{REDACTED}"


def _rejoined(match: re.Match[str]) -> str:
    whole = len(match.group(1)) + len(match.group(3)) == _HF_LENGTH
    return f"{REDACTED}{match.group(2)}{REDACTED}" if whole else match.group()


def _option(match: re.Match[str]) -> str:
    # A usage text prints "--api-key API_KEY".
    name, separator = match.group(1).lstrip("-").rstrip(" \t=-'\"\\,\r\n"), match.group(1)
    metavar = name.replace("-", "_").upper()
    content = _parts(match.group(2))[1]
    if match.group(2).startswith(metavar) or content.startswith("--"):
        return match.group()
    listed = "," in separator and match.group(2) == content and content.isalpha() and len(content) < 12
    prose = listed or match.group(2).lower() in _FUNCTION_WORDS
    keyword = "," in separator and re.match(r"[a-z_]{2,20}=", match.group(2))  # add_argument("--api-key", type=str)
    return match.group() if prose or keyword else _strong(match)


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
    harmless = len(content) < 4 or content[0] in "<[({" or _nothing(content) or (not head and _is_code(content, ""))
    if harmless or re.fullmatch(_NUMBER, content):
        return match.group()
    return f"{match.group(1)}{head}{REDACTED}{tail}"


def _header(match: re.Match[str]) -> str:
    if match.group(3).strip().lower() in _EMPTY:
        return match.group()
    scheme, line, _ = match.group(3).partition("\n")
    return f"{match.group(1)}{match.group(2)}{f'{scheme}{line}' if line else ''}{REDACTED}"


def _bearer(match: re.Match[str]) -> str:
    # "basic functionality" and "bearer tokens" are prose; a credential is long or not a lower-case word.
    content = match.group(3)
    if content.isalpha() and content.islower() and len(content) < 20:
        return match.group()
    return f"{match.group(1)}{match.group(2)}{REDACTED}"
