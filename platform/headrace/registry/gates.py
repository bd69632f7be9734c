"""Whether a model may be promoted: a gate's expression, decided on figures. Pure.

A gate compares a candidate's figures with numbers and with those of the model that holds
the alias now: `auc >= champion.auc and ece < 0.05`. Where no model holds it yet, a
comparison with it is undecided, and what remains undecided passes: under `not` as
elsewhere, while comparisons that need no champion still count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.core.errors import UsageError, did_you_mean
from headrace.core.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    Node,
    Unary,
    compile_expression,
)

CHAMPION = "champion."
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a gate said, and on what figures."""

    gate: str
    """The expression; empty for no gate."""
    passed: bool
    """Whether the model may be promoted."""
    no_champion: bool
    """Whether comparisons with a champion were passed over because there is none yet."""
    reasons: tuple[str, ...]
    """The comparisons that decided, as they stand: `auc 0.712 < champion.auc 0.731`."""
    figures: dict[str, float]
    """The value of every name in the gate that has one."""


def decide(gate: str, figures: Mapping[str, float], *, champion: bool) -> Decision:
    """Decide a gate.

    Args:
        gate: The expression; an empty one lets everything pass.
        figures: A value per name: the candidate's under their own names, the champion's
            as `champion.NAME`.
        champion: Whether there is a champion to compare with.

    Raises:
        UsageError: Not an expression, not a comparison, or a name that has no figure.
    """
    if not gate.strip():
        return Decision(gate="", passed=True, no_champion=False, reasons=(), figures={})
    expression = compile_expression(gate)
    _check_names(expression, figures, champion=champion)
    used = {name: float(figures[name]) for name in sorted(expression.names & figures.keys())}
    unclear = tuple(f"{name} is not a number" for name, value in used.items() if math.isnan(value))
    if unclear:
        return Decision(gate=gate, passed=False, no_champion=False, reasons=unclear, figures=used)
    verdict = _verdict(expression.tree, used)
    reasons = tuple(dict.fromkeys(_reasons(expression.tree, used)))
    return Decision(
        gate=gate,
        passed=verdict is not False,
        no_champion=bool(expression.names - used.keys()),
        reasons=reasons,
        figures=used,
    )


def _check_names(expression: Expression, figures: Mapping[str, float], *, champion: bool) -> None:
    for name in sorted(expression.names - figures.keys()):
        if not champion and name.startswith(CHAMPION) and name.removeprefix(CHAMPION) in figures:
            continue
        if champion and name.startswith(CHAMPION) and name.removeprefix(CHAMPION) in figures:
            raise UsageError(
                f"The gate {expression.text!r} compares with {name}, and the champion has no "
                f"such figure.",
                hint="evaluate with the model's registered name, so that the champion is measured "
                "on the same data",
            )
        raise UsageError(
            f"The gate {expression.text!r} names {name}, for which there is no figure.",
            hint=did_you_mean(name, _choices(figures, champion=champion))
            or "give the figures to register(metrics=...)",
        )


def _choices(figures: Mapping[str, float], *, champion: bool) -> set[str]:
    own = {name for name in figures if not name.startswith(CHAMPION)}
    return set(figures) if champion else own | {f"{CHAMPION}{name}" for name in own}


def _verdict(node: Node, figures: Mapping[str, float]) -> bool | None:
    """True, false, or None where only a champion could tell."""
    match node:
        case Unary("!", operand):
            inner = _verdict(operand, figures)
            return None if inner is None else not inner
        case Binary("&&" | "||" as op, left, right):
            settles = op == "||"
            sides = (_verdict(left, figures), _verdict(right, figures))
            if settles in sides:
                return settles
            return None if None in sides else not settles
        case _:
            return _leaf(node, figures)


def _leaf(node: Node, figures: Mapping[str, float]) -> bool | None:
    expression = Expression(text=_text(node), tree=node)
    if not expression.names <= figures.keys():
        return None
    value = expression.evaluate(figures)
    if not isinstance(value, bool):
        raise UsageError(
            f"A gate is made of comparisons, and {expression.text!r} is none.",
            hint="write it such as: auc >= champion.auc",
        )
    return value


def _reasons(node: Node, figures: Mapping[str, float]) -> Iterator[str]:
    """The comparisons that made `node` what it is, spelled as they stand."""
    verdict = _verdict(node, figures)
    match node:
        case Unary("!", operand):
            yield from _reasons(operand, figures)
        case Binary("&&" | "||", left, right):
            for side in (left, right):
                if verdict is None or _verdict(side, figures) == verdict:
                    yield from _reasons(side, figures)
        case _ if verdict is None:
            yield f"no champion yet for {_text(node)}"
        case Binary(op, left, right) if op in _OPPOSITE:
            a, b = _side(left, right, figures), _side(right, left, figures)
            yield f"{a} {op if verdict else _OPPOSITE[op]} {b}"
        case _:
            yield f"{_text(node)} is {str(verdict).lower()}"


def _side(node: Node, other: Node, figures: Mapping[str, float]) -> str:
    if isinstance(node, Literal):
        return _text(node)
    value = Expression(text="", tree=node).evaluate(figures)
    beside = Expression(text="", tree=other).evaluate(figures)
    return f"{_text(node)} {_number(value, beside)}"


def _number(value: object, beside: object) -> str:
    """`value` with three digits, or as many as set it apart from `beside`."""
    if not isinstance(value, int | float) or not isinstance(beside, int | float):
        return str(value)
    for digits in range(3, 17):
        if value == beside or f"{value:.{digits}g}" != f"{beside:.{digits}g}":
            return f"{value:.{digits}g}"
    return repr(value)


def _text(node: Node) -> str:
    match node:
        case Literal(value):
            return repr(value) if isinstance(value, str) else str(value)
        case Name(path):
            return path
        case Unary(op, operand):
            return f"{op}{_text(operand)}" if op in "!-" else f"{op}({_text(operand)})"
        case Binary(op, left, right):
            return f"{_operand_text(left)} {op} {_operand_text(right)}"


def _operand_text(node: Node) -> str:
    return f"({_text(node)})" if isinstance(node, Binary) else _text(node)
