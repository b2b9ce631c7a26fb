"""Codes of the Itanium C++ ABI for types, operators and known names (itanium-cxx-abi.github.io); a type as text."""

from __future__ import annotations

BUILTIN = {
    "v": "void", "w": "wchar_t", "b": "bool", "c": "char", "a": "signed char", "h": "unsigned char", "s": "short",
    "t": "unsigned short", "i": "int", "j": "unsigned int", "l": "long", "m": "unsigned long", "x": "long long",
    "y": "unsigned long long", "n": "__int128", "o": "unsigned __int128", "f": "float", "d": "double",
    "e": "long double", "g": "__float128", "z": "...",
    "Di": "char32_t", "Ds": "char16_t", "Du": "char8_t", "Da": "auto", "Dn": "decltype(nullptr)", "Dh": "half",
}  # fmt: skip
KNOWN = {
    "St": "std", "Sa": "std::allocator", "Sb": "std::basic_string", "Ss": "std::string", "Si": "std::istream",
    "So": "std::ostream", "Sd": "std::iostream",
}  # fmt: skip
OPERATORS = {
    "nw": "new", "na": "new[]", "dl": "delete", "da": "delete[]", "ng": "-", "ad": "&", "de": "*", "co": "~",
    "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%", "an": "&", "or": "|", "eo": "^", "aS": "=", "pL": "+=",
    "mI": "-=", "mL": "*=", "dV": "/=", "rM": "%=", "aN": "&=", "oR": "|=", "eO": "^=", "ls": "<<", "rs": ">>",
    "lS": "<<=", "rS": ">>=", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "ss": "<=>",
    "nt": "!", "aa": "&&", "oo": "||", "pp": "++", "mm": "--", "cm": ",", "pm": "->*", "pt": "->", "cl": "()",
    "ix": "[]",
}  # fmt: skip
SPECIAL = {
    "TV": "vtable for ", "TT": "VTT for ", "TI": "typeinfo for ", "TS": "typeinfo name for ",
    "GV": "guard variable for ", "TH": "TLS init function for ", "TW": "TLS wrapper function for ",
}  # fmt: skip
OF_A_NAME = ("GV", "TH", "TW")
SUFFIXES = {"i": "", "j": "u", "l": "l", "m": "ul", "x": "ll", "y": "ull"}


class Type:
    """A type as text before and after the place of a name: functions and arrays have both."""

    __slots__ = ("after", "before", "kind")

    def __init__(self, before: str, after: str = "", kind: str = "") -> None:
        self.before, self.after, self.kind = before, after, kind

    def __str__(self) -> str:
        return self.before + self.after

    def decorated(self, mark: str) -> Type:
        """A pointer or reference to it."""
        if self.kind:
            if self.kind == "pointer":
                return Type(self.before + mark, self.after, self.kind)
            space = "" if self.kind == "function" else " "
            return Type(f"{self.before}{space}({mark}", f"){self.after}", "pointer")
        return Type(self.before + mark)

    def inner(self, mark: str) -> Type:
        """The same, qualified."""
        return Type(self.before + mark, self.after, self.kind)
