"""Titles and sentences that name an error which nobody met: changes, wishes, advice."""

from __future__ import annotations

from sgldoctor.lazy import lazy

_WISH = lazy(
    r"^#{1,6} +\W{0,3}\[?(?:feature|feat|rfc|docs?|roadmap|proposal|enhancement|tracker|tracking|perf|refactor|ci|test|"
    r"pr|fix(?:es|ed)?|support|add(?:s|ed)?|allow|enable|implement|improve|update|bump|make|use|rename|drop|deprecate|"
    r"clean ?up|release|build|chore|explain|describe|how to (?!fix|solve|resolve|deal|get rid)|"
    r"please (?:support|add)|request|handle|avoid|prevent|revert|optimi[sz]e|migrate|introduce|skip|guard|gate|raise|"
    r"warn|reject|validate|move|split|log|report)\b",
)
"""Titles of changes and wishes: they name errors that are to be cured or added, not one that somebody met."""
_CURED = lazy(
    r"\b(?:fix(?:e[sd])?(?! version)|fixing|resolve[sd]?|solve[sd]|is gone|are gone|went away|"
    r"no longer|previously|used to|"
    r"should (?:raise|throw|fail|reject|be rejected|return)|"
    r"(?:will|would|could|can|may|might) (?:now )?(?:raise|throw|fail|get|cause|hit|see|crash|lead)|"
    r"to (?:avoid|prevent|fix|suppress|silence)|avoids?|prevents?|if you (?:see|get|hit|encounter|meet)|in case of|"
    r"if (?:you|i|we) (?:do not|don't|didn't)|"
    r"whenever you|makes? sure|ensures?|now (?:raises?|throws?|fails?|returns?|works?)|works (?:now|fine|well)|"
    r"workaround for|feature request|would be (?:nice|great|good)|please (?:support|add)|documented?|the docs|"
    r"this (?:pr|patch|change|commit)|unit tests?|test(?:s|ed)? (?:that|for|pass)|assert(?:s|ed)? that|"
    r"e\.g\.|for example|except(?:ing)? \w+(?:error|exception)|catch(?:es|ing)?|warns? (?:about|that))\b",
)
"""Sentences about errors that nobody met here."""
_NEAR = lazy(
    r"\b(?:fix(?:e[sd])?|fixing|avoid(?:s|ed)?|prevent(?:s|ed)?|no longer|resolve[sd]?|should|would|catch(?:es)?|"
    r"expect(?:s|ed)?|instead of|rather than|suppress(?:es|ed)?|except|handles?)\b[^.,;:]{0,40}$"
    r"|\b(?:fixed|solved|resolved) (?:by|in|with) [^.,;]{0,30}$",
)
_GONE = lazy(r"\b(?:(?:is|are|was) (?:now )?(?:gone|fixed|resolved|solved)|went away|goes away|disappear(?:s|ed))\b")


def wish(title: str) -> bool:
    """Whether the title of a thread announces a change or a wish, and reports no failure."""
    return _WISH.match(title.lower()) is not None


def cured(sentence: str) -> bool:
    """Whether a sentence speaks of an error that is cured, feared or explained."""
    return _CURED.search(sentence.lower()) is not None


def unmet(before: str, message: str) -> bool:
    """Whether the words right before the name of an error, or those at the end, say that it is cured or wished for."""
    return _NEAR.search(before[-80:].lower()) is not None or _GONE.search(message[-60:].lower()) is not None
