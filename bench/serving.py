"""Predictions per second and memory: headrace's server, a bare ASGI function, MLflow's server.

    python bench/serving.py [--seconds 1.5] [--rounds 9] [--clients 8] [--without-mlflow]

A small torch model, one row a request, keep-alive connections, everything on this machine and
on loopback. The bare function does the same model call under the same uvicorn settings and
checks nothing. Rounds are interleaved and short, and a ratio is the median of the ratios within
each round, for other work on the machine disturbs a round's contestants alike.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FEATURES = 16
BODY = {
    "invocations": b'{"inputs":[[%s]]}',
    "infer": b'{"inputs":[{"name":"input-0","shape":[1,16],"datatype":"FP32","data":[%s]}]}',
}
ROW = b",".join(b"%.3f" % (0.1 * at - 0.7) for at in range(FEATURES))


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


@dataclass(kw_only=True)
class Contestant:
    """A server under test."""

    name: str
    """For the table."""
    command: list[str]
    """How to start it; `{port}` is filled in."""
    path: str
    """Where requests go."""
    body: bytes
    """What they hold."""
    port: int = 0
    """Where it listens."""
    process: subprocess.Popen[bytes] | None = None
    """Its first process, in a session of its own."""
    rates: list[float] = field(default_factory=list)
    """Answers per second, a round each."""
    latencies: list[float] = field(default_factory=list)
    """Seconds, of all rounds."""
    memory: float = 0.0
    """Resident megabytes of its process tree, after the load."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [part.format(port=self.port) for part in self.command]
        quiet = subprocess.DEVNULL
        # MLflow's command looks for uvicorn on the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}
        self.process = subprocess.Popen(
            command, stdout=quiet, stderr=quiet, start_new_session=True, env=env
        )
        until = time.monotonic() + 180
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended: {' '.join(command)}")
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}{self.path}",
                self.body,
                {"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    answer.read()
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{self.name} did not answer in time.")

    def stop(self) -> None:
        """End its whole session."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)


class Client(asyncio.Protocol):
    """One connection that sends its next request as soon as the answer is there."""

    def __init__(self, request: bytes, latencies: list[float], until: float) -> None:
        self.request, self.latencies, self.until = request, latencies, until
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        if b" 200 " not in head[:16]:
            self.done.set_exception(RuntimeError(self.buffer[:500]))
            self.transport.close()
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        self.buffer = b""
        if now < self.until:
            self.send()
        else:
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("closed by the server"))


async def load(contestant: Contestant, clients: int, seconds: float) -> list[float]:
    """Latencies of `clients` connections that ask for `seconds`."""
    request = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s"
    ) % (contestant.path.encode(), len(contestant.body), contestant.body)
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: Client(request, latencies, until), "127.0.0.1", contestant.port
        )
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return latencies


def resident(pid: int) -> float:
    """Resident megabytes of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    total, stack = 0.0, [pid]
    while stack:
        one = stack.pop()
        stack += children.get(one, [])
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) / 1024
    return total


def contestants(folder: Path, with_mlflow: bool) -> list[Contestant]:
    """Who takes part."""
    python, here = sys.executable, str(Path(__file__).resolve())
    ours = [python, "-m", "headrace.serving.server", "--model", str(folder), "--port", "{port}"]
    bare = [python, here, "--bare", str(folder), "--port", "{port}"]
    theirs = [python, "-m", "mlflow", "models", "serve", "-m", str(folder), "-p", "{port}"]
    invocations, infer = BODY["invocations"] % ROW, BODY["infer"] % ROW
    found = [
        Contestant(name="bare ASGI", command=bare, path="/", body=invocations),
        Contestant(name="headrace", command=ours, path="/invocations", body=invocations),
        Contestant(name="headrace v2", command=ours, path="/v2/models/model/infer", body=infer),
    ]
    if with_mlflow:
        command = [*theirs, "--env-manager", "local"]
        found.append(
            Contestant(name="mlflow serve", command=command, path="/invocations", body=invocations)
        )
    return found


def report(found: Sequence[Contestant], clients: int) -> None:
    """The table."""
    cores = os.cpu_count()
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, "
          f"{clients} clients, one row each")  # fmt: skip
    print(f"{'':14}{'per second':>12}{'x bare':>8}{'p50 ms':>8}{'p99 ms':>8}{'MB':>7}{'x bare':>8}")
    bare = found[0]
    for one in found:
        rate, ranked = statistics.median(one.rates), sorted(one.latencies)
        ratios = (ours / theirs for ours, theirs in zip(one.rates, bare.rates, strict=True))
        p50, p99 = (1000 * ranked[int(len(ranked) * share)] for share in (0.5, 0.99))
        print(f"{one.name:14}{rate:12,.0f}{statistics.median(ratios):8.2f}{p50:8.2f}{p99:8.2f}"
              f"{one.memory:7.0f}{one.memory / bare.memory:8.2f}")  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--without-mlflow", action="store_true")
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.save:
        save_model(asked.save)
        return
    if asked.bare:
        serve_bare(asked.bare, asked.port)
        return
    import uvloop

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        # A process of its own: torch's memory and threads are not to disturb the clients.
        save = [sys.executable, __file__, "--save", str(model)]
        subprocess.run(save, check=True, capture_output=True)
        found = contestants(model, not asked.without_mlflow)
        try:
            for one in found:
                one.start()
            for _ in range(asked.rounds):
                for one in found:
                    latencies = uvloop.run(load(one, asked.clients, asked.seconds))
                    one.rates.append(len(latencies) / asked.seconds)
                    one.latencies += latencies
            for one in found:
                assert one.process is not None
                one.memory = resident(one.process.pid)
        finally:
            for one in found:
                one.stop()
    report(found, asked.clients)


if __name__ == "__main__":
    main()
