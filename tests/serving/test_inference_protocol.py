"""The Open Inference Protocol: what a client of version 2 gets."""

from __future__ import annotations

from typing import Any

import pytest

TENSOR = {"name": "input-0", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}


def test_a_server_says_what_it_is_and_that_it_lives(table_client: Any) -> None:
    told = table_client.ask("GET", "/v2").json()
    assert (told["name"], told["extensions"]) == ("headrace", [])
    assert table_client.ask("GET", "/v2/health/live").json() == {"live": True}
    assert table_client.ask("GET", "/v2/health/ready").json() == {"ready": True}


def test_until_the_model_is_there_the_server_lives_but_is_not_ready(serving: Any) -> None:
    client = serving(None)
    assert client.ask("GET", "/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/flights/ready", "/ping", "/health"):
        assert client.ask("GET", path).status_code == 503
    refused = client.infer({"inputs": [TENSOR]})
    assert refused.status_code == 503
    assert refused.json() == {
        "error": "The model is being loaded. Try again soon.",
        "hint": "Try again soon.",
    }


def test_metadata_has_a_tensor_for_each_column(table_client: Any) -> None:
    told = table_client.ask("GET", "/v2/models/flights").json()
    assert told == table_client.ask("GET", "/v2/models/flights/versions/7").json()
    assert told == {
        "name": "flights",
        "versions": ["7"],
        "platform": "mlflow_pytorch",
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [-1], "parameters": more}
            for name, datatype, more in (
                ("delay", "FP64", {"type": "double", "required": True}),
                ("seats", "INT64", {"type": "long", "required": True}),
                ("night", "BOOL", {"type": "boolean", "required": True}),
                ("carrier", "BYTES", {"type": "string", "required": True}),
                ("when", "BYTES", {"type": "datetime", "required": False}),
            )
        ],
        "outputs": [
            {
                "name": "score",
                "datatype": "FP64",
                "shape": [-1],
                "parameters": {"type": "double", "required": True},
            }
        ],
        "parameters": {"digest": "sha256:00", "uri": "models:/flights/7", "run_id": "r1"},
    }


@pytest.mark.parametrize(
    "path", ["/v2/models/flights/infer", "/v2/models/flights/versions/7/infer"]
)
def test_columns_travel_as_tensors(table_client: Any, path: str) -> None:
    body = {
        "id": "42",
        "inputs": [
            {"name": "seats", "shape": [2], "datatype": "INT32", "data": [10, 20]},
            {"name": "delay", "shape": [2, 1], "datatype": "FP64", "data": [[0.5], [1.5]]},
            {"name": "night", "shape": [2], "datatype": "BOOL", "data": [True, False]},
            {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", "B6"]},
        ],
        "outputs": [{"name": "score"}],
    }
    answer = table_client.ask("POST", path, json=body)
    assert answer.json() == {
        "model_name": "flights",
        "model_version": "7",
        "id": "42",
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [2], "data": [11.0, 23.0]}],
    }


def test_the_models_parameters_come_from_the_requests(table_client: Any, row: Any) -> None:
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [row()[name]]}
        for name, datatype in (
            ("delay", "FP64"),
            ("seats", "INT64"),
            ("night", "BOOL"),
            ("carrier", "BYTES"),
        )
    ]
    body = {"inputs": inputs, "parameters": {"factor": 4, "something_of_a_client": "x"}}
    assert table_client.infer(body).json()["outputs"][0]["data"] == [16.0]


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_a_tensor_may_be_flat_or_nested(tensor_client: Any, data: Any) -> None:
    answer = tensor_client.infer({"inputs": [TENSOR | {"data": data}]})
    assert answer.json() == {
        "model_name": "flights",
        "model_version": "7",
        "outputs": [
            {"name": "output-0", "datatype": "FP32", "shape": [2, 2], "data": [0.5, 1.0, 2.0, 2.5]}
        ],
    }


def test_missing_numbers_go_in_and_out_as_null(tensor_client: Any) -> None:
    body = b'{"inputs":[{"name":"input-0","shape":[1,3],"datatype":"FP32","data":[null,NaN,1]}]}'
    answer = tensor_client.ask("POST", "/v2/models/flights/infer", content=body)
    assert answer.json()["outputs"][0]["data"] == [None, None]


def test_a_draining_server_is_not_ready_and_tells_clients_to_close(tensor_client: Any) -> None:
    tensor_client.application.draining = True
    assert tensor_client.ask("GET", "/v2/health/ready").status_code == 503
    answer = tensor_client.infer({"inputs": [TENSOR]})
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_metrics_count_requests_errors_and_batches(tensor_client: Any) -> None:
    tensor_client.infer({"inputs": [TENSOR]})
    tensor_client.infer({"inputs": []})
    tensor_client.infer({"inputs": [TENSOR | {"data": [13, 0, 0, 0, 0, 0]}]})
    text = tensor_client.ask("GET", "/metrics").text
    for line in (
        'headrace_requests_total{code="200",endpoint="infer"} 1.0',
        'headrace_requests_total{code="400",endpoint="infer"} 1.0',
        'headrace_requests_total{code="500",endpoint="infer"} 1.0',
        'headrace_errors_total{cause="input"} 1.0',
        'headrace_errors_total{cause="model"} 1.0',
        'headrace_request_seconds_count{endpoint="infer"} 3.0',
        "headrace_batch_rows_sum 2.0",
        "headrace_predict_seconds_count 1.0",
        "headrace_queued_requests 0.0",
        "headrace_ready 1.0",
        'headrace_model_info{digest="sha256:00",name="flights",version="7"} 1.0',
    ):
        assert line in text.splitlines()
