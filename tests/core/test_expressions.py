"""The language of conditions and gates, against an evaluator that shares nothing with it."""

import math
import re
from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.core.errors import UsageError
from headrace.core.expressions import Expression, compile_expression

# Trees as nested tuples, made at random: ("value", v), ("name", n), (operator, a, b),
# ("!", a), ("-", a), (cast, a). Each is written out as text and computed by Python itself.
NAMES = {
    "auc": 0.75, "champion.auc": 0.5, "count": 3, "kind": "it's", "ready": True,
    "inputs.parameter_values.x-y": -2,
}  # fmt: skip
COMPARISONS = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
ARITHMETIC = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}  # fmt: skip
NUMBERS = st.one_of(st.integers(0, 99), st.sampled_from([0.5, 1.0, 2.25, 1e-3, 1.5e9]))
TEXTS = st.text(max_size=8)

numeric = st.deferred(lambda: st.one_of(
    NUMBERS.map(lambda v: ("value", v)),
    st.sampled_from(["auc", "champion.auc", "count", "inputs.parameter_values.x-y"]).map(
        lambda n: ("name", n)
    ),
    st.tuples(st.sampled_from(sorted(ARITHMETIC)), numeric, numeric),
    st.tuples(st.just("neg"), numeric),
    st.tuples(st.sampled_from(["double", "int"]), numeric),
))  # fmt: skip
textual = st.one_of(
    TEXTS.map(lambda v: ("value", v)), st.just(("name", "kind")),
    st.tuples(st.just("string"), st.integers(0, 99).map(lambda v: ("value", v))),
)  # fmt: skip
logical = st.deferred(lambda: st.one_of(
    st.booleans().map(lambda v: ("value", v)),
    st.just(("name", "ready")),
    st.tuples(st.sampled_from(sorted(COMPARISONS)), numeric, numeric),
    st.tuples(st.sampled_from(sorted(COMPARISONS)), textual, textual),
    st.tuples(st.sampled_from(["==", "!="]), logical, logical),
    st.tuples(st.sampled_from(["and", "or"]), logical, logical),
    st.tuples(st.just("not"), logical),
))  # fmt: skip


def quoted(text: str, quote: str) -> str:
    for character, escape in (("\\", "\\\\"), (quote, f"\\{quote}"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escape)
    return f"{quote}{text}{quote}"


def written(tree, draw) -> str:
    """The tree as text, in one of the ways in which it may be written, every part in brackets."""
    match tree:
        case ("value", bool(value)):
            return draw(st.sampled_from([str(value), str(value).lower()]))
        case ("value", str(value)):
            return quoted(value, draw(st.sampled_from("'\"")))
        case ("value", value):
            return repr(value)
        case ("name", name):
            root, _, rest = name.rpartition(".")
            return f"{root}['{rest}']" if "-" in rest else name
        case ("not", inner):
            return f"{draw(st.sampled_from(['not ', '!']))}({written(inner, draw)})"
        case ("neg", inner):
            return f"-({written(inner, draw)})"
        case (cast, inner):
            return f"{cast}({written(inner, draw)})"
        case (op, left, right):
            ways = {"and": ["and", "&&"], "or": ["or", "||"]}.get(op, [op])
            spelled = draw(st.sampled_from(ways))
            space = draw(st.sampled_from([" ", "  ", "\n"]))
            return f"({written(left, draw)}){space}{spelled}{space}({written(right, draw)})"


def computed(tree):
    match tree:
        case ("value", value):
            return value
        case ("name", name):
            return NAMES[name]
        case ("not", inner):
            return not computed(inner)
        case ("neg", inner):
            return -computed(inner)
        case ("int", inner):
            return int(computed(inner))
        case ("double", inner):
            return float(computed(inner))
        case ("string", inner):
            return str(computed(inner))
        case ("and", left, right):
            return computed(left) and computed(right)
        case ("or", left, right):
            return computed(left) or computed(right)
        case (op, left, right):
            return ({**COMPARISONS, **ARITHMETIC})[op](computed(left), computed(right))


@settings(max_examples=400, deadline=None)
@given(st.one_of(logical, numeric), st.data())
def test_values(tree, data):
    """Any tree has the value that Python gives it, however it is written."""
    text = written(tree, data.draw)
    try:
        wanted = computed(tree)
    except (ZeroDivisionError, OverflowError, ValueError):
        with pytest.raises(UsageError):
            compile_expression(text).evaluate(NAMES)
        return
    assume(not isinstance(wanted, float) or math.isfinite(wanted))
    found = compile_expression(text).evaluate(NAMES)
    assert (found, type(found)) == (wanted, type(wanted))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.sampled_from("'\""))
def test_any_text_between_quotes(text, quote):
    """Escaped, a text comes through with whatever is in it: quotes, operators, line ends."""
    parsed = compile_expression(f"x == {quoted(text, quote)} && y")
    assert parsed.evaluate({"x": text, "y": True}) is True
    assert parsed.evaluate({"x": text + "'", "y": True}) is False


@settings(max_examples=500, deadline=None)
@given(st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([
        "a", "1", "2.5", "'", '"', "(", ")", "and", "or", "not", "&&", "||", "!", "==", "<", ">=",
        "-", "+", "*", "/", ".", "[", "]", " ", "\\", "int", "string", "true", "1e999", "٣", "\0",
    ]), max_size=12).map("".join),
))  # fmt: skip
def test_any_text_is_an_expression_or_a_mistake_of_its_author(text):
    try:
        parsed = compile_expression(text)
    except UsageError as error:
        assert error.what.startswith(f"The expression {text!r} cannot be read: ")
        return
    assert isinstance(parsed, Expression)
    with suppress(UsageError, KeyError):
        parsed.evaluate({})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(" * 100_000, "it is nested too deeply"),
        ("(" * 60 + "1" + ")" * 60, "it is nested too deeply"),
        ("int(" * 60 + "1" + ")" * 60, "it is nested too deeply"),
        ("!" * 100_000 + "a", "it has more than 200 operators"),
        ("-" * 100_000 + "1", "it has more than 200 operators"),
        (" and ".join(["a < 1"] * 200), "it has more than 200 operators"),
    ],
)  # fmt: skip
def test_what_is_too_large(text, why):
    with pytest.raises(UsageError, match=rf"cannot be read: {why}\."):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", [" and ".join(["a < 1"] * 100), "not " * 199 + "b", "(" * 50 + "a < 1" + ")" * 50]
)
def test_what_is_not_too_large(text):
    assert compile_expression(text).evaluate({"a": 0, "b": False}) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("10 - 4 - 3", 3), ("8 / 4 / 2", 1.0),
        ("-2 * 3", -6), ("- -2", 2), ("2 - -2", 4), ("1 + 1 == 2", True),
        ("1 < 2 and 2 < 3 or false", True), ("true or false and false", True),
        ("(true or false) and false", False), ("not 1 == 2", True), ("!(1 == 2) && true", True),
        ("not true and false", False), ("not (true and false)", True), ("!!true", True),
        ("1 == 1.0", True), ("true == 1", False), ("true != 1", True), ("'1' == 1", False),
        ("'a' < 'b'", True), ("int('7') == 7", True), ("string(7) == '7'", True),
        ("string(true) == 'true'", True), ("bool('true')", True), ("bool('no')", False),
        ("double('1.5') == 1.5", True), (".5 == 0.5", True), ("1e3 == 1000", True),
        ("int(3.7) == 3", True), ("1 == 1 == true", True),
    ],
)  # fmt: skip
def test_precedence_and_types(text, value):
    assert compile_expression(text).evaluate({}) == value


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("auc >= champion.auc and auc > 0.7", {"auc", "champion.auc"}),
        ("inputs.parameter_values['pipelinechannel--t'] == 'it's'",
         {"inputs.parameter_values.pipelinechannel--t"}),
        ('a["b c"].d > int(e)', {"a.b c.d", "e"}),
        ("'a.b' == 'c'", set()),
        ("true and False", set()),
    ],
)  # fmt: skip
def test_names(text, names):
    assert compile_expression(text).names == names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected a name or a value, found 'the end'"),
        ("auc >=", "expected a name or a value, found 'the end'"),
        ("auc >= )", "expected a name or a value, found ')'"),
        ("(auc", "expected ')', found 'the end'"),
        ("auc auc", "unexpected 'auc'"),
        ("auc = 1", "unexpected '='"),
        ("auc > 1 ?", "unexpected '?'"),
        ("'open", "the string that begins at character 1 has no end"),
        ("a == 'open", "the string that begins at character 6 has no end"),
        ("a.", "expected a name after 'a'"),
        ("a[b]", "expected a name after 'a'"),
        ("a.1", "unexpected '.1'"),
        ("f(1)", "unexpected '('"),
        ("__import__('os').system('x')", "unexpected '('"),
    ],
)
def test_what_cannot_be_read(text, why):
    with pytest.raises(UsageError) as wrong:
        compile_expression(text)
    assert str(wrong.value) == (
        f"The expression {text!r} cannot be read: {why}.\n"
        "  try: write comparisons joined by and/or/not, such as: auc >= champion.auc"
    )


@pytest.mark.parametrize(
    ("text", "values", "why"),
    [
        ("a > b", {"a": 1, "b": "x"}, "> does not take 1 (int) and 'x' (str)"),
        ("a > b", {"a": None, "b": 1}, "> does not take None (NoneType) and 1 (int)"),
        ("a + b", {"a": [], "b": 1}, "+ does not take [] (list) and 1 (int)"),
        ("a / b", {"a": 1, "b": 0}, "/ does not take 1 (int) and 0 (int)"),
        ("-a", {"a": "x"}, "- does not take 'x' (str)"),
        ("int(a)", {"a": "x"}, "int does not take 'x' (str)"),
        ("double(a)", {"a": {}}, "double does not take {} (dict)"),
        ("int(a)", {"a": math.inf}, "int does not take inf (float)"),
    ],
)
def test_operands_that_do_not_fit(text, values, why):
    with pytest.raises(UsageError) as wrong:
        compile_expression(text).evaluate(values)
    assert str(wrong.value) == f"In {text!r}: {why}."


def test_a_name_without_a_value():
    with pytest.raises(KeyError, match=re.escape("'champion.auc'")):
        compile_expression("auc > champion.auc").evaluate({"auc": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auc >= champion.auc", True),
        ("champion.auc <= auc", True),
        ("auc >= champion.auc + 0.01", True),
        ("auc >= champion.auc and auc > 0.7", True),
        ("auc >= champion.auc and auc > 0.9", False),
        ("auc > 0.9 or auc >= champion.auc", True),
        ("not auc < champion.auc", False),
        ("auc > 0.7", True),
    ],
)
def test_waived_comparisons(text, value):
    """A comparison with what is known to be absent counts as true; all others still count."""
    assert compile_expression(text).evaluate({"auc": 0.8}, waive=["champion."]) is value


def test_only_what_is_waived_is():
    with pytest.raises(KeyError):
        compile_expression("auc > champions.auc").evaluate({"auc": 1}, waive=["champion."])
