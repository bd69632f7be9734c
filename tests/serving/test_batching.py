"""Requests that come together are predicted together, and stay apart in every other way."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from headrace.serving.batching import Batcher, ModelFailed
from headrace.serving.calls import Call
from headrace.serving.metrics import Metrics


def batcher(predict: Any, *, together: bool = True, max_rows: int = 100) -> Batcher:
    return Batcher(predict, defaults=None, metrics=Metrics(), together=together, max_rows=max_rows)


def call(*rows: float, key: Any = "same", params: Any = None) -> Call:
    return Call(np.array(rows), len(rows), params, key)


async def ask(asked: Batcher, calls: list[Call]) -> list[Any]:
    """The result or exception of each call, all of them submitted in one turn of the loop."""
    futures = [asked.submit(one) for one in calls]
    results = await asyncio.gather(*futures, return_exceptions=True)
    while not asked.idle:
        await asyncio.sleep(0)
    asked.close()
    return [one.tolist() if isinstance(one, np.ndarray) else one for one in results]


class Recorder:
    """A model that doubles, and remembers what it was called with. Negative rows make it raise."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []
        self.threads: set[str] = set()

    def __call__(self, data: Any, params: Any) -> Any:
        self.seen.append(data.tolist())
        self.threads.add(threading.current_thread().name)
        if (data < 0).any():
            raise ValueError("negative")
        return data * (params or {"by": 2})["by"]


def test_calls_of_one_turn_go_together_and_each_gets_its_rows() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        return await ask(batcher(model), [call(1), call(2, 3), call(4)])

    assert asyncio.run(run()) == [[2], [4, 6], [8]]
    assert model.seen == [[1, 2, 3, 4]]


def test_what_queues_while_a_batch_is_computed_goes_next_as_one() -> None:
    model = Recorder()
    release = threading.Event()

    def slow(data: Any, params: Any) -> Any:
        if not model.seen:
            release.wait(5)
        return model(data, params)

    async def run() -> list[Any]:
        asked = batcher(slow, max_rows=1000)
        first = asked.submit(call(*range(200)))
        await asyncio.sleep(0.05)
        later = asyncio.create_task(ask(asked, [call(1), call(2), call(3)]))
        await asyncio.sleep(0.05)
        release.set()
        await first
        return await later

    assert asyncio.run(run()) == [[2], [4], [6]]
    assert [len(batch) for batch in model.seen] == [200, 3]
    assert model.threads == {"predict_0"}


def test_a_batch_never_grows_past_the_most_rows() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        return await ask(batcher(model, max_rows=2), [call(1), call(2), call(3), call(4, 5, 6)])

    assert asyncio.run(run()) == [[2], [4], [6], [8, 10, 12]]
    assert model.seen == [[1, 2], [3], [4, 5, 6]]


def test_calls_of_other_kinds_stay_apart_in_their_order() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        calls = [call(1), call(2, key="other"), call(3), call(4, key=None), call(5, key=None)]
        return await ask(batcher(model), calls)

    assert asyncio.run(run()) == [[2], [4], [6], [8], [10]]
    assert model.seen == [[1], [2], [3], [4], [5]]


def test_parameters_of_a_call_are_its_own() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        calls = [call(1), call(2, key=None, params={"by": 10}), call(3)]
        return await ask(batcher(model), calls)

    assert asyncio.run(run()) == [[2], [20], [6]]


def test_a_failing_call_fails_alone() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        return await ask(batcher(model), [call(1), call(-2), call(3)])

    first, second, third = asyncio.run(run())
    assert (first, third) == ([2], [6])
    assert isinstance(second, ModelFailed)
    assert str(second) == "ValueError: negative"
    assert model.seen == [[1, -2, 3], [1], [-2], [3]]


@pytest.mark.parametrize("raised", [StopIteration(), KeyError("x"), SystemExit(1)])
def test_whatever_a_model_raises_reaches_its_caller(raised: BaseException) -> None:
    def model(data: Any, params: Any) -> Any:
        raise raised

    async def run() -> list[Any]:
        return await ask(batcher(model), [call(1)])

    (failure,) = asyncio.run(run())
    assert isinstance(failure, ModelFailed)
    assert failure.__cause__ is raised


def test_a_model_without_a_result_per_row_is_no_longer_batched() -> None:
    seen: list[int] = []

    def mean(data: Any, params: Any) -> Any:
        seen.append(len(data))
        return [float(data.mean())]

    async def run() -> tuple[list[Any], list[Any]]:
        asked = batcher(mean)
        first = await asyncio.gather(asked.submit(call(1)), asked.submit(call(3)))
        return list(first), await ask(asked, [call(5), call(7)])

    assert asyncio.run(run()) == ([[1.0], [3.0]], [[5.0], [7.0]])
    assert seen == [2, 1, 1, 1, 1]


def test_without_batching_each_call_stands_alone() -> None:
    model = Recorder()

    async def run() -> list[Any]:
        return await ask(batcher(model, together=False), [call(1), call(2)])

    assert asyncio.run(run()) == [[2], [4]]
    assert model.seen == [[1], [2]]


def test_requests_at_once_share_a_call_of_the_model(serving: Any, models: Any, row: Any) -> None:
    seen: list[int] = []

    def predict(table: Any, params: Any) -> Any:
        seen.append(len(table.columns["delay"]))
        return models.score(table, params)

    client = serving(models.make(models.columns, predict))
    bodies = [{"dataframe_records": [row(seats=at)]} for at in range(8)]
    bodies[3] = {"dataframe_records": [row(carrier="boom")]}
    bodies[5] = {"dataframe_records": [row(seats="many")]}
    answers = client.ask_all("/invocations", bodies)
    assert [one.status_code for one in answers] == [200, 200, 200, 500, 200, 400, 200, 200]
    assert [one.json()["predictions"] for one in answers if one.status_code == 200] == [
        [{"score": 3.0 + at}] for at in (0, 1, 2, 4, 6, 7)
    ]
    # Seven were right by the signature; one made the model raise, so each went alone.
    assert seen == [7, 1, 1, 1, 1, 1, 1, 1]
