"""What is served is what MLflow computes, bit by bit: for each flavor, form and path.

The reference is `mlflow.pyfunc.load_model(...).predict(...)` on the data itself, and MLflow's
own scoring server on the same bodies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.engine


def table(rows: int = 6) -> Any:
    import pandas as pd

    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "delay": draw.normal(size=rows),
            "seats": draw.integers(0, 400, rows),
            "night": draw.integers(0, 2, rows).astype(bool),
        }
    )


def save_sklearn(path: str, **more: Any) -> Any:
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    data = table(40)
    model = LogisticRegression().fit(data, data["delay"] > 0)
    more.setdefault("serialization_format", "cloudpickle")
    mlflow.sklearn.save_model(
        model,
        path,
        signature=infer_signature(data, model.predict(data)),
        input_example=data.head(3),
        pip_requirements=[],
        **more,
    )
    return table()


def save_probabilities(path: str) -> Any:
    return save_sklearn(path, pyfunc_predict_fn="predict_proba")


def network(inputs: int, outputs: int) -> Any:
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Linear(inputs, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, outputs)
    return torch.nn.Sequential(*layers)


def save_torch_columns(path: str) -> Any:
    import mlflow.pytorch

    data = table().astype({"seats": "int32"})
    mlflow.pytorch.save_model(
        network(3, 2), path, input_example=data, serialization_format="pickle", pip_requirements=[]
    )
    return data


def save_torch_tensor(path: str, form: str = "pickle") -> Any:
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    data = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    single = np.dtype("float32")
    # An exported graph keeps the mode it was traced in; a pickled module is set to evaluate.
    module = network(4, 1).train(form == "pickle")
    mlflow.pytorch.save_model(
        module,
        path,
        signature=ModelSignature(
            Schema([TensorSpec(single, (-1, 4))]), Schema([TensorSpec(single, (-1, 1))])
        ),
        input_example=data[:2],
        serialization_format=form,
        pip_requirements=[],
    )
    return data


def save_torch_exported(path: str) -> Any:
    return save_torch_tensor(path, "pt2")


def save_python(path: str) -> Any:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Describe(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            params = params or {}
            return pd.DataFrame(
                {
                    "kinds": [str(model_input.dtypes.to_dict())] * len(model_input),
                    "text": model_input["text"],
                    "day": model_input["when"].dt.day_name(),
                    "scaled": model_input["delay"] * params.get("factor", 1.0),
                    "rank": model_input["delay"].rank(),
                }
            )

    data = table().assign(
        text=["a", "b", None, "ü", "", "f"],
        when=pd.date_range("2013-01-01", periods=6).astype("datetime64[ns]"),
        single=np.float32(0.1),
    )
    model = Describe()
    mlflow.pyfunc.save_model(
        path,
        python_model=model,
        signature=infer_signature(data, model.predict(None, data), params={"factor": 2.0}),
        input_example=data,
        pip_requirements=[],
    )
    return data


def save_hinted(path: str) -> Any:
    import mlflow.pyfunc

    class Lengths(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[int]:
            return [len(one) for one in model_input]

    mlflow.pyfunc.save_model(
        path, python_model=Lengths(), input_example=["one", "three"], pip_requirements=[]
    )
    return ["a", "bcd"]


def save_nested(path: str) -> Any:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Sums(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return [sum(one) for one in model_input["legs"]]

    data = pd.DataFrame({"legs": [[1, 2], [3]], "who": ["x", "y"]})
    mlflow.pyfunc.save_model(
        path,
        python_model=Sums(),
        signature=infer_signature(data),
        input_example=data,
        pip_requirements=[],
    )
    return data


def save_unsigned(path: str) -> Any:
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    data = np.random.default_rng(2).normal(size=(6, 2))
    mlflow.sklearn.save_model(
        LinearRegression().fit(data, data.sum(axis=1)),
        path,
        serialization_format="cloudpickle",
        pip_requirements=[],
    )
    return data


SAVERS = [
    save_sklearn,
    save_probabilities,
    save_torch_columns,
    save_torch_tensor,
    save_torch_exported,
    save_python,
    save_hinted,
    save_nested,
    save_unsigned,
]


@pytest.fixture(scope="module", params=SAVERS, ids=lambda saver: saver.__name__[5:])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model's folder and data for it."""
    folder = tmp_path_factory.mktemp("model") / "flights"
    return folder, request.param(str(folder))


def payloads(data: Any) -> list[dict[str, Any]]:
    """Bodies that hold the data in MLflow's forms."""
    if hasattr(data, "columns"):
        columns = {
            name: column.dt.strftime("%Y-%m-%dT%H:%M:%S") if column.dtype.kind == "M" else column
            for name, column in data.items()
        }
        lines = zip(*(column.tolist() for column in columns.values()), strict=True)
        # pandas says NaN where a text is missing.
        rows = [[None if one != one else one for one in line] for line in lines]
        split = {"columns": list(columns), "data": rows}
        records = [dict(zip(split["columns"], line, strict=True)) for line in split["data"]]
        return [{"dataframe_split": split}, {"dataframe_records": records}]
    listed = data if isinstance(data, list) else data.tolist()
    return [{"inputs": listed}] + ([] if isinstance(data, list) else [{"instances": listed}])


def reference(folder: Path, data: Any) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder)).predict(data)


def assert_same(ours: Any, theirs: Any) -> None:
    import pandas as pd

    if hasattr(ours, "columns") and isinstance(ours.columns, dict):
        ours = pd.DataFrame(ours.columns)
    if isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True, check_column_type=False)
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert np.array_equal(ours, theirs)
    else:
        assert ours == theirs


def test_a_body_gets_mlflows_prediction_of_its_data(saved: Any) -> None:
    from headrace.registry.loading import load
    from headrace.serving import params
    from headrace.serving.invocations import read_invocation

    folder, data = saved
    model = load(str(folder))
    expected = reference(folder, data)
    for payload in payloads(data):
        call = read_invocation(json.dumps(payload).encode(), model.signature)
        assert_same(model.predict(call.data, params.merged(model.signature, call.params)), expected)


def test_a_body_gets_the_answer_of_mlflows_own_server(saved: Any, serving: Any) -> None:
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    from headrace.registry.loading import load

    folder, data = saved
    theirs = mlflow.pyfunc.load_model(str(folder))
    client = serving(load(str(folder)), max_body=10**6)
    for payload in payloads(data):
        body = json.dumps(payload)
        told = invocations(body, "application/json", theirs, theirs.metadata.get_input_schema())
        # Not-a-number is null here, for NaN is no JSON.
        expected = json.loads(told.response, parse_constant=lambda _: None)
        answer = client.ask("POST", "/invocations", content=body)
        assert (answer.status_code, answer.json()) == (200, expected)


def test_the_inference_protocol_gives_the_same_numbers(saved: Any, serving: Any) -> None:
    from headrace.registry.loading import load
    from headrace.registry.signatures import Kind
    from headrace.serving.inference import describe

    folder, data = saved
    model = load(str(folder))
    told = describe(model)["inputs"]
    client = serving(model, max_body=10**6)
    plain = [] if model.signature.kind is Kind.UNSIGNED else told
    payload = payloads(data)[0]
    inputs = []
    for one in plain or [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]:
        if "dataframe_split" in payload:
            split = payload["dataframe_split"]
            values = [line[split["columns"].index(one["name"])] for line in split["data"]]
            if one["parameters"]["type"] == "array":
                values = [json.dumps(value) for value in values]
        else:
            values = payload["inputs"]
        shape = [len(values), *one["shape"][1:]]
        inputs.append(
            {"name": one["name"], "datatype": one["datatype"], "shape": shape, "data": values}
        )
    path = f"/v2/models/{client.application.model.name}/infer"
    answer = client.ask("POST", path, json={"inputs": inputs})
    if answer.status_code == 404:
        answer = client.infer({"inputs": inputs})
    (first, *others) = answer.json()["outputs"]
    predicted = client.ask("POST", "/invocations", json=payload).json()["predictions"]
    if isinstance(predicted[0], dict):
        names = [first["name"], *(one["name"] for one in others)]
        lists = [one["data"] for one in (first, *others)]
        ours: Any = [dict(zip(names, line, strict=True)) for line in zip(*lists, strict=True)]
        assert [list(one) for one in ours] == [list(one) for one in predicted]
        ours, predicted = ([list(one.values()) for one in both] for both in (ours, predicted))
        assert ours == predicted or np.allclose(ours, predicted, rtol=1e-6, atol=0)
    else:
        array = np.array(first["data"]).reshape(first["shape"])
        assert np.allclose(array, np.array(predicted), rtol=1e-6, atol=0)


def test_a_torch_model_is_opened_without_mlflow(tmp_path: Path) -> None:
    import subprocess

    save_torch_tensor(str(tmp_path / "model"))
    code = (
        "import sys; from headrace.registry.loading import load;"
        f"load({str(tmp_path / 'model')!r});"
        "print([one for one in ('mlflow', 'pandas') if one in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_torch_model_brings_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    import mlflow.pytorch

    project = tmp_path / "project"
    project.mkdir()
    (project / "doubling.py").write_text(
        "import torch\n"
        "class Doubling(torch.nn.Module):\n"
        "    def forward(self, rows):\n"
        "        return rows * 2\n"
    )
    monkeypatch.syspath_prepend(str(project))
    import doubling  # type: ignore[import-not-found]

    mlflow.pytorch.save_model(
        doubling.Doubling(),
        str(tmp_path / "model"),
        input_example=np.ones((1, 2), dtype=np.float32),
        serialization_format="pickle",
        code_paths=[str(project / "doubling.py")],
        pip_requirements=[],
    )
    code = (
        "import sys, numpy; from headrace.registry.loading import load;"
        f"model = load({str(tmp_path / 'model')!r});"
        "print(model.predict(numpy.ones((1, 2), dtype=numpy.float32), None).tolist())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[[2.0, 2.0]]"


@pytest.mark.parametrize("saver", [save_torch_tensor, save_torch_columns, save_sklearn])
def test_rows_predicted_together_get_what_they_get_alone(
    saver: Callable[[str], Any], tmp_path: Path, serving: Any
) -> None:
    from headrace.registry.loading import load

    data = saver(str(tmp_path / "model"))
    model = load(str(tmp_path / "model"))
    seen: list[int] = []

    def counted(data: Any, params: Any) -> Any:
        result = model.predict(data, params)
        seen.append(len(result) if isinstance(result, np.ndarray) else -1)
        return result

    import dataclasses

    client = serving(dataclasses.replace(model, predict=counted))
    whole = payloads(data)[0]
    if "inputs" in whole:
        bodies: list[Any] = [{"inputs": [line]} for line in whole["inputs"]]
    else:
        split = whole["dataframe_split"]
        bodies = [{"dataframe_split": split | {"data": [line]}} for line in split["data"]]
    together = [one.json()["predictions"][0] for one in client.ask_all("/invocations", bodies)]
    assert len(seen) == 1
    alone = [client.invoke(body).json()["predictions"][0] for body in bodies]
    flat = [
        [list(one.values()) if isinstance(one, dict) else one for one in both]
        for both in (together, alone)
    ]
    assert np.allclose(*flat, rtol=1e-5, atol=1e-7)


def test_batching_is_off_where_a_row_depends_on_others(tmp_path: Path) -> None:
    import mlflow.pytorch
    import torch

    from headrace.registry.loading import load
    from headrace.serving.warming import warm_up

    class Softmax(torch.nn.Module):
        def forward(self, rows: Any) -> Any:
            return torch.softmax(rows, dim=0)

    for name, module, together in (
        ("rows", Softmax(), False),
        ("own", torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Softmax(dim=1)), True),
    ):
        mlflow.pytorch.save_model(
            module,
            str(tmp_path / name),
            input_example=np.array([[1.0, 2.0]], dtype=np.float32),
            serialization_format="pickle",
            pip_requirements=[],
        )
        assert warm_up(load(str(tmp_path / name)), "auto") is together


def test_a_python_model_is_batched_only_when_asked(tmp_path: Path) -> None:
    from headrace.registry.loading import load
    from headrace.serving.warming import warm_up

    save_python(str(tmp_path / "model"))
    model = load(str(tmp_path / "model"))
    assert [warm_up(model, one) for one in ("auto", "on", "off")] == [False, True, False]
