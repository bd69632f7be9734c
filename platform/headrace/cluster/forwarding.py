"""Ways from this machine to a Service of the cluster: its own address, or a tunnel.

A tunnel is a local port. What connects to it is led through the API server to a ready pod behind
the Service, as `kubectl port-forward` does; but a pod that goes away ends only the connections
it had, and the next one is led to another.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from headrace.cluster import contexts
from headrace.cluster.client import Cluster
from headrace.cluster.tunnels import LOOPBACK, OWN_ADDRESS, Backend, listen
from headrace.core.errors import EnvironmentProblem

_ANSWER_SECONDS = 1.0
_PORTS = {"http": 80, "https": 443}
_ANSWERS_OF_OTHERS = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
"""What a proxy between says when nobody is there."""


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
    backend = Backend(cluster=cluster, service=service, port=port)
    # Whether it works at all is better said here than to the program that connects later.
    remote, _ = backend.connect(patience=cluster.patience)
    remote.shutdown()
    server = listen(backend, local)
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
        In a pod, `url` if it answers; `client_url`; `url`, if it answers from here; or the way
        through a tunnel.

    Raises:
        EnvironmentProblem: There is no way from here.
    """
    # An address for people may be none from within the cluster, and is a detour in any case.
    if client_url and not (contexts.is_inside() and answers(url)):
        yield client_url
        return
    if answers(url):
        yield url
        return
    parts = urlsplit(url)
    found = _service(cluster, parts.hostname or "")
    if found is None:
        raise EnvironmentProblem(
            f"{url} does not answer from here, and names no Service of the cluster.",
            where=cluster.where,
            hint=OWN_ADDRESS,
        )
    if parts.scheme == "https":
        raise EnvironmentProblem(
            f"{url} does not answer from here, and its certificate would not hold in a tunnel.",
            where=cluster.where,
            hint=OWN_ADDRESS,
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
