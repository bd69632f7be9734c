"""The small language of conditions and gates: `auc >= champion.auc and auc > 0.7`.

One grammar serves two readers. Gates are written by people, with `and`, `or`, `not`.
Conditions come out of KFP's compiler in the Common Expression Language, with `&&`, `||`,
`!` and operands such as `inputs.parameter_values['pipelinechannel--x']`. Both are parsed
to the same tree; nothing is ever handed to Python's `eval`.

KFP's own compiler writes a string constant into its condition without escaping it, so
that `it's` arrives as `'it's'`. A quote therefore closes a string only where something
that can follow a string follows it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from headrace.core.errors import UsageError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|[-+*/<>!().\[\]]))"
)
# What may follow a closing quote: the end, a bracket, a connective or a comparison.
_AFTER_STRING = re.compile(r"\s*(?:$|[)\]]|&&|\|\||[=!]=|[<>]=?\s|(?:and|or)\b)")
_ESCAPE = re.compile(r"\\(['\"\\nrt])")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_BINDING = {"||": 1, "&&": 2, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
_BINDING |= {"+": 5, "-": 5, "*": 6, "/": 6}
_NOT_BINDING = 3
_SIGN_BINDING = 7
_DEEPEST, _MOST = 50, 200  # brackets in brackets, operators: walks of the tree are recursive
_CASTS = ("int", "double", "string", "bool")
_CAST_OF_REFERENCE = re.compile(r"(?:int\()?inputs\.parameter_values\['([^']+)'\]\)?")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: str | int | float | bool


@dataclass(frozen=True)
class Name:
    """A reference, its parts joined by dots: `champion.auc`."""

    path: str


@dataclass(frozen=True)
class Unary:
    """`!x`, `-x`, or a cast such as `int(x)`."""

    op: str
    operand: Node


@dataclass(frozen=True)
class Binary:
    """Two operands and what stands between them."""

    op: str
    left: Node
    right: Node


Node = Literal | Name | Unary | Binary


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    """As it was written."""
    tree: Node
    """What it means."""

    @property
    def names(self) -> frozenset[str]:
        """Every name that the expression refers to."""
        return frozenset(_names(self.tree))

    def evaluate(self, values: Mapping[str, object], *, waive: Collection[str] = ()) -> Any:
        """The value, given one for each name.

        Args:
            values: A value per dotted name.
            waive: Prefixes of names that are known to be absent: a comparison that
                mentions one counts as true.

        Raises:
            KeyError: A name has no value.
            UsageError: Operands that cannot be compared or computed with.
        """
        return _Evaluation(self.text, values, tuple(waive)).value(self.tree)


def compile_expression(text: str) -> Expression:
    """Parse `text`.

    Raises:
        UsageError: It is not an expression of this language.
    """
    parser = _Parser(text)
    return Expression(text=text, tree=parser.parse())


class _Parser:
    """Precedence climbing over a token stream."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth, self.operators = 0, 0
        self.kind, self.token = "", ""
        self.advance()

    def fail(self, what: str) -> NoReturn:
        raise UsageError(
            f"The expression {self.text!r} cannot be read: {what}.",
            hint="write comparisons joined by and/or/not, such as: auc >= champion.auc",
        )

    def advance(self) -> None:
        rest = self.text[self.at :]
        stripped = rest.lstrip()
        if not stripped:
            self.kind, self.token = "end", ""
            return
        if stripped[0] in "'\"":
            self.kind, self.token = "string", self.read_string(len(rest) - len(stripped))
            return
        match = _TOKEN.match(rest)
        if match is None:
            self.fail(f"unexpected {stripped[0]!r}")
        self.at += match.end()
        self.kind = str(match.lastgroup)
        token = match.group(self.kind)
        self.token = _WORDS.get(token, token) if self.kind == "name" else token
        if self.token in ("&&", "||", "!"):
            self.kind = "op"

    def read_string(self, skip: int) -> str:
        start = self.at + skip
        quote = self.text[start]
        place = start + 1
        while place < len(self.text):
            if self.text[place] == "\\" and _ESCAPE.match(self.text, place):
                place += 2
                continue
            if self.text[place] == quote and _AFTER_STRING.match(self.text, place + 1):
                self.at = place + 1
                raw = self.text[start + 1 : place]
                return _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), raw)
            place += 1
        self.fail(f"the string that begins at character {start + 1} has no end")

    def expect(self, token: str) -> None:
        if self.token != token or self.kind != "op":
            self.fail(f"expected {token!r}, found {self.token or 'the end'!r}")
        self.advance()

    def parse(self) -> Node:
        node = self.expression(0)
        if self.kind != "end":
            self.fail(f"unexpected {self.token!r}")
        return node

    def expression(self, least: int) -> Node:
        left = self.operand()
        while self.kind == "op" and _BINDING.get(self.token, 0) > least:
            op = self.token
            self.count()
            self.advance()
            left = Binary(op, left, self.expression(_BINDING[op]))
        return left

    def operand(self) -> Node:
        kind, token = self.kind, self.token
        if kind == "op" and token in ("!", "-", "("):
            return self.prefixed(token)
        if kind not in ("number", "string", "name"):
            self.fail(f"expected a name or a value, found {token or 'the end'!r}")
        if kind == "string":
            # KFP quotes a reference when it compares a number's channel with a string.
            quoted = _CAST_OF_REFERENCE.fullmatch(token)
            self.advance()
            if quoted:
                return Unary("string", Name(f"inputs.parameter_values.{quoted[1]}"))
            return Literal(token)
        self.advance()
        if kind == "number":
            return Literal(float(token) if re.search(r"[.eE]", token) else int(token))
        return self.named(token)

    def count(self) -> None:
        self.operators += 1
        if self.operators > _MOST:
            self.fail(f"it has more than {_MOST} operators")

    def bracketed(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail("it is nested too deeply")
        inner = self.expression(0)
        self.expect(")")
        self.depth -= 1
        return inner

    def prefixed(self, token: str) -> Node:
        self.advance()
        if token == "(":
            return self.bracketed()
        self.count()
        return Unary(token, self.expression(_NOT_BINDING if token == "!" else _SIGN_BINDING))

    def named(self, token: str) -> Node:
        if token in ("true", "True", "false", "False"):
            return Literal(token in ("true", "True"))
        if token in _CASTS and self.token == "(" and self.kind == "op":
            self.advance()
            return Unary(token, self.bracketed())
        path = token
        while self.kind == "op" and self.token in (".", "["):
            bracket = self.token == "["
            self.advance()
            if self.kind != ("string" if bracket else "name"):
                self.fail(f"expected a name after {path!r}")
            path += f".{self.token}"
            self.advance()
            if bracket:
                self.expect("]")
        return Name(path)


@dataclass(frozen=True)
class _Evaluation:
    text: str
    values: Mapping[str, object]
    waive: tuple[str, ...]

    def value(self, node: Node) -> Any:
        match node:
            case Literal(value):
                return value
            case Name(path):
                return self.values[path]
            case Unary(op, operand):
                return self.unary(op, self.value(operand))
            case Binary(op, left, right):
                return self.binary(op, left, right)

    def unary(self, op: str, value: Any) -> Any:
        try:
            match op:
                case "!":
                    return not value
                case "-":
                    return -value
                case "int":
                    return int(value)
                case "double":
                    return float(value)
                case "bool":
                    return value if isinstance(value, bool) else str(value).lower() == "true"
                case _:
                    return _as_string(value)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.unfit(op, value) from error

    def binary(self, op: str, left: Node, right: Node) -> Any:
        if op == "&&":
            return bool(self.value(left)) and bool(self.value(right))
        if op == "||":
            return bool(self.value(left)) or bool(self.value(right))
        if op in _ARITHMETIC:
            return self.apply(_ARITHMETIC[op], op, self.value(left), self.value(right))
        if self.waived(left) or self.waived(right):
            return True
        a, b = self.value(left), self.value(right)
        if op in ("==", "!="):
            return (_same(a, b)) == (op == "==")
        if isinstance(a, str) != isinstance(b, str):
            raise self.unfit(op, a, b)
        return self.apply(_COMPARISONS[op], op, a, b)

    def apply(self, function: Callable[[Any, Any], Any], op: str, a: Any, b: Any) -> Any:
        try:
            return function(a, b)
        except (TypeError, ArithmeticError) as error:
            raise self.unfit(op, a, b) from error

    def waived(self, node: Node) -> bool:
        return any(name.startswith(one) for name in _names(node) for one in self.waive)

    def unfit(self, op: str, *operands: object) -> UsageError:
        shown = " and ".join(f"{one!r} ({type(one).__name__})" for one in operands)
        return UsageError(f"In {self.text!r}: {op} does not take {shown}.")


def _same(a: object, b: object) -> bool:
    # Python says True == 1; a condition's language does not.
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _as_string(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names(node: Node) -> Iterator[str]:
    match node:
        case Name(path):
            yield path
        case Unary(_, operand):
            yield from _names(operand)
        case Binary(_, left, right):
            yield from _names(left)
            yield from _names(right)
        case Literal():
            pass
