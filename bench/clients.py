"""Clients on connections of their own that ask for predictions as fast as they are answered."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass

FEATURES = 16
ROW = b",".join(b"%.3f" % (0.1 * at - 0.7) for at in range(FEATURES))
INVOCATIONS = b'{"inputs":[[%s]]}' % ROW
"""One row, as MLflow's `/invocations` takes it."""
INFER = b'{"inputs":[{"name":"input-0","shape":[1,16],"datatype":"FP32","data":[%s]}]}' % ROW
"""One row, as the Open Inference Protocol takes it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and what to ask."""

    host: str
    """An address."""
    port: int
    """Its port."""
    path: str
    """The path that takes predictions."""
    body: bytes
    """What is asked."""

    @property
    def request(self) -> bytes:
        """The request as it goes over the wire."""
        return (
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s"
        ) % (self.path.encode(), len(self.body), self.body)


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
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        # Without a length it comes in chunks, of which the last is empty.
        if not (len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n")):
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


async def load(place: Place, clients: int, seconds: float) -> list[float]:
    """Latencies in seconds of `clients` connections that ask for `seconds`."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: Client(place.request, latencies, until), place.host, place.port
        )
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return latencies


def percentile(latencies: list[float], share: float) -> float:
    """A percentile of latencies, in milliseconds."""
    ranked = sorted(latencies)
    return 1000 * ranked[min(len(ranked) - 1, int(len(ranked) * share))]


def main() -> None:
    """Ask for some rounds, and print what each gave as JSON: `clients.py HOST PORT PATH N S R`."""
    host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    clients, seconds, rounds = int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
    place = Place(
        host=host, port=port, path=path, body=INVOCATIONS if path == "/invocations" else INFER
    )
    import uvloop

    latencies: list[float] = []
    rates = []
    for _ in range(rounds):
        found = uvloop.run(load(place, clients, seconds))
        rates.append(len(found) / seconds)
        latencies += found
    told = {"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)}
    print(json.dumps({"rounds": rates, **told}))


if __name__ == "__main__":
    main()
