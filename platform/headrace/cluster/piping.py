"""One TCP connection to a port of a pod, carried by a websocket through the API server."""

from __future__ import annotations

import re
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from headrace.cluster import errors, kinds
from headrace.cluster.client import Cluster

WebSocket = Any
"""A `websocket.WebSocket`."""

_PROTOCOL = "v4.channel.k8s.io"
_CONNECT_SECONDS = 10.0
_DATA, _ERROR = 0, 1
_MOST_WAITING = 2**20
"""Bytes that may wait in one direction before no more are taken in."""
_MOST_KEPT = 2**18
"""Bytes of the client's that are kept until the pod has answered."""
_CHUNK = 2**16
_NEVER_CONNECTED = re.compile("connection refused|failed to connect|not found|not running")
_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


def open_port(cluster: Cluster, pod: str, port: int) -> WebSocket:
    """A websocket to a port of a pod.

    Raises:
        ClusterProblem: The pod is gone, or whoever asks may not.
        Unreachable: The API server does not answer.
    """
    import websocket

    configuration = cluster.api.configuration
    path = kinds.path("pods", cluster.namespace, pod, sub="portforward")
    server = str(configuration.host).replace("http", "ws", 1).rstrip("/")
    found: WebSocket = websocket.WebSocket(sslopt=_tls(configuration))
    try:
        found.connect(
            f"{server}{path}?{urlencode({'ports': port})}",
            header=_headers(cluster), subprotocols=[_PROTOCOL], timeout=_CONNECT_SECONDS,
            suppress_origin=True, **_proxy(configuration, server),
        )  # fmt: skip
    except websocket.WebSocketBadStatusException as error:
        said = (error.resp_body or b"").decode(errors="replace")
        raise errors.from_answer(
            error.status_code, said, asked=f"reach port {port} of pod {pod}", where=cluster.where
        ) from error
    except (websocket.WebSocketException, OSError) as error:
        raise errors.from_silence(error, where=cluster.where) from error
    return found


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The pod's port did not take the connection: it may be led elsewhere."""

    reason: str
    """What the node said."""
    unsent: bytes | None
    """What the client has sent so far, for another pod; None if that is too much to keep."""


def pipe(client: socket.socket, remote: WebSocket, first: bytes = b"") -> Refused | None:
    """Carry bytes both ways until either side is done; the websocket is closed then.

    Args:
        client: Whoever connected here.
        remote: The line to the pod.
        first: What the client has sent already.
    """
    try:
        return _Pipe(client, remote, first).run()
    except (OSError, _closed()):
        return None
    finally:
        # Not `remote.close()`, which would wait for the other side's leave.
        remote.shutdown()


class _Pipe:
    """The bytes under way. Neither side is waited for alone, so neither can block the other."""

    def __init__(self, client: socket.socket, remote: WebSocket, first: bytes) -> None:
        self._client, self._remote, self._line = client, remote, remote.sock
        self._kept: bytes | None = b""
        self._up, self._down, self._said = bytearray(), bytearray(), bytearray()
        self._greeted: set[int] = set()
        self._part = b""
        self._client_done = self._remote_done = False
        client.setblocking(False)
        self._line.setblocking(False)
        self._give(first)

    def run(self) -> Refused | None:
        while not self._over():
            ready = self._wait()
            if ready.get(self._line, 0) & ~select.POLLOUT:
                self._take_from_pod()
            if ready.get(self._client, 0) & ~select.POLLOUT:
                self._take_from_client()
            if ready.get(self._line, 0) & select.POLLOUT:
                self._send(self._line, self._up)
            if ready.get(self._client, 0) & select.POLLOUT:
                self._send(self._client, self._down)
        said = self._said.decode(errors="replace")
        if _NEVER_CONNECTED.search(said):
            return Refused(reason=said, unsent=self._kept)
        return None

    def _wait(self) -> dict[socket.socket, int]:
        wanted = {
            self._line: self._reads(self._remote_done, self._down) | _writes(self._up),
            self._client: self._reads(self._client_done, self._up) | _writes(self._down),
        }
        poll = select.poll()
        for one, events in wanted.items():
            if events:
                poll.register(one, events)
        # What TLS has taken from the line already, the kernel does not tell of.
        hidden = wanted[self._line] & select.POLLIN and _buffered(self._line)
        found = dict(poll.poll(0 if hidden else None))
        ready = {one: found.get(one.fileno(), 0) for one in wanted}
        ready[self._line] |= select.POLLIN if hidden else 0
        return ready

    def _reads(self, done: bool, waiting: bytearray) -> int:
        return 0 if done or len(waiting) >= _MOST_WAITING else select.POLLIN

    def _over(self) -> bool:
        # The protocol knows no end of one direction alone: whoever leaves ends both.
        return (self._client_done and not self._up) or (self._remote_done and not self._down)

    def _take_from_client(self) -> None:
        data = self._client.recv(_CHUNK)
        self._client_done = not data
        self._give(data)

    def _give(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept = self._kept + data if len(self._kept) < _MOST_KEPT else None
        if data:
            self._up += _frame(bytes([_DATA]) + data)

    def _take_from_pod(self) -> None:
        from websocket import ABNF

        try:
            while len(self._down) < _MOST_WAITING:
                frame = self._remote.recv_frame()
                match frame.opcode:
                    case ABNF.OPCODE_BINARY | ABNF.OPCODE_CONT:
                        self._part += frame.data
                        if frame.fin:
                            self._sort(self._part)
                            self._part = b""
                    case ABNF.OPCODE_PING:
                        self._up += _frame(frame.data, ABNF.OPCODE_PONG)
                    case ABNF.OPCODE_CLOSE:
                        self._remote_done = True
                        return
        except _NOT_NOW:
            pass
        except _closed():
            self._remote_done = True

    def _sort(self, message: bytes) -> None:
        """A message's first byte is its channel, and each channel's first message its port."""
        channel, content = message[0], message[1:]
        if channel not in self._greeted:
            self._greeted.add(channel)
        elif channel == _DATA:
            self._down += content
            self._kept = None
        elif channel == _ERROR:
            self._said += content
            self._remote_done = True

    def _send(self, target: socket.socket, waiting: bytearray) -> None:
        try:
            sent = target.send(memoryview(waiting)[:_CHUNK].tobytes())
        except _NOT_NOW:
            return
        del waiting[:sent]


def _writes(waiting: bytearray) -> int:
    return select.POLLOUT if waiting else 0


def _frame(content: bytes, opcode: int = 2) -> bytes:
    from websocket import ABNF

    return bytes(ABNF.create_frame(content, opcode).format())


def _buffered(line: socket.socket) -> bool:
    return isinstance(line, ssl.SSLSocket) and line.pending() > 0


def _closed() -> type[Exception]:
    from websocket import WebSocketException

    found: type[Exception] = WebSocketException
    return found


def _tls(configuration: Any) -> dict[str, Any]:
    if not configuration.verify_ssl:
        checks: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    else:
        checks = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": configuration.ssl_ca_cert}
    own = {
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return {key: one for key, one in (checks | own).items() if one is not None}


def _headers(cluster: Cluster) -> list[str]:
    found: dict[str, str] = {}
    cluster.api.update_params_for_auth(found, [], ["BearerToken"])
    return [f"{name}: {value}" for name, value in found.items()]


def _proxy(configuration: Any, server: str) -> dict[str, Any]:
    if not configuration.proxy:
        return {}
    from kubernetes.stream.ws_client import websocket_proxycare

    found: dict[str, Any] = websocket_proxycare({}, configuration, server, {})
    return found
