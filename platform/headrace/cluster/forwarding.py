"""Ways from this machine to a Service of the cluster: its own address, or a tunnel.

A tunnel is a local port. What connects to it is led through the API server to a ready pod behind
the Service, as `kubectl port-forward` does; but a pod that goes away ends only the connections
it had, and the next one is led to another.
"""

from __future__ import annotations

import http.client
import random
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, Forbidden
from headrace.cluster.piping import WebSocket, open_port, pipe
from headrace.core.errors import EnvironmentProblem

LOOPBACK = "127.0.0.1"
_PATIENCE_SECONDS = 20.0
_REFUSED_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_ANSWER_SECONDS = 1.0
_PORTS = {"http": 80, "https": 443}
_ANSWERS_OF_OTHERS = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
"""What a proxy between says when nobody is there."""
_TRUSTED_SECONDS = 5.0


@contextmanager
def forward(cluster: Cluster, service: str, port: int, *, local: int = 0) -> Iterator[str]:
    """Open a tunnel to a Service, and close it and its connections at the end.

    Args:
        cluster: The cluster, in the Service's namespace.
        service: The Service's name.
        port: Its port.
        local: The port of this machine; any that is free if it is 0.

    Yields:
        Where to connect to on this machine: `127.0.0.1:PORT`.

    Raises:
        EnvironmentProblem: There is no such Service or port, no pod behind it is ready, or
            none ever will be since it has no selector; or the port here is taken.
        ClusterProblem: Whoever asks may not do this, or the cluster does not answer.
    """
    backend = _Backend(cluster=cluster, service=service, port=port)
    # Whether it works at all is better said here than to the program that connects later.
    remote, _ = backend.connect(patience=cluster.patience)
    remote.shutdown()
    server = _listener(backend, local)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True,
        name=f"tunnel to {service}",
    ).start()  # fmt: skip
    try:
        yield f"{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.stop()


@contextmanager
def reach(cluster: Cluster, url: str, client_url: str = "", *, port: int = 0) -> Iterator[str]:
    """A URL under which this process reaches what pods reach as `url`.

    Args:
        cluster: The cluster.
        url: As pods reach it, such as `http://headrace-mlflow.team.svc:5000`.
        client_url: What the site says for clients; taken as it is.
        port: The port of this machine, if there is a tunnel; any that is free if it is 0.

    Yields:
        `client_url`; or `url`, if it answers from here; or the way through a tunnel.

    Raises:
        EnvironmentProblem: There is no way from here.
    """
    if client_url or answers(url):
        yield client_url or url
        return
    parts = urlsplit(url)
    found = _service(cluster, parts.hostname or "")
    if found is None:
        raise EnvironmentProblem(
            f"{url} does not answer from here, and names no Service of the cluster.",
            where=cluster.where,
            hint=_OWN_ADDRESS,
        )
    if parts.scheme == "https":
        raise EnvironmentProblem(
            f"{url} does not answer from here, and its certificate would not hold in a tunnel.",
            where=cluster.where,
            hint=_OWN_ADDRESS,
        )
    beside, name = found
    remote = parts.port or _PORTS[parts.scheme]
    with forward(beside, name, remote, local=port) as address:
        yield urlunsplit(parts._replace(netloc=address))


def answers(url: str, *, seconds: float = _ANSWER_SECONDS) -> bool:
    """Whether a web server answers at a URL, from here; what it answers does not matter."""
    found: list[bool] = []
    # A name that nobody knows can keep the resolver for long, and nothing hurries it.
    thread = threading.Thread(target=lambda: found.append(_asked(url, seconds)), daemon=True)
    thread.start()
    thread.join(2 * seconds)
    return any(found)


def _asked(url: str, seconds: float) -> bool:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=seconds)
    try:
        connection.request("HEAD", parts.path or "/")
        return connection.getresponse().status not in _ANSWERS_OF_OTHERS
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_OWN_ADDRESS = (
    "give it an address that people's machines reach, and say it in the site: client_endpoint "
    "of the store, client_url of MLflow or KFP"
)


@dataclass(frozen=True, kw_only=True)
class _Backend:
    """The pods behind one port of a Service."""

    cluster: Cluster
    """The cluster, in the Service's namespace."""
    service: str
    """The Service."""
    port: int
    """Its port."""
    failed: dict[str, float] = field(default_factory=dict)
    """Pods that could not be reached, by uid, and when: others are tried first."""
    good: dict[str, tuple[float, Manifest, int]] = field(default_factory=dict)
    """The pod that was reached last, by uid; when, and its port. It is not looked for again."""

    def connect(self, *, patience: float) -> tuple[WebSocket, Manifest]:
        """A line to a pod that is ready, and the pod; after some tries if need be.

        Args:
            patience: Seconds for which a pod that is ready and can be reached is waited for.
        """
        until = time.monotonic() + patience
        while True:
            try:
                pod, port = self._choose()
                return self._line(pod, port), pod
            except Forbidden:
                raise
            except EnvironmentProblem:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _line(self, pod: Manifest, port: int) -> WebSocket:
        try:
            line = open_port(self.cluster, pod["metadata"]["name"], port)
        except ClusterProblem:
            self.blame(pod)
            raise
        self.good[pod["metadata"]["uid"]] = (time.monotonic(), pod, port)
        return line

    def blame(self, pod: Manifest) -> None:
        """Try others before this one."""
        self.failed[pod["metadata"]["uid"]] = time.monotonic()
        self.good.pop(pod["metadata"]["uid"], None)

    def _choose(self) -> tuple[Manifest, int]:
        now = time.monotonic()
        for when, pod, port in list(self.good.values()):
            if now - when < _TRUSTED_SECONDS:
                return pod, port
        self.good.clear()
        spec = self._spec()
        pods = [one for one in self._pods(spec["selector"]) if is_ready(one)]
        if not pods:
            raise EnvironmentProblem(
                f"No pod behind the Service {self.service!r} is ready.",
                where=self.cluster.where,
                hint=f"kubectl -n {self.cluster.namespace} describe service {self.service}",
            )
        random.shuffle(pods)
        pod = min(pods, key=lambda one: self.failed.get(one["metadata"]["uid"], 0.0))
        return pod, target_port(spec, self.port, pod)

    def _spec(self) -> Manifest:
        found = self.cluster.get("services", self.service)
        where = f"{self.cluster.where}, Service {self.service}"
        if found is None:
            raise EnvironmentProblem(f"There is no Service {self.service!r}.", where=where)
        spec: Manifest = found["spec"]
        if not spec.get("selector"):
            raise EnvironmentProblem(
                "No tunnel leads to a Service that selects no pods.", where=where, hint=_OWN_ADDRESS
            )
        known = [one["port"] for one in spec["ports"]]
        if self.port not in known:
            ports = ", ".join(map(str, known))
            raise EnvironmentProblem(f"It has no port {self.port}, but {ports}.", where=where)
        return spec

    def _pods(self, selector: dict[str, str]) -> list[Manifest]:
        return self.cluster.list("pods", ",".join(f"{k}={v}" for k, v in sorted(selector.items())))


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, backend: _Backend, port: int) -> None:
        super().__init__((LOOPBACK, port), socketserver.BaseRequestHandler)
        self._backend = backend
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(request)
        # Where there is no way, whoever connected sees its connection end.
        with suppress(EnvironmentProblem):
            self._lead(request)
        with self._lock:
            self._open.discard(request)

    def _lead(self, request: socket.socket) -> None:
        """To a pod; and to another if that one's port turns out to be closed."""
        first: bytes | None = b""
        until = time.monotonic() + _REFUSED_SECONDS
        while first is not None and time.monotonic() < until:
            remote, pod = self._backend.connect(patience=_PATIENCE_SECONDS)
            refused = pipe(request, remote, first)
            if refused is None:
                return
            self._backend.blame(pod)
            time.sleep(_PAUSE_SECONDS)
            first = refused.unsent

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def _listener(backend: _Backend, port: int) -> _Listener:
    try:
        return _Listener(backend, port)
    except OSError as error:
        raise EnvironmentProblem(
            f"Port {port} of this machine cannot be had: {error.strerror}.",
            hint="name another one, or none",
        ) from error


def is_ready(pod: Manifest) -> bool:
    """Whether a pod takes part in its Services."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def target_port(spec: Manifest, port: int, pod: Manifest) -> int:
    """The pod's own port behind a Service's port; the Service may name it."""
    target = next(one for one in spec["ports"] if one["port"] == port).get("targetPort", port)
    if isinstance(target, int):
        return target
    named = {
        one["name"]: one["containerPort"]
        for container in pod["spec"]["containers"]
        for one in container.get("ports", [])
        if "name" in one
    }
    return int(named.get(target, port))


def service_of(host: str, namespace: str) -> tuple[str, str]:
    """The Service and namespace that a host name of the cluster stands for.

    >>> service_of("s3.storage.svc.cluster.local", "team"), service_of("mlflow", "team")
    (('s3', 'storage'), ('mlflow', 'team'))
    """
    name, _, rest = host.partition(".")
    return name, rest.partition(".")[0] or namespace


def _service(cluster: Cluster, host: str) -> tuple[Cluster, str] | None:
    """The Service behind a host name of the cluster, if there is one that may be looked at."""
    name, namespace = service_of(host, cluster.namespace)
    beside = replace(cluster, namespace=namespace)
    if host.replace(".", "").isdigit() or ":" in host or beside.get("services", name) is None:
        return None
    return beside, name
