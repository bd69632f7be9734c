"""MLflow's `/invocations`: every form of the same rows gets the same predictions."""

from __future__ import annotations

from typing import Any

import pytest

SPLIT = {
    "columns": ["carrier", "delay", "seats", "night"],
    "data": [["UA", 0.5, 10, True], ["B6", 1.5, 20, False]],
}
RECORDS = [dict(zip(SPLIT["columns"], line, strict=True)) for line in SPLIT["data"]]
COLUMNS = {name: [record[name] for record in RECORDS] for name in SPLIT["columns"]}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": SPLIT | {"index": [0, 1]}},
        {"dataframe_split": SPLIT | {"index": ["x", "y"]}},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"inputs": RECORDS},
        {"inputs": COLUMNS},
        {"instances": COLUMNS},
        {"dataframe_records": RECORDS, "params": None},
        {"dataframe_records": RECORDS, "params": {"factor": 2.0}},
    ],
)
def test_a_table_comes_in_many_forms(table_client: Any, body: dict[str, Any]) -> None:
    assert table_client.invoke(body).json() == {"predictions": [{"score": 11.0}, {"score": 23.0}]}


def test_one_row_may_be_an_object_of_values(table_client: Any) -> None:
    answer = table_client.invoke({"inputs": RECORDS[0]})
    assert answer.json() == {"predictions": [{"score": 11.0}]}


def test_parameters_reach_the_model(table_client: Any) -> None:
    answer = table_client.invoke({"dataframe_records": RECORDS[:1], "params": {"factor": 10}})
    assert answer.json() == {"predictions": [{"score": 15.0}]}


def test_an_optional_column_may_be_there_and_have_gaps(table_client: Any) -> None:
    records = [
        record | {"when": when} for record, when in zip(RECORDS, ["2013-01-01", None], strict=True)
    ]
    assert table_client.invoke({"dataframe_records": records}).status_code == 200


def test_csv_is_read_by_the_signatures_types(table_client: Any) -> None:
    body = "seats,delay,night,carrier\n10,0.5,true,UA\n20,1.5,False,\n"
    answer = table_client.ask(
        "POST", "/invocations", content=body, headers={"content-type": "text/csv; charset=UTF-8"}
    )
    assert answer.json() == {"predictions": [{"score": 11.0}, {"score": 23.0}]}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "The CSV is empty."),
        (b"\xff\xfe", "The body is no CSV"),
        (b"delay,delay\n1,2\n", "`header` is wrong. Expected names that differ"),
        (b"delay,seats\n1\n", "`line 2` is wrong. Expected 2 cells"),
        (b"delay\nsoon\n", "Column 'delay', row 0, has a cell of the wrong type. Expected double"),
        (b"delay\n1\n", "Input 'seats' is missing."),
    ],
)
def test_wrong_csv_is_explained(table_client: Any, body: bytes, error: str) -> None:
    answer = table_client.ask(
        "POST", "/invocations", content=body, headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 400
    assert error in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [[1, 2, 3], [4, 5, 6]]},
        {"instances": [[1, 2, 3], [4, 5, 6]]},
        {"dataframe_split": {"data": [[1, 2, 3], [4, 5, 6]]}},
        {"dataframe_split": {"columns": ["x"], "data": [[[1, 2, 3]], [[4, 5, 6]]]}},
        {"dataframe_records": [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 6}]},
    ],
)
def test_a_tensor_comes_in_many_forms(tensor_client: Any, body: dict[str, Any]) -> None:
    assert tensor_client.invoke(body).json() == {"predictions": [[0.5, 1.0], [2.0, 2.5]]}


def test_mlflows_small_endpoints_answer(tensor_client: Any) -> None:
    for path in ("/ping", "/health"):
        answer = tensor_client.ask("GET", path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert tensor_client.ask("GET", "/version").text.count(".") == 2
