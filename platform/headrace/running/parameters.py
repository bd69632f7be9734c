"""Parameter values: from the command line, and from one KFP type to another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headrace.compiling.pipeline import ParameterSpec, whole_numbers
from headrace.core.errors import UsageError, did_you_mean

_NAMES = {
    "STRING": "str", "NUMBER_INTEGER": "int", "NUMBER_DOUBLE": "float",
    "BOOLEAN": "bool", "LIST": "list", "STRUCT": "dict",
}  # fmt: skip
_TRUE, _FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f")


def parse_arguments(pairs: Iterable[str], specs: Mapping[str, ParameterSpec]) -> dict[str, Any]:
    """Turn `name=value` pairs into the pipeline's arguments.

    Lists and dicts are written as JSON. Values of other types are read as their type says.

    Raises:
        UsageError: A pair without `=`, an unknown name, or a value of another type.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is not name=value.", hint="for example: -p epochs=3")
        if name not in specs:
            raise UsageError(
                f"The pipeline has no parameter {name!r}.",
                hint=did_you_mean(name, specs) or "it takes no parameters",
            )
        arguments[name] = from_text(text, specs[name].type, name)
    return arguments


def check_arguments(
    arguments: Mapping[str, Any], specs: Mapping[str, ParameterSpec]
) -> dict[str, Any]:
    """Arguments checked against the pipeline's parameters, defaults filled in.

    Raises:
        UsageError: An unknown name, a missing value, or a value of another type.
    """
    for name in arguments:
        if name not in specs:
            raise UsageError(
                f"The pipeline has no parameter {name!r}.",
                hint=did_you_mean(name, specs) or "it takes no parameters",
            )
    missing = [name for name, one in specs.items() if not one.optional and name not in arguments]
    if missing:
        raise UsageError(
            f"The pipeline needs a value for {', '.join(missing)}.",
            hint=" ".join(f"-p {name}=…" for name in missing),
        )
    chosen = {name: arguments.get(name, spec.default) for name, spec in specs.items()}
    return {
        name: None if value is None else convert(value, specs[name].type, name)
        for name, value in chosen.items()
    }


def convert(value: Any, kind: str, name: str) -> Any:
    """A value as the parameter type `kind`, by the rules of KFP's backend.

    A string parameter takes anything, as JSON text; an integer is a double too; an integral
    double is an integer. Everything else must fit.

    Raises:
        UsageError: The value does not fit.
    """
    match kind, value:
        case "STRING", str():
            return value
        case "STRING", _:
            return to_text(value)
        case "BOOLEAN", bool():
            return value
        case "NUMBER_INTEGER", int() if not isinstance(value, bool):
            return value
        case "NUMBER_INTEGER", float() if value.is_integer():
            return int(value)
        case "NUMBER_DOUBLE", int() | float() if not isinstance(value, bool):
            return float(value)
        case ("LIST", list()) | ("STRUCT", dict()):
            return whole_numbers(value)
        case (("TASK_FINAL_STATUS" | "TASK_CONFIG"), _):
            return value
    raise _unfit(name, value, kind)


def from_text(text: str, kind: str, name: str) -> Any:
    """A value out of a file that a step wrote, or out of text that somebody typed.

    Raises:
        UsageError: The text is not of that type.
    """
    try:
        match kind:
            case "STRING":
                return text
            case "NUMBER_INTEGER":
                return int(text.strip())
            case "NUMBER_DOUBLE":
                return float(text.strip())
            case "BOOLEAN":
                return _truth(text)
            case _:
                return convert(json.loads(text), kind, name)
    except ValueError as error:
        raise _unfit(name, text, kind) from error


def to_text(value: Any) -> str:
    """A value inside a string: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return word in _TRUE


def _unfit(name: str, value: Any, kind: str) -> UsageError:
    wanted = _NAMES.get(kind, kind)
    hint = {"list": """write JSON: '[1, 2]'""", "dict": """write JSON: '{"a": 1}'"""}.get(
        wanted, ""
    )
    if kind.startswith("NUMBER") and isinstance(value, str) and _is_number(value, kind):
        # KFP's compiler takes the items of a plain `list` for text, and its backend holds to it.
        hint = "if it is an item of a loop over a list, say of what: list[float], not list"
    return UsageError(f"{name!r} is {value!r}, but must be {_article(wanted)}.", hint=hint)


def _is_number(text: str, kind: str) -> bool:
    try:
        (int if kind == "NUMBER_INTEGER" else float)(text)
    except ValueError:
        return False
    return True


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
