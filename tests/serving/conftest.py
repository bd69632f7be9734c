"""Models and servers for the tests of the serving room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from headrace.registry.loading import LoadedModel, Table
from headrace.registry.signatures import Field, Kind, Signature
from headrace.serving.app import Application

COLUMNS = Signature(
    kind=Kind.COLUMNS,
    inputs=(
        Field(name="delay", dtype="double"),
        Field(name="seats", dtype="long"),
        Field(name="night", dtype="boolean"),
        Field(name="carrier", dtype="string"),
        Field(name="when", dtype="datetime", required=False),
    ),
    outputs=(Field(name="score", dtype="double"),),
    params=(Field(name="factor", dtype="double", shape=(), default=2.0),),
)
TENSORS = Signature(
    kind=Kind.TENSORS,
    inputs=(Field(name=None, dtype="float32", shape=(-1, 3)),),
    outputs=(Field(name=None, dtype="float32", shape=(-1, 2)),),
)


def score(table: Table, params: Any) -> Table:
    """delay x factor + seats; a carrier named `boom` raises."""
    if "boom" in table.columns["carrier"]:
        raise ValueError("no such carrier")
    delay = np.array(table.columns["delay"], dtype=float)
    return Table({"score": delay * params["factor"] + np.array(table.columns["seats"])})


def halves(array: Any, params: Any) -> Any:
    """The first two of three columns, halved; 13 raises."""
    if 13.0 in array:
        raise ValueError("bad luck")
    return array[:, :2] / np.float32(2)


def make_model(
    signature: Signature, predict: Callable[[Any, Any], Any], **more: Any
) -> LoadedModel:
    """A loaded model around a function."""
    told: dict[str, Any] = {
        "name": "flights",
        "version": "7",
        "uri": "models:/flights/7",
        "folder": Path("/nowhere"),
        "flavor": "pytorch",
        "digest": "sha256:00",
        "run_id": "r1",
        "signature": signature,
        "example": None,
        "rowwise": True,
        "predict": predict,
    }
    return LoadedModel(**(told | more))


class Client:
    """Asks an application in this process."""

    def __init__(self, model: LoadedModel | None, max_body: int = 10_000) -> None:
        self.loop = asyncio.new_event_loop()
        self.application = Application("flights", "7", max_body=max_body)
        if model is not None:
            self.loop.run_until_complete(self._serve(model))

    async def _serve(self, model: LoadedModel) -> None:
        self.application.serve(model, together=True, max_rows=64)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""
        return self.loop.run_until_complete(self._ask(method, path, **more))

    def ask_all(self, path: str, bodies: list[Any]) -> list[httpx.Response]:
        """Several POST requests at once."""

        async def gathered() -> list[httpx.Response]:
            return await asyncio.gather(*(self._ask("POST", path, json=one) for one in bodies))

        return self.loop.run_until_complete(gathered())

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.application)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **more)

    def infer(self, body: Any) -> httpx.Response:
        """POST to the model's `infer`."""
        return self.ask("POST", "/v2/models/flights/infer", json=body)

    def invoke(self, body: Any) -> httpx.Response:
        """POST to `/invocations`."""
        return self.ask("POST", "/invocations", json=body)


@pytest.fixture
def serving() -> Iterator[Callable[..., Client]]:
    """Makes clients of applications in this process."""
    made: list[Client] = []

    def make(model: LoadedModel | None, **more: Any) -> Client:
        made.append(Client(model, **more))
        return made[-1]

    yield make
    for client in made:
        client.loop.close()


@pytest.fixture
def table_client(serving: Callable[..., Client]) -> Client:
    """A model of columns, served."""
    return serving(make_model(COLUMNS, score))


@pytest.fixture
def tensor_client(serving: Callable[..., Client]) -> Client:
    """A model of one tensor, served."""
    return serving(make_model(TENSORS, halves))


@pytest.fixture
def models() -> Any:
    """What tests make models of."""

    class Made:
        columns, tensors = COLUMNS, TENSORS
        score, halves = staticmethod(score), staticmethod(halves)
        make = staticmethod(make_model)

    return Made


def columns_row(**changed: Any) -> dict[str, Any]:
    """A row that the table model takes."""
    row = {"delay": 1.5, "seats": 10, "night": True, "carrier": "UA"}
    return {name: value for name, value in (row | changed).items() if value is not ...}


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """A row that the table model takes, with changes; `...` leaves a column out."""
    return columns_row
