"""Values of parameters: out of text that somebody typed, and from type to type."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compiling.pipeline import ParameterSpec
from headrace.core.errors import UsageError
from headrace.running.parameters import (
    check_arguments,
    convert,
    from_text,
    parse_arguments,
    to_text,
)


def spec(kind, default=None, optional=False):
    return ParameterSpec(type=kind, default=default, optional=optional, description="")


SPECS = {
    "text": spec("STRING"),
    "epochs": spec("NUMBER_INTEGER", default=3, optional=True),
    "rate": spec("NUMBER_DOUBLE", default=0.5, optional=True),
    "flag": spec("BOOLEAN", default=False, optional=True),
    "items": spec("LIST", default=None, optional=True),
    "table": spec("STRUCT", default={"a": 1}, optional=True),
}


def test_what_is_typed():
    typed = [
        "text=a=b c", "epochs= 7", "rate=1e-3", "flag=Yes", 'items=[1, 2.0, "x"]',
        'table={"a": {"b": [1.0]}}',
    ]  # fmt: skip
    assert parse_arguments(typed, SPECS) == {
        "text": "a=b c", "epochs": 7, "rate": 0.001, "flag": True, "items": [1, 2, "x"],
        "table": {"a": {"b": [1]}},
    }  # fmt: skip


def test_nothing_typed():
    assert parse_arguments([], SPECS) == {}
    assert parse_arguments(["text="], SPECS) == {"text": ""}


def test_the_last_word_counts():
    assert parse_arguments(["epochs=1", "epochs=2"], SPECS) == {"epochs": 2}


@pytest.mark.parametrize(
    ("pair", "what", "hint"),
    [
        ("epochs", "'epochs' is not name=value.", "for example: -p epochs=3"),
        ("epoch=3", "The pipeline has no parameter 'epoch'.", "Did you mean 'epochs'?"),
        ("zzz=3", "The pipeline has no parameter 'zzz'.",
         "There is: epochs, flag, items, rate, table, text."),
        ("epochs=three", "'epochs' is 'three', but must be an int.", ""),
        ("epochs=3.5", "'epochs' is '3.5', but must be an int.", ""),
        ("rate=fast", "'rate' is 'fast', but must be a float.", ""),
        ("flag=maybe", "'flag' is 'maybe', but must be a bool.", ""),
        ("items=1,2", "'items' is '1,2', but must be a list.", "write JSON: '[1, 2]'"),
        ('items={"a": 1}', "'items' is {'a': 1}, but must be a list.", "write JSON: '[1, 2]'"),
        ("table=[1]", "'table' is [1], but must be a dict.", """write JSON: '{"a": 1}'"""),
        ("=3", "The pipeline has no parameter ''.",
         "There is: epochs, flag, items, rate, table, text."),
    ],
)  # fmt: skip
def test_what_cannot_be_taken(pair, what, hint):
    with pytest.raises(UsageError) as wrong:
        parse_arguments([pair], SPECS)
    assert (wrong.value.what, wrong.value.where, wrong.value.hint) == (what, (), hint)


def test_a_pipeline_without_parameters():
    with pytest.raises(UsageError) as wrong:
        parse_arguments(["a=1"], {})
    assert str(wrong.value) == ("The pipeline has no parameter 'a'.\n  try: it takes no parameters")


def test_defaults_are_filled_in():
    assert check_arguments({"text": "x", "rate": 2}, SPECS) == {
        "text": "x", "epochs": 3, "rate": 2.0, "flag": False, "items": None, "table": {"a": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "what", "hint"),
    [
        ({}, "The pipeline needs a value for text.", "-p text=…"),
        ({"text": "x", "epoch": 1}, "The pipeline has no parameter 'epoch'.",
         "Did you mean 'epochs'?"),
        ({"text": "x", "epochs": "3"}, "'epochs' is '3', but must be an int.",
         "if it is an item of a loop over a list, say of what: list[float], not list"),
        ({"text": "x", "epochs": True}, "'epochs' is True, but must be an int.", ""),
        ({"text": "x", "flag": 1}, "'flag' is 1, but must be a bool.", ""),
        ({"text": "x", "items": (1,)}, "'items' is (1,), but must be a list.",
         "write JSON: '[1, 2]'"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(given, what, hint):
    with pytest.raises(UsageError) as wrong:
        check_arguments(given, SPECS)
    assert (wrong.value.what, wrong.value.hint) == (what, hint)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5),
              st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=3),
    max_leaves=8,
)  # fmt: skip
VALUES = {
    "STRING": st.text(max_size=20),
    "NUMBER_INTEGER": st.integers(),
    "NUMBER_DOUBLE": st.floats(allow_nan=False),
    "BOOLEAN": st.booleans(),
    "LIST": st.lists(plain, max_size=4),
    "STRUCT": st.dictionaries(st.text(max_size=4), plain, max_size=4),
}


def same(a, b):
    """Equal, with 1 and 1.0 the same number and True another thing."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k])))
def test_there_and_back(pair):
    """A value written as text, as a step or a person writes it, is that value again."""
    kind, value = pair
    assert same(from_text(to_text(value), kind, "x"), value)
    assert same(parse_arguments([f"x={to_text(value)}"], {"x": spec(kind)})["x"], value)


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k])))
def test_what_protobuf_does_to_numbers_is_undone(pair):
    """In a compiled pipeline every number is a double; the type tells what it was."""
    kind, value = pair

    def doubled(one):
        if isinstance(one, bool):
            return one
        if isinstance(one, int):
            return float(one) if abs(one) <= 2**53 else one
        if isinstance(one, list):
            return [doubled(inner) for inner in one]
        if isinstance(one, dict):
            return {key: doubled(inner) for key, inner in one.items()}
        return one

    found = convert(doubled(value), kind, "x")
    assert same(found, value)
    assert isinstance(found, type(value))


@given(st.one_of(plain, st.floats()))
def test_text_takes_anything_as_json(value):
    found = convert(value, "STRING", "x")
    assert found == (value if isinstance(value, str) else json.dumps(value))


@given(st.sampled_from(sorted(VALUES)), st.one_of(plain, st.floats()))
def test_a_value_fits_or_is_refused(kind, value):
    try:
        found = convert(value, kind, "x")
    except UsageError as error:
        assert error.what.startswith(f"'x' is {value!r}, but must be a")
        return
    wanted = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool,
              "LIST": list, "STRUCT": dict}[kind]  # fmt: skip
    assert type(found) is wanted


@given(st.text(max_size=20), st.sampled_from(sorted(VALUES)))
def test_any_text_fits_or_is_refused(text, kind):
    try:
        from_text(text, kind, "x")
    except UsageError as error:
        assert error.what.startswith("'x' is ")


def test_very_long_numbers():
    with pytest.raises(UsageError):
        from_text("9" * 10_000, "NUMBER_INTEGER", "x")
    assert from_text("inf", "NUMBER_DOUBLE", "x") == math.inf
    with pytest.raises(UsageError):
        convert(math.inf, "NUMBER_INTEGER", "x")
