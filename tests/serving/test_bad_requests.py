"""A wrong request is answered with what is wrong: the field, what was expected, what came."""

from __future__ import annotations

import logging
from typing import Any

import pytest

FLOATS = {"name": "input-0", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def refused(answer: Any, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status
    told: dict[str, Any] = answer.json()
    for key in ("error_code", "message"):
        told.pop(key, None)
    return told


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"shape": None}, "`inputs['input-0'].shape` is missing.", "inputs['input-0'].shape"),
        ({"shape": [-1, 3]}, "`inputs['input-0'].shape` is wrong.", "inputs['input-0'].shape"),
        ({"shape": [2, 3]}, "has not as many elements as its shape says. Expected 6", "input-0"),
        ({"shape": [3]}, "has the wrong shape. Expected [-1, 3], got [3].", "input-0"),
        ({"data": [[1, 2], [3]]}, "is ragged: at depth 1", "input-0"),
        ({"data": [[1], [2], [3]]}, "Expected [1, 3], got [3, 1].", "input-0"),
        ({"data": ["1", 2, 3]}, "Expected numbers, got the string '1'.", "input-0"),
        ({"data": [True, 2, 3]}, "Expected numbers, got the boolean true.", "input-0"),
        ({"data": [1e300, 2, 3]}, "Expected float32 (up to 3.403e+38)", "input-0"),
        ({"data": 5}, "`inputs['input-0'].data` is wrong.", "inputs['input-0'].data"),
        ({"datatype": "FP64"}, "has the wrong datatype. Expected FP32, got FP64.", "input-0"),
        ({"datatype": "BOOL"}, "has the wrong datatype. Expected FP32, got BOOL.", "input-0"),
        ({"datatype": "FLOAT"}, "datatype` is wrong.", "inputs['input-0'].datatype"),
        ({"datatype": ["FP32"]}, "datatype` is wrong.", "inputs['input-0'].datatype"),
        ({"name": "input"}, "The model has no input 'input'.", "input"),
        ({"name": 3}, "`inputs[0]` is wrong.", "inputs[0]"),
    ],
)
def test_a_wrong_tensor_is_named(
    tensor_client: Any, change: dict[str, Any], error: str, field: str
) -> None:
    told = refused(tensor_client.infer({"inputs": [FLOATS | change]}))
    assert error in told["error"]
    assert told["field"] == field


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"delay": ...},
            {
                "error": "Input 'delay' is missing. Expected a column of type double, got none.",
                "field": "delay",
                "expected": "a column of type double",
                "got": "none",
            },
        ),
        (
            {"delay": ..., "dellay": 1.0},
            {
                "error": "The model has no input 'dellay'. Did you mean 'delay'?",
                "field": "dellay",
                "hint": "Did you mean 'delay'?",
            },
        ),
        (
            {"seats": 10.5},
            {
                "error": "Input 'seats', position 0, has a value of the wrong type or size."
                " Expected integers, got the number 10.5.",
                "field": "seats",
                "expected": "integers",
                "got": "the number 10.5",
            },
        ),
        (
            {"night": None},
            {
                "error": "Input 'night', position 0, has a value of the wrong type or size."
                " Expected true or false, got null.",
                "field": "night",
                "expected": "true or false",
                "got": "null",
            },
        ),
        (
            {"carrier": 9},
            {
                "error": "Input 'carrier', position 0, has a value of the wrong type or size."
                " Expected strings, got the number 9.",
                "field": "carrier",
                "expected": "strings",
                "got": "the number 9",
            },
        ),
        (
            {"when": "2013-01-01T00:00:00Z"},
            {
                "error": "Input 'when', position 0, has a value of the wrong type or size."
                " Expected a time as '2013-01-31T05:15:00', without a zone,"
                " got the string '2013-01-01T00:00:00Z'.",
                "field": "when",
                "expected": "a time as '2013-01-31T05:15:00', without a zone",
                "got": "the string '2013-01-01T00:00:00Z'",
            },
        ),
    ],
)
def test_a_wrong_column_is_named(
    table_client: Any, row: Any, change: dict[str, Any], told: dict[str, Any]
) -> None:
    assert refused(table_client.invoke({"dataframe_records": [row(**change)]})) == told


def test_rows_that_differ_are_named(table_client: Any) -> None:
    body = {"inputs": {"delay": [1.0, 2.0], "seats": [1], "night": [True], "carrier": ["UA"]}}
    assert refused(table_client.invoke(body)) == {
        "error": "Inputs 'delay' and 'seats' differ in their number of rows."
        " Expected 2 rows, got 1.",
        "field": "seats",
        "expected": "2 rows",
        "got": "1",
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "The body is not valid JSON"),
        (b"{", "The body is not valid JSON"),
        (b'{"a": "\xff"}', "The body is not valid JSON"),
        (b'{"a": NaN, "b": "\\ud800"}', "The body is not valid JSON"),
        (b"[]", "The body is no JSON object. Expected an object, got a list of 0."),
        (b"{}", "Expected exactly one of dataframe_split, dataframe_records, instances, inputs"),
        (b'{"instances": [], "inputs": []}', "got instances, inputs."),
        (b'{"instanses": []}', "unknown key 'instanses'. Did you mean 'instances'?"),
        (b'{"dataframe_split": {"data": [[1], [1, 2]]}}', "`dataframe_split.data[1]` is wrong."),
        (b'{"dataframe_split": {"rows": []}}', "`dataframe_split` has an unknown key 'rows'."),
        (b'{"dataframe_records": {"a": 1}}', "`dataframe_records` is wrong."),
        (b'{"dataframe_records": [{"a": 1}, {"b": 1}]}', "`dataframe_records` is uneven: row 1"),
        (b'{"inputs": {"delay": 1, "seats": [1]}}', "`inputs.delay` is wrong. Expected a list"),
    ],
)
def test_a_malformed_body_is_explained(table_client: Any, body: bytes, error: str) -> None:
    told = refused(table_client.ask("POST", "/invocations", content=body))
    assert error in told["error"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"factr": 1}, "The model has no parameter 'factr'. Did you mean 'factor'?"),
        ({"factor": "x"}, "Expected numbers, got the string 'x'."),
        ([1], "`params` is no object. Expected an object, got a list of 1."),
    ],
)
def test_a_wrong_parameter_is_named(table_client: Any, row: Any, params: Any, told: str) -> None:
    body = {"dataframe_records": [row()], "params": params}
    assert told in refused(table_client.invoke(body))["error"]


def test_an_unknown_output_is_named(tensor_client: Any) -> None:
    body = {"inputs": [FLOATS], "outputs": [{"name": "output-9"}]}
    assert refused(tensor_client.infer(body)) == {
        "error": "The model has no output 'output-9'. Did you mean 'output-0'?",
        "field": "output-9",
        "hint": "Did you mean 'output-0'?",
    }


def test_mlflows_clients_find_their_own_keys(table_client: Any) -> None:
    told = table_client.invoke({}).json()
    assert told["error_code"] == "BAD_REQUEST"
    assert told["message"] == told["error"]


def test_an_unknown_model_is_told_what_is_served(tensor_client: Any) -> None:
    for path in ("/v2/models/flight/infer", "/v2/models/flights/versions/8/infer"):
        assert refused(tensor_client.ask("POST", path, json={}), 404) == {
            "error": f"No such model, version or action here: '{path}'."
            " This server holds flights, version 7, at /v2/models/flights.",
            "hint": "This server holds flights, version 7, at /v2/models/flights.",
        }


def test_an_unknown_path_gets_its_near_misses(tensor_client: Any) -> None:
    assert refused(tensor_client.ask("POST", "/invocation"), 404) == {
        "error": "Nothing is at '/invocation'. Did you mean '/invocations'?",
        "hint": "Did you mean '/invocations'?",
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/invocations", "POST"), ("PUT", "/v2", "GET"), ("POST", "/metrics", "GET")],
)
def test_a_wrong_method_is_told_the_right_one(
    tensor_client: Any, method: str, path: str, allowed: str
) -> None:
    answer = tensor_client.ask(method, path)
    assert answer.headers["allow"] == allowed
    assert refused(answer, 405) == {
        "error": f"The method is wrong. Expected {allowed}, got {method}.",
        "expected": allowed,
        "got": method,
    }


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=latin-1"])
def test_another_content_type_is_refused(tensor_client: Any, content_type: str) -> None:
    answer = tensor_client.ask(
        "POST", "/invocations", content=b"{}", headers={"content-type": content_type}
    )
    assert refused(answer, 415)["field"] == "content-type"


def test_a_body_that_is_too_large_is_refused_and_its_connection_closed(tensor_client: Any) -> None:
    answer = tensor_client.ask("POST", "/invocations", content=b" " * 10_001)
    assert answer.headers["connection"] == "close"
    assert refused(answer, 413) == {
        "error": "The body is too large. Expected at most 10000 bytes. Send fewer rows at a time.",
        "expected": "at most 10000 bytes",
        "hint": "Send fewer rows at a time.",
    }


def test_binary_tensors_are_declined(tensor_client: Any) -> None:
    answer = tensor_client.ask(
        "POST",
        "/v2/models/flights/infer",
        content=b"{}",
        headers={"inference-header-content-length": "2"},
    )
    assert refused(answer)["error"] == "Binary tensors are not spoken here. Send data as JSON."


def test_a_models_own_failure_is_a_500_whose_traceback_stays_in_the_log(
    tensor_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    answer = tensor_client.infer({"inputs": [FLOATS | {"data": [13, 0, 0]}]})
    assert answer.status_code == 500
    assert answer.json() == {"error": "The model failed: ValueError: bad luck"}
    assert 'raise ValueError("bad luck")' in caplog.text


def test_a_result_that_json_cannot_hold_is_a_500(serving: Any, models: Any) -> None:
    client = serving(models.make(models.tensors, lambda array, params: object()))
    answer = client.invoke({"inputs": [[1, 2, 3]]})
    assert answer.status_code == 500
    assert answer.json()["error"] == "The model returned object, which JSON cannot hold."


def test_a_model_that_exits_does_not_take_the_server_along(serving: Any, models: Any) -> None:
    def leave(array: Any, params: Any) -> Any:
        raise SystemExit(3)

    client = serving(models.make(models.tensors, leave))
    answer = client.invoke({"inputs": [[1, 2, 3]]})
    assert (answer.status_code, answer.json()["error"]) == (500, "The model failed: SystemExit: 3")
