"""The two ends of a tunnel: a port of this machine, and the pods behind a Service."""

from __future__ import annotations

import random
import socket
import socketserver
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, Forbidden
from headrace.cluster.piping import WebSocket, open_port, pipe
from headrace.core.errors import EnvironmentProblem

LOOPBACK = "127.0.0.1"
OWN_ADDRESS = (
    "give it an address that people's machines reach, and say it in the site: client_endpoint "
    "of the store, client_url of MLflow or KFP"
)
"""What to do where no tunnel can be."""
_PATIENCE_SECONDS = 20.0
_REFUSED_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_TRUSTED_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Backend:
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
                "No tunnel leads to a Service that selects no pods.", where=where, hint=OWN_ADDRESS
            )
        known = [one["port"] for one in spec["ports"]]
        if self.port not in known:
            ports = ", ".join(map(str, known))
            raise EnvironmentProblem(f"It has no port {self.port}, but {ports}.", where=where)
        return spec

    def _pods(self, selector: dict[str, str]) -> list[Manifest]:
        return self.cluster.list("pods", ",".join(f"{k}={v}" for k, v in sorted(selector.items())))


class Listener(socketserver.ThreadingTCPServer):
    """The port of this machine; what connects to it is led to the backend."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, backend: Backend, port: int) -> None:
        super().__init__((LOOPBACK, port), socketserver.BaseRequestHandler)
        self._backend = backend
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Lead a connection to a pod."""
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
        """Close the port, and end the connections it has."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def listen(backend: Backend, port: int) -> Listener:
    """Open a port of this machine; any that is free if it is 0.

    Raises:
        EnvironmentProblem: It is taken.
    """
    try:
        return Listener(backend, port)
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
