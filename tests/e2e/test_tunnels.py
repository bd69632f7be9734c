"""Tunnels to Services: bytes arrive whole, pods may come and go, and nothing is left open."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.accounts import bind, token

from headrace.cluster.client import Cluster
from headrace.cluster.errors import Forbidden
from headrace.cluster.forwarding import forward, reach
from headrace.core.errors import EnvironmentProblem

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).parent / "programs/web.py"
LABELS = {"app": "tunnel-test"}
SIZE = 20_000_000


def service(name, selector, *ports):
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": list(ports), **({"selector": selector} if selector else {})},
    }  # fmt: skip


def deployment(image):
    container = {
        "name": "web", "image": image, "command": ["python", "-c", PROGRAM.read_text()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1,
                           "timeoutSeconds": 10},
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "tunnel-test"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def web(site):
    """A Service with two pods; its port 80 is named http there, and 81 is one that nobody has."""
    cluster = site.cluster
    ports = [
        {"name": "a", "port": 80, "targetPort": "http"},
        {"name": "b", "port": 9001},
        {"name": "c", "port": 81, "targetPort": 8111},
    ]
    made = [
        deployment(site.site.images["python"]),
        service("tunnel-test", LABELS, *ports),
        service("tunnel-nobody", {"app": "nobody"}, {"port": 80}),
        service("tunnel-by-hand", {}, {"port": 80}),
    ]
    for one in made:
        cluster.create(one)
    wait(lambda: ready(cluster) == 2)
    yield cluster
    for one in made:
        cluster.delete(f"{one['kind'].lower()}s", one["metadata"]["name"])


def ready(cluster):
    status = cluster.get("deployments", "tunnel-test")["status"]
    return status.get("readyReplicas", 0)


def wait(until, seconds=180):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.3)


def get(address, size, *, timeout=60):
    """How much came, and from which pod."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", f"/{size}")
        answer = connection.getresponse()
        return len(answer.read()), answer.headers["X-Pod"]
    finally:
        connection.close()


def test_large_bodies_arrive_whole_both_ways_on_one_connection(web):
    with forward(web, "tunnel-test", 80) as address:
        connection = http.client.HTTPConnection(address, timeout=120)
        connection.request("GET", f"/{SIZE}")
        assert connection.getresponse().read() == b"x" * SIZE
        connection.request("PUT", "/", body=b"y" * SIZE)
        assert connection.getresponse().status == 200
        connection.close()


def test_many_connections_at_once(web):
    with forward(web, "tunnel-test", 80) as address, ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: get(address, 100_000)[0], range(50)))
    assert found == [100_000] * 50


def test_a_client_that_does_not_read_blocks_neither_itself_nor_others(web):
    with forward(web, "tunnel-test", 9001) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            sending = threading.Thread(target=connection.sendall, args=(b"z" * SIZE,))
            sending.start()
            time.sleep(2)  # every buffer between here and the pod is full now
            found = 0
            while found < SIZE and (data := connection.recv(1 << 20)):
                found += len(data)
            sending.join()
        assert found == SIZE


def test_a_pod_that_goes_away_is_replaced_on_the_next_connection(web):
    with forward(web, "tunnel-test", 80) as address:
        _, pod = get(address, 10)
        web.delete("pods", pod, grace=0)
        found = {get(address, 10)[1] for _ in range(5)}
        assert pod not in found
    wait(lambda: ready(web) == 2)


def test_a_port_that_nobody_listens_on_ends_the_connection(web):
    refused = pytest.raises((http.client.RemoteDisconnected, ConnectionError))
    with forward(web, "tunnel-test", 81) as address, refused:
        get(address, 1)


def test_nothing_is_left_of_a_tunnel(web):
    before = threading.active_count()
    with forward(web, "tunnel-test", 80) as address:
        idle = socket.create_connection(address.split(":"))
        get(address, 10)
    assert idle.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address.split(":"))
    wait(lambda: threading.active_count() <= before, seconds=5)


@pytest.mark.parametrize(
    ("name", "port", "what"),
    [
        ("tunnel-none", 80, "There is no Service 'tunnel-none'."),
        ("tunnel-test", 82, "It has no port 82, but 80, 9001, 81."),
        ("tunnel-nobody", 80, "No pod behind the Service 'tunnel-nobody' is ready."),
        ("tunnel-by-hand", 80, "No tunnel leads to a Service that selects no pods."),
    ],
)
def test_where_no_tunnel_leads(web, name, port, what):
    with pytest.raises(EnvironmentProblem) as raised, forward(web, name, port):
        pass
    assert raised.value.what == what


def as_account(cluster, name):
    """The cluster as a service account sees it, by its token."""
    from kubernetes import client

    there = cluster.api.configuration
    settings = client.Configuration(host=there.host)
    settings.ssl_ca_cert = there.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token(cluster, name)}"}
    api = client.ApiClient(settings)
    return Cluster(context=name, namespace=cluster.namespace, api=api)


def test_an_account_needs_the_right_to_forward(web):
    # Steps look at Services and pods; only the Role of users has pods/portforward.
    steps = as_account(web, "headrace-step")
    with pytest.raises(Forbidden) as raised, forward(steps, "tunnel-test", 80):
        pass
    assert "pods/portforward" in raised.value.what
    bind(web, "headrace-user", account="headrace-step")
    try:
        with forward(steps, "tunnel-test", 80) as address:
            assert get(address, 10)[0] == 10
    finally:
        web.delete("rolebindings", "headrace-user-too")


def test_the_address_for_clients_is_taken_as_it_is(web):
    with reach(web, "http://tunnel-test:80", "https://somewhere.example.com") as url:
        assert url == "https://somewhere.example.com"


def test_what_answers_from_here_needs_no_tunnel(web):
    with forward(web, "tunnel-test", 80) as address, reach(web, f"http://{address}/5") as url:
        assert url == f"http://{address}/5"


@pytest.mark.parametrize("host", ["tunnel-test", "{0}", "{0}.svc", "{0}.svc.cluster.local"])
def test_a_service_is_reached_by_all_its_names(web, host):
    name = host.format(f"tunnel-test.{web.namespace}")
    with reach(web, f"http://{name}:80/7") as url:
        assert url.startswith("http://127.0.0.1:") and url.endswith("/7")
        assert get(url.split("/")[2], 7)[0] == 7


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://tunnel-none.nowhere:1", "names no Service of the cluster"),
        ("https://tunnel-test", "its certificate would not hold in a tunnel"),
        ("http://tunnel-by-hand", "No tunnel leads to a Service that selects no pods"),
    ],
)
def test_what_needs_an_address_of_its_own(web, url, what):
    with pytest.raises(EnvironmentProblem, match=what) as raised, reach(web, url):
        pass
    assert "client_endpoint of the store, client_url of MLflow or KFP" in raised.value.hint
