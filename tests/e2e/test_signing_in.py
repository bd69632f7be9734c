"""Who comes from outside signs in: oauth2-proxy in front of MLflow, with dex as the provider.

Where the cluster cannot pull their images, HEADRACE_TEST_OIDC_IMAGES says that it has them.
"""

from __future__ import annotations

import base64
import datetime
import html
import json
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.site import TESTBED, bucket, install, namespace, store_values

from headrace.cluster import pods
from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import forward

# Said before the tests' own environment is cleaned.
HAS_IMAGES = bool(os.environ.get("HEADRACE_TEST_OIDC_IMAGES")) or not TESTBED.exists()

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not HAS_IMAGES,
        reason="no images of oauth2-proxy and dex; with them, set HEADRACE_TEST_OIDC_IMAGES=1",
    ),
]

DEX = "ghcr.io/dexidp/dex:v2.45.1"
HOST = "mlflow.example.com"
HOME = f"https://{HOST}"
SEARCH = f"{HOME}/api/2.0/mlflow/experiments/search?max_results=5"
CREATE = f"{HOME}/ajax-api/2.0/mlflow/experiments/create"
PASSWORD = "password"
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
GROUPS = {"ana": ["ml", "everybody"], "bob": ["everybody"]}
CLIENTS = {"headrace": "not-a-secret", "another": "not-a-secret-either"}
SIZE = 48_000_000


@dataclass(frozen=True)
class Outside(httpx.BaseTransport):
    """The way of a browser that is elsewhere: by HTTPS to the hosts' names.

    What an ingress controller does is done here: HTTPS ends, and the name stays.
    """

    ways: dict[str, str]
    trusted: ssl.SSLContext

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https", request.url
        host, _, port = self.ways[request.url.host].partition(":")
        scheme = "http" if request.url.host == HOST else "https"
        inner = httpx.Request(
            request.method,
            request.url.copy_with(scheme=scheme, host=host, port=int(port)),
            headers=request.headers, stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )  # fmt: skip
        # A connection each, so that both proxies have their turn.
        with httpx.HTTPTransport(verify=self.trusted) as transport:
            answer = transport.handle_request(inner)
            body = answer.read()
        headers = [one for one in answer.headers.raw if one[0].lower() != b"content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=body)


@dataclass(frozen=True)
class Front:
    """A site with somebody at the door."""

    cluster: Cluster
    issuer: str
    outside: Outside

    def browser(self) -> httpx.Client:
        return httpx.Client(transport=self.outside, follow_redirects=True, timeout=30)

    def signs_in(self, browser: httpx.Client, name: str, page: str = f"{HOME}/") -> httpx.Response:
        """What somebody sees who asks for a page and fills in the provider's form."""
        form = browser.get(page)
        assert str(form.url).startswith(f"{self.issuer}/auth"), form.url
        action = re.search(r'<form method="post" action="([^"]+)"', form.text)
        assert action, form.text
        given = {"login": f"{name}@example.com", "password": PASSWORD}
        return browser.post(form.url.join(html.unescape(action[1])), data=given)

    def token(self, name: str, client: str = "headrace") -> str:
        """A token of the provider's, as a program gets one."""
        given = {
            "grant_type": "password", "scope": "openid email groups",
            "username": f"{name}@example.com", "password": PASSWORD,
        }  # fmt: skip
        with self.browser() as browser:
            answer = browser.post(
                f"{self.issuer}/token", data=given, auth=(client, CLIENTS[client])
            )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["id_token"]
        return token

    def with_token(self, token: str) -> httpx.Response:
        with self.browser() as browser:
            return browser.get(SEARCH, headers={"Authorization": f"Bearer {token}"})


def authority(name: str) -> tuple[str, str]:
    """A certificate for a name that vouches for itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.public_bytes(text).decode(), key.private_bytes(text, *plain).decode()


def provider(issuer: str, certificate: str, key: str) -> list[dict]:
    """dex, with two people and two clients, and what the chart is told of it."""
    config = {
        "issuer": issuer,
        "storage": {"type": "memory"},
        "web": {"https": "0.0.0.0:5556", "tlsCert": "/given/tls.crt", "tlsKey": "/given/tls.key"},
        "oauth2": {"skipApprovalScreen": True, "passwordConnector": "local"},
        "enablePasswordDB": True,
        "staticPasswords": [
            {"email": f"{name}@example.com", "hash": HASH, "username": name, "userID": name,
             "emailVerified": True, "groups": groups}
            for name, groups in GROUPS.items()
        ],
        "staticClients": [
            {"id": name, "name": name, "secret": secret,
             "redirectURIs": [f"{HOME}/oauth2/callback"]}
            for name, secret in CLIENTS.items()
        ],
    }  # fmt: skip
    labels = {"app": "dex"}
    container = {
        "name": "dex", "image": DEX, "command": ["dex", "serve", "/given/config.json"],
        "securityContext": pods.container_security(),
        "volumeMounts": [{"name": "given", "mountPath": "/given"},
                         {"name": "tmp", "mountPath": "/tmp"}],
        "readinessProbe": {"tcpSocket": {"port": 5556}, "periodSeconds": 1},
    }  # fmt: skip
    pod = {
        "securityContext": pods.pod_security(),
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "given", "secret": {"secretName": "dex"}},
                    {"name": "tmp", "emptyDir": {}}],
    }  # fmt: skip
    given = {"config.json": json.dumps(config), "tls.crt": certificate, "tls.key": key}
    ours = {"client-id": "headrace", "client-secret": CLIENTS["headrace"],
            "cookie-secret": os.urandom(16).hex()}  # fmt: skip

    def made(kind: str, name: str, api: str = "v1", **rest: object) -> dict:
        return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **rest}

    return [
        made("Secret", "dex", stringData=given),
        made("Secret", "signing-in", stringData=ours),
        made("ConfigMap", "authority", data={"ca.crt": certificate}),
        made("Service", "dex", spec={"selector": labels, "ports": [
            {"port": 443, "targetPort": 5556}]}),
        made("Deployment", "dex", "apps/v1", spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def front(kubernetes, helm, images, s3) -> Iterator[Front]:
    name = f"headrace-signing-in-{os.getpid()}"
    with ExitStack() as undo:
        undo.enter_context(bucket(s3, name))
        cluster = undo.enter_context(namespace(kubernetes, name))
        strict = {"pod-security.kubernetes.io/enforce": "restricted"}
        kubernetes.patch("namespaces", name, {"metadata": {"labels": strict}})
        host = f"dex.{name}.svc"
        issuer = f"https://{host}/dex"
        certificate, key = authority(host)
        for one in provider(issuer, certificate, key):
            cluster.create(one)
        oidc = {
            "enabled": True, "issuerUrl": issuer, "existingSecret": "signing-in",
            "caConfigMap": "authority", "groups": ["ml"], "hosts": {"mlflow": HOST}, "replicas": 2,
        }  # fmt: skip
        values = {**store_values(f"s3://{name}/site"), "mlflow": {"workers": 1}, "oidc": oidc}
        install(helm, cluster, images, values)
        ways = {
            HOST: undo.enter_context(forward(cluster, "headrace-oidc-mlflow", 80)),
            host: undo.enter_context(forward(cluster, "dex", 443)),
        }
        trusted = ssl.create_default_context(cadata=certificate)
        yield Front(cluster=cluster, issuer=issuer, outside=Outside(ways, trusted))


def test_who_has_not_signed_in_is_led_to_the_provider_and_programs_are_told(front):
    with front.browser() as browser:
        first = browser.get(f"{HOME}/?x=1", follow_redirects=False)
        assert (first.status_code, first.text.count("MLflow")) == (302, 0)
        assert first.headers["location"].startswith(f"{front.issuer}/auth?")
        asked = httpx.URL(first.headers["location"]).params
        assert asked["redirect_uri"] == f"{HOME}/oauth2/callback"
        assert asked["scope"].split() == ["openid", "email", "profile", "groups"]
        assert asked["code_challenge_method"] == "S256"
        for path in ("", "static-files/index.html", "health", "get-artifact?path=x", "metrics"):
            assert browser.get(f"{HOME}/{path}", follow_redirects=False).status_code == 302, path
        assert browser.get(SEARCH).status_code == 401
        assert browser.post(CREATE, json={"name": "x"}).status_code == 401
        assert browser.post(f"{HOME}/graphql", json={}).status_code == 401


def test_who_is_in_the_group_has_mlflow_as_it_is(front):
    with front.browser() as browser:
        page = front.signs_in(browser, "ana", f"{HOME}/?x=1")
        assert (page.status_code, str(page.url)) == (200, f"{HOME}/?x=1")
        assert "<title>MLflow" in page.text
        for _ in range(8):  # whichever proxy it is
            assert browser.get(SEARCH).json()["experiments"]
        [session] = [one for one in page.history if one.url.path == "/oauth2/callback"]
        kept = [one for one in session.headers.get_list("set-cookie") if "headrace=" in one]
        assert len(kept) == 1
        assert kept[0].startswith("__Host-headrace=")
        assert {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} <= set(kept[0].split("; "))
        assert "Domain=" not in kept[0]

        ours = browser.post(CREATE, json={"name": "by-hand"}, headers={"Origin": HOME})
        assert (ours.status_code, list(ours.json())) == (200, ["experiment_id"])
        theirs = {"Origin": "https://elsewhere.example.com"}
        refused = browser.post(CREATE, json={"name": "of-theirs"}, headers=theirs)
        assert (refused.status_code, refused.text) == (403, "Cross-origin request blocked")

        browser.get(f"{HOME}/oauth2/sign_out", follow_redirects=False)
        assert browser.get(SEARCH).status_code == 401


def test_two_pages_that_are_opened_at_once_both_let_sign_in(front):
    with front.browser() as browser:
        begun = [browser.get(f"{HOME}/{one}", follow_redirects=False) for one in ("?x=1", "?x=2")]
        for one in begun:
            page = front.signs_in(browser, "ana", one.headers["location"])
            assert page.status_code == 200
            assert page.url.host == HOST


def test_who_is_not_in_the_group_stays_outside(front):
    with front.browser() as browser:
        page = front.signs_in(browser, "bob")
        assert (page.status_code, page.url.path) == (403, "/oauth2/callback")
        assert browser.get(SEARCH).status_code == 401


def test_a_cookie_that_somebody_has_made_up_is_none(front):
    with front.browser() as browser:
        front.signs_in(browser, "ana")
        value = browser.cookies["__Host-headrace"]
        head, _, rest = value.partition("|")
        made_up = head[:-8] + ("A" if head[-8] != "A" else "B") + head[-7:]
        browser.cookies.clear()
        browser.cookies.set("__Host-headrace", f"{made_up}|{rest}", domain=HOST)
        assert browser.get(SEARCH).status_code == 401


def part(what: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(what).encode()).decode().rstrip("=")


def read(token: str) -> list[dict]:
    head, body, _ = token.split(".")
    return [json.loads(base64.urlsafe_b64decode(one + "==")) for one in (head, body)]


def test_a_program_comes_with_a_token_of_the_providers(front):
    token = front.token("ana")
    assert front.with_token(token).json()["experiments"]
    assert front.with_token(front.token("bob")).status_code == 403
    assert front.with_token(front.token("ana", client="another")).status_code == 403


def test_a_token_that_somebody_has_made_up_is_none(front):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    head, body = read(front.token("bob"))
    signature = front.token("bob").split(".")[2]
    of_the_group = part({**body, "groups": ["ml"]})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    said = f"{part(head)}.{of_the_group}"
    ours = key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
    made_up = {
        "said differently": f"{said}.{signature}",
        "signed by nobody": f"{part({**head, 'alg': 'none'})}.{of_the_group}.x",
        "signed by us": f"{said}.{base64.urlsafe_b64encode(ours).decode().rstrip('=')}",
        "no token at all": "x",
    }
    answers = {how: front.with_token(one).status_code for how, one in made_up.items()}
    assert answers == dict.fromkeys(made_up, 403)


def test_mlflows_own_client_brings_large_artifacts_through(front, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", front.token("ana"))
    # Or it would fetch from the store itself, under the name that pods have for it.
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    file = tmp_path / "model.bin"
    file.write_bytes(os.urandom(1_000_000) * (SIZE // 1_000_000))
    client = mlflow.MlflowClient(f"http://{front.outside.ways[HOST]}")
    run = client.create_run(client.create_experiment("by-program")).info.run_id
    client.log_artifact(run, str(file))
    (tmp_path / "back").mkdir()
    back = client.download_artifacts(run, "model.bin", str(tmp_path / "back"))
    assert Path(back).read_bytes() == file.read_bytes()


def test_who_comes_through_the_api_server_has_shown_who_they_are(front):
    with forward(front.cluster, "headrace-mlflow", 5000) as address:
        url = SEARCH.replace(HOME, f"http://{address}")
        assert httpx.get(url).json()["experiments"]
