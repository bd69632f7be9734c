"""Predictions per second and memory: Headrace's server, a bare ASGI function, other servers.

    python bench/serving.py [--seconds 1.5] [--rounds 9] [--clients 8] [--rivals mlflow,kserve]

A small torch model, one row a request, keep-alive connections, everything on this machine and
on loopback. The bare function does the same model call under the same uvicorn settings and
checks nothing. Ray Serve, KServe's Python server and MLServer are installed from PyPI for the
occasion.

Each is asked beside Headrace's server, with no third one running. Rounds are interleaved and
short, and a ratio is the median of the ratios within each round, for other work on the machine
disturbs both alike. Memory is what a server holds after some load, alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clients import FEATURES, load, percentile
from contestants import Contestant, contestants
from measuring import held, machine

RIVALS = ("mlflow", "ray serve", "kserve", "mlserver")


def save_model(folder: Path) -> None:
    """A perceptron of 5,000 weights, with a tensor signature."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    torch.manual_seed(0)
    sizes = [FEATURES, 64, 64, 1]
    layers: list[torch.nn.Module] = []
    for wide, narrow in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(wide, narrow), torch.nn.ReLU()]
    single = np.dtype("float32")
    signature = ModelSignature(
        Schema([TensorSpec(single, (-1, FEATURES))]), Schema([TensorSpec(single, (-1, 1))])
    )
    mlflow.pytorch.save_model(
        torch.nn.Sequential(*layers[:-1]),
        str(folder),
        signature=signature,
        input_example=np.zeros((2, FEATURES), np.float32),
        serialization_format="pickle",
        pip_requirements=["torch"],
    )


def serve_bare(folder: str, port: int) -> None:
    """The floor: one function, no checks, no metrics."""
    import pickle

    import orjson
    import torch
    import uvicorn

    torch.set_num_threads(1)
    path = Path(folder) / "data" / "model.pth"
    module = torch.load(path, weights_only=False, pickle_module=pickle).eval()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "GET":
            answer = b"{}"
        else:
            with torch.inference_mode():
                rows = torch.tensor(orjson.loads(body)["inputs"], dtype=torch.float32)
                answer = orjson.dumps({"predictions": module(rows).tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(
        app, port=port, http="httptools", ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=75,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one server."""

    name: str
    """Its name."""
    per_second: float
    """Predictions, the median of the rounds."""
    p50: float
    """Milliseconds to an answer, the median."""
    p99: float
    """The same for the slowest hundredth."""
    memory: float
    """MiB that it holds, alone."""
    headrace: float
    """Headrace's rate over this one's, the median of the rounds' ratios."""
    rounds: list[float]
    """Predictions per second of each round."""


def alone(one: Contestant, clients: int) -> None:
    """Measure memory, with no other contestant running."""
    import uvloop

    one.start()
    try:
        uvloop.run(load(one.place, clients, 1.0))
        assert one.process is not None
        one.memory = held(one.process.pid)
    finally:
        one.stop()


def beside(ours: Contestant, other: Contestant, rounds: int, clients: int, seconds: float) -> Row:
    """Measure a contestant and Headrace's server, turn by turn."""
    import uvloop

    pair = [ours] if other is ours else [ours, other]
    for one in pair:
        one.rates, one.latencies = [], []
    try:
        for one in pair:
            one.start()
        for _ in range(rounds):
            for one in pair:
                latencies = uvloop.run(load(one.place, clients, seconds))
                one.rates.append(len(latencies) / seconds)
                one.latencies += latencies
    finally:
        for one in pair:
            one.stop()
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)]
    return Row(
        name=other.name,
        per_second=statistics.median(other.rates),
        p50=percentile(other.latencies, 0.5),
        p99=percentile(other.latencies, 0.99),
        memory=other.memory,
        headrace=statistics.median(ratios),
        rounds=[round(one) for one in other.rates],
    )


def report(rows: Sequence[Row], clients: int) -> None:
    """The table."""
    print(f"{machine()}; {clients} clients, one row each")
    print(f"{'':14}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}{'headrace is x':>15}")
    for one in rows:
        print(
            f"{one.name:14}{one.per_second:12,.0f}{one.p50:9.2f}{one.p99:9.2f}{one.memory:7.0f}"
            f"{one.headrace:15.2f}"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rivals", default=",".join(RIVALS), help="which of them; empty for none")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.save:
        save_model(asked.save)
    elif asked.bare:
        serve_bare(asked.bare, asked.port)
    else:
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    """Measure everybody."""
    rivals = [one for one in asked.rivals.split(",") if one]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        # A process of its own: torch's memory and threads are not to disturb the clients.
        save = [sys.executable, __file__, "--save", str(model)]
        subprocess.run(save, check=True, capture_output=True)
        ours, *others = contestants(model, Path(folder), rivals)
        for one in (ours, *others):
            alone(one, asked.clients)
            rows.append(beside(ours, one, asked.rounds, asked.clients, asked.seconds))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
    report(rows, asked.clients)
    if asked.json:
        found = {"machine": machine(), "clients": asked.clients}
        asked.json.write_text(json.dumps({**found, "servers": [asdict(one) for one in rows]}))


if __name__ == "__main__":
    main()
