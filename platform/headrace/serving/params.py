"""A request's `params` against the signature's."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from headrace.registry.signatures import NUMPY_TYPES, Field, Signature
from headrace.serving.checks import check_column
from headrace.serving.refusal import Refusal, kind_of, near, show


def complete(signature: Signature, given: Any) -> dict[str, Any] | None:
    """Every parameter of the signature with its value; None if the request may share a call.

    That is: the model has no parameters, or the request sets none of them and defaults rule,
    in which case the caller fills them in with `defaults`.

    Raises:
        Refusal: A parameter that is unknown or of the wrong type.
    """
    if given is None or given == {}:
        return None
    if not isinstance(given, dict):
        what = "`params` is no object."
        raise Refusal(what=what, field="params", expected="an object", got=kind_of(given))
    known = {field.name: field for field in signature.params}
    for name in given:
        if name not in known:
            hint = near(name, [one for one in known if one]) or "The model takes no parameters."
            what = f"The model has no parameter {show(name)}."
            raise Refusal(what=what, field=name[:200], hint=hint)
    chosen = {name: _value(value, known[name]) for name, value in given.items()}
    return {**(defaults(signature) or {}), **chosen}


def defaults(signature: Signature) -> dict[str, Any] | None:
    """The parameters when a request sets none; None for a model without any."""
    if not signature.params:
        return None
    return {
        field.name: _value(field.default, field) if field.dtype == "datetime" else field.default
        for field in signature.params
        if field.name is not None
    }


def _value(value: Any, field: Field) -> Any:
    if field.nested or value is None:
        return value
    one = field.shape == ()
    if not one and not isinstance(value, list):
        what = f"Parameter {field.name!r} is no list."
        raise Refusal(what=what, field=field.name, expected="a list", got=kind_of(value))
    values = check_column([value] if one else value, field)
    typed = [_plain(each, field.dtype) for each in values]
    return typed[0] if one else typed


def _plain(value: Any, dtype: str) -> Any:
    """The Python value that MLflow hands to a model: its parameters are never NumPy's."""
    if value is None or dtype not in NUMPY_TYPES:
        return value
    if dtype == "datetime":
        moment: datetime.datetime = value.astype("datetime64[us]").item()
        return moment
    return float(value) if dtype in ("float", "double") else value


def merged(signature: Signature, chosen: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the model is called with: the request's parameters, or else the defaults."""
    return chosen if chosen is not None else defaults(signature)
