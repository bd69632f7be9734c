"""A step's signature as KFP must see it: annotations evaluated, the Spark session left out."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from headrace.core.errors import UsageError


def resolved_signature(function: Callable[..., Any], *, session: bool) -> inspect.Signature:
    """The signature of `function` with real annotations.

    Args:
        function: A step's plain function.
        session: Whether its first parameter is a Spark session, which is no input of the step.

    Raises:
        UsageError: A parameter without an annotation, or one that cannot be evaluated.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if session:
        if not parameters:
            raise _wrong(function, "takes no parameters, but a Spark step's first is the session")
        parameters = parameters[1:]
    resolved = [one.replace(annotation=_resolved(function, one)) for one in parameters]
    returned = signature.return_annotation
    if isinstance(returned, str):
        returned = _evaluated(function, "the return value", returned)
    if hasattr(returned, "_fields"):
        # KFP reads a named tuple's fields straight from the class, where a module that
        # postpones annotations has left texts.
        for name, annotation in returned.__annotations__.items():
            text = getattr(annotation, "__forward_arg__", annotation)
            if isinstance(text, str):
                what = f"the field {name!r} of what it returns"
                returned.__annotations__[name] = _evaluated(function, what, text)
    return signature.replace(
        parameters=resolved,
        return_annotation=inspect.Signature.empty if returned is None else returned,
    )


def _resolved(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise _wrong(function, f"takes {parameter}, but a step's inputs must be named one by one")
    if parameter.annotation is parameter.empty:
        raise _wrong(
            function,
            f"does not say what its parameter {parameter.name!r} is",
            f"annotate it: {parameter.name}: str (or int, float, bool, list, dict, "
            "Input[Dataset], Output[Model], …)",
        )
    if isinstance(parameter.annotation, str):
        return _evaluated(function, f"parameter {parameter.name!r}", parameter.annotation)
    return parameter.annotation


def _evaluated(function: Callable[..., Any], what: str, annotation: str) -> Any:
    # The text is the user's own source, which Python itself evaluates for `get_type_hints`.
    module = sys.modules.get(function.__module__)
    names = {**getattr(function, "__globals__", {}), **vars(module or object)}
    try:
        return eval(annotation, names)  # noqa: S307
    except Exception as error:
        raise _wrong(
            function,
            f"annotates {what} with {annotation!r}, which cannot be evaluated ({error})",
            "import the names that annotations use at module level, not under TYPE_CHECKING",
        ) from error


def _wrong(function: Callable[..., Any], what: str, hint: str = "") -> UsageError:
    line = function.__code__.co_firstlineno
    return UsageError(
        f"The step {function.__name__!r} {what}.",
        where=f"{function.__code__.co_filename}:{line}",
        hint=hint,
    )
