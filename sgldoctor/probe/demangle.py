"""C++ names from Itanium-mangled symbols, as ``c++filt`` writes them (itanium-cxx-abi.github.io, section 5.1).

What compilers give to functions, variables and types is read whole; of expressions in templates only literals. A symbol
with anything else is given back as it is: half a name would mislead.
"""

from __future__ import annotations

from sgldoctor.probe.mangling import BUILTIN, KNOWN, OF_A_NAME, OPERATORS, SPECIAL, SUFFIXES, Type

LONGEST = 4000
DEEPEST = 60


class UnreadableError(Exception):
    """The symbol holds something that is not read here."""


def demangle(symbol: str) -> str:
    """``c10::cuda::f(int)`` of ``_ZN3c104cuda1fEi``; ``""`` where it is no C++ symbol or holds what is not read."""
    if not symbol.startswith("_Z") or len(symbol) > LONGEST:
        return ""
    reader = _Reader(symbol[2:])
    try:
        name = reader.encoding()
    except (UnreadableError, IndexError, RecursionError, ValueError):
        return ""
    return name if reader.place == len(reader.text) else ""


def qualified(symbol: str) -> str:
    """The name alone, without arguments: what people recognise and what fits into a title."""
    reader = _Reader(symbol[2:]) if symbol.startswith("_Z") and len(symbol) <= LONGEST else None
    if reader is None:
        return ""
    try:
        return reader.special() or reader.name()
    except (UnreadableError, IndexError, RecursionError, ValueError):
        return ""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0
        self.seen: list[Type | str] = []
        self.arguments: list[str] = []
        self.templated = self.no_return = False
        self.qualifiers = ""

    # ------------------------------------------------------------------ characters
    def peek(self, size: int = 1) -> str:
        return self.text[self.place : self.place + size]

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.place):
            self.place += len(token)
            return True
        return False

    def number(self) -> int:
        begin = self.place
        while self.peek().isdigit():
            self.place += 1
        if begin == self.place:
            raise UnreadableError
        return int(self.text[begin : self.place])

    def sequence(self) -> int:
        """``_`` is 0, ``0_`` is 1, base 36."""
        if self.take("_"):
            return 0
        end = self.text.index("_", self.place)
        value = int(self.text[self.place : end], 36) + 1
        self.place = end + 1
        return value

    # ------------------------------------------------------------------ names
    def special(self) -> str:
        code = self.peek(2)
        label = SPECIAL.get(code, "")
        if not label:
            return ""
        self.place += 2
        return label + (self.name() if code in OF_A_NAME else str(self.type()))

    def encoding(self) -> str:
        special = self.special()
        if special:
            return special
        name = self.name()
        tail, templated, plain = self.qualifiers, self.templated, self.no_return
        if self.place >= len(self.text) or self.peek() in "E.":
            return name
        result = self.type() if templated and not plain else None
        arguments = self.parameters()
        said = f"{name}({arguments}){tail}"
        if result is None:
            return said
        return f"{result.before} {said}{result.after}" if not result.kind else f"{result.before}{said}{result.after}"

    def parameters(self) -> str:
        if self.take("v"):
            return ""
        types = []
        while self.place < len(self.text) and self.peek() not in "E.":
            text = str(self.type())
            if text:
                types.append(text)
        return ", ".join(types)

    def name(self) -> str:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnreadableError
        try:
            return self._name()
        finally:
            self.depth -= 1

    def _name(self) -> str:
        self.templated = self.no_return = False
        self.qualifiers = ""
        if self.peek() == "N":
            return self.nested()
        if self.peek() == "Z":
            return self.local()
        if self.peek() == "S" and self.peek(2) != "St":
            text = str(self.substitution())
            return text + self.template_arguments() if self.peek() == "I" else text
        prefix = "std::" if self.take("St") else ""
        text = prefix + self.unqualified("")
        if self.peek() == "I":
            self.seen.append(text)
            text = self.with_arguments(text)
            self.templated = True
        return text

    def nested(self) -> str:
        self.place += 1
        marks = ""
        while self.peek() in ("r", "V", "K"):
            marks = {"r": " restrict", "V": " volatile", "K": " const"}[self.peek()] + marks
            self.place += 1
        if self.peek() in ("R", "O"):
            marks += " &" if self.peek() == "R" else " &&"
            self.place += 1
        text, templated, plain = "", False, False
        last = ""
        while not self.take("E"):
            if self.peek() == "S" and self.peek(2) != "St":
                text = str(self.substitution())
                last = text.rpartition("::")[2]
                continue
            if self.peek() == "I":
                text = self.with_arguments(text)
                templated = True
            elif self.peek() == "T":
                text = str(self.template_parameter())
            elif self.take("St"):
                text = "std"
                continue
            else:
                plain = self.peek() in ("C", "D") or self.peek(2) == "cv"
                piece = self.unqualified(last)
                text = f"{text}::{piece}" if text else piece
                last = piece
                templated = False
            if self.peek() != "E":
                self.seen.append(text)
        self.templated, self.no_return, self.qualifiers = templated, plain, marks
        return text

    def local(self) -> str:
        self.place += 1
        inside = self.encoding()
        if not self.take("E"):
            raise UnreadableError
        if self.take("s"):
            self.discriminator()
            return f"{inside}::string literal"
        if self.peek() == "d":
            raise UnreadableError
        name = self.name()
        self.discriminator()
        return f"{inside}::{name}"

    def discriminator(self) -> None:
        if self.take("__"):
            self.number()
            self.take("_")
        elif self.peek() == "_" and self.peek(2)[1:].isdigit():
            self.place += 2

    def unqualified(self, within: str) -> str:
        self.take("L")
        head = self.peek()
        if head.isdigit():
            size = self.number()
            text = self.peek(size)
            if len(text) < size:
                raise UnreadableError
            self.place += size
            if text.startswith("_GLOBAL__N"):
                text = "(anonymous namespace)"
        elif head in ("C", "D") and self.peek(2)[1:].isdigit():
            self.place += 2
            base = within.partition("<")[0].partition("[")[0]
            text = ("~" if head == "D" else "") + base
        elif self.take("Ut"):
            number = 1 if self.take("_") else self.number() + 2
            if number > 1 and not self.take("_"):
                raise UnreadableError
            text = f"{{unnamed type#{number}}}"
        elif self.take("Ul"):
            arguments = self.parameters()
            if not self.take("E"):
                raise UnreadableError
            number = 1 if self.take("_") else self.number() + 2
            if number > 1 and not self.take("_"):
                raise UnreadableError
            text = f"{{lambda({arguments})#{number}}}"
        elif self.take("cv"):
            text = f"operator {self.type()}"
        elif self.take("li"):
            text = f'operator"" {self.unqualified("")}'
        elif self.peek(2) in OPERATORS:
            word = OPERATORS[self.peek(2)]
            self.place += 2
            text = f"operator {word}" if word[0].isalpha() else f"operator{word}"
        else:
            raise UnreadableError
        while self.take("B"):
            text += f"[abi:{self.unqualified('')}]"
        return text

    # ------------------------------------------------------------------ templates and substitutions
    def template_arguments(self) -> str:
        self.place += 1
        arguments: list[str] = []
        # What a function's types mean by T_ are the arguments of the last template in its name.
        while not self.take("E"):
            arguments.append(self.template_argument())
        self.arguments = arguments
        text = ", ".join(part for part in arguments if part)
        return f"<{text} >" if text.endswith(">") else f"<{text}>"

    def with_arguments(self, text: str) -> str:
        space = " " if text.endswith("<") else ""
        return text + space + self.template_arguments()

    def template_argument(self) -> str:
        if self.peek() == "L":
            return self.literal()
        if self.take("J"):
            parts = []
            while not self.take("E"):
                parts.append(self.template_argument())
            return ", ".join(part for part in parts if part)
        if self.peek() == "X":
            raise UnreadableError
        return str(self.type())

    def literal(self) -> str:
        self.place += 1
        if self.take("_Z"):
            text = self.encoding()
            if not self.take("E"):
                raise UnreadableError
            return f"&{text}"
        kind = self.peek()
        of = self.type()
        end = self.text.index("E", self.place)
        value = self.text[self.place : end].replace("n", "-")
        self.place = end + 1
        if kind == "b":
            return {"0": "false", "1": "true"}[value]
        if kind in SUFFIXES and str(of) == BUILTIN[kind]:
            return value + SUFFIXES[kind]
        return f"({of}){value}"

    def template_parameter(self) -> Type:
        self.place += 1
        index = self.sequence()
        if index >= len(self.arguments):
            raise UnreadableError
        return Type(self.arguments[index])

    def substitution(self) -> Type | str:
        known = KNOWN.get(self.peek(2))
        if known:
            self.place += 2
            if self.peek(2) in ("Ss", "C1", "C2", "D1", "D2") and known == "std::string":
                raise UnreadableError
            return known
        self.place += 1
        return self.seen[self.sequence()]

    # ------------------------------------------------------------------ types
    def type(self) -> Type:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnreadableError
        try:
            return self._type()
        finally:
            self.depth -= 1

    def _type(self) -> Type:
        head = self.peek()
        two = self.peek(2)
        if len(two) == 2 and two in BUILTIN:
            self.place += 2
            return Type(BUILTIN[two])
        if head in BUILTIN:
            self.place += 1
            return Type(BUILTIN[head])
        if head in ("r", "V", "K"):
            marks = ""
            while self.peek() in ("r", "V", "K"):
                marks = {"r": " restrict", "V": " volatile", "K": " const"}[self.peek()] + marks
                self.place += 1
            of = self.type()
            if of.kind == "function":
                return self.keep(Type(of.before, of.after + marks, of.kind))
            return self.keep(of.inner(marks))
        if head in ("P", "R", "O"):
            self.place += 1
            of = self.type()
            if not str(of):  # an empty pack stays one
                return self.keep(of)
            mark = {"P": "*", "R": "&", "O": "&&"}[head]
            if head != "P" and str(of).endswith("&"):
                # References collapse: && of & is &, & of && is &.
                return self.keep(Type(str(of)[:-1]) if head == "R" and str(of).endswith("&&") else of)
            return self.keep(of.decorated(mark))
        if head == "F":
            return self.keep(self.function())
        if head == "A":
            return self.keep(self.array())
        if head == "M":
            self.place += 1
            owner = self.type()
            member = self.type()
            if member.kind:
                return self.keep(Type(f"{member.before}({owner}::*", f"){member.after}", "pointer"))
            return self.keep(Type(f"{member} {owner}::*"))
        if head == "T":
            made = self.keep(self.template_parameter())
            if self.peek() == "I":
                return self.keep(Type(str(made) + self.template_arguments()))
            return made
        if two == "Dp":
            self.place += 2
            return self.keep(self.type())
        if head == "S" and two != "St":
            found = self.substitution()
            if self.peek() == "I":
                kept = self.arguments
                made = Type(str(found) + self.template_arguments())
                self.arguments = kept
                return self.keep(made)
            return found if isinstance(found, Type) else Type(found)
        if head.isdigit() or head in ("N", "Z") or two == "St":
            held = (self.arguments, self.templated, self.no_return, self.qualifiers)
            made = Type(self.name())
            self.arguments, self.templated, self.no_return, self.qualifiers = held
            return self.keep(made)
        raise UnreadableError

    def keep(self, made: Type) -> Type:
        self.seen.append(made)
        return made

    def function(self) -> Type:
        self.place += 1
        self.take("Y")
        result = self.type()
        arguments = self.parameters()
        mark = " &" if self.take("RE") else " &&" if self.take("OE") else ""
        if not mark and not self.take("E"):
            raise UnreadableError
        return Type(f"{result} ", f"({arguments}){mark}", "function")

    def array(self) -> Type:
        self.place += 1
        size = str(self.number()) if self.peek().isdigit() else ""
        if not self.take("_"):
            raise UnreadableError
        of = self.type()
        return Type(of.before, f" [{size}]{of.after}", "array")
