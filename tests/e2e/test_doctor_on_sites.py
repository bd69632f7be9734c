"""`headrace doctor --on`: a site that is well, and what it says of each that is not.

Every broken site is the chart's, with one thing wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.accounts import headrace, limited, write
from tests.site import install, namespace, store_values

from headrace.cli.main import main
from headrace.cluster.trials import ROLE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NUMBER = count(1)


@pytest.fixture
def examined(capsys):
    """Runs the doctor; its exit code, and each finding by its subject."""

    def examine(cluster, *, context="", kubeconfig=None):
        where = ["--on", context or cluster.context, "-n", cluster.namespace]
        command = ["doctor", *where, "--json"]
        if kubeconfig:
            done = headrace(kubeconfig, *command)
            code, said = done.returncode, json.loads(done.stdout)
        else:
            code, said = main(command), json.loads(capsys.readouterr().out)
        assert said["well"] == (code == 0)
        return code, {one["subject"]: one for one in said["findings"]}

    return examine


@pytest.fixture
def broken(site, kubernetes, helm):
    """Makes a site without MLflow, its store beside that of the good site; gone after the test."""
    with_its_end = []

    def make(images=None, **values):
        name = f"{site.namespace}-{next(NUMBER)}"
        space = namespace(kubernetes, name)
        with_its_end.append(space)
        cluster = space.__enter__()
        plain = store_values(f"{site.site.store.url}-{name}")
        said = {"mlflow": {"enabled": False}, **values}
        said["store"] = {**plain["store"], **values.get("store", {})}
        if images:
            said["images"] = images
        install(helm, cluster, site.values, said, wait=False)
        return cluster

    yield make
    for space in with_its_end:
        space.__exit__(None, None, None)


def wrong(findings):
    return {name: one["text"] for name, one in findings.items() if one["health"] == "wrong"}


def remedies(findings):
    return {name: one["remedy"] for name, one in findings.items() if one["health"] == "wrong"}


def test_all_is_well(site, examined):
    code, findings = examined(site.cluster)
    assert wrong(findings) == {}
    assert code == 0
    assert set(findings) >= {
        "cluster", "site", "access", "versions", "KubeRay", "Secret", "store", "MLflow", "KFP",
        "nodes", "pod", "store in pod", "MLflow in pod", "account",
    }  # fmt: skip
    assert findings["MLflow"]["text"].endswith(", through a tunnel")
    assert site.left_over() == []


def test_wrong_keys(broken, examined):
    code, findings = examined(broken(store={"secretAccessKey": "wrong"}))
    refused = (
        "Could not write to it: The store does not accept the credentials (SignatureDoesNotMatch)."
    )
    assert (code, wrong(findings)) == (4, {"store": refused, "store in pod": refused})
    assert set(remedies(findings).values()) == {
        "correct the Secret that store.secret of the site names"
    }


def test_no_secret(broken, examined):
    code, findings = examined(broken(store={"existingSecret": "nosuch"}))
    assert code == 4
    assert wrong(findings)["store"] == "The namespace has no Secret 'nosuch'."
    assert wrong(findings)["pod"] == "wants the Secret 'nosuch', which is not there"
    assert remedies(findings)["pod"] == "make the Secret 'nosuch', or name another"


def test_a_secret_without_one_of_the_keys(broken, examined):
    cluster = broken(store={"existingSecret": "half"})
    cluster.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "half"},
         "stringData": {"AWS_ACCESS_KEY_ID": "one"}}
    )  # fmt: skip
    code, findings = examined(cluster)
    assert code == 4
    assert wrong(findings)["Secret"] == "half lacks AWS_SECRET_ACCESS_KEY"
    assert wrong(findings)["pod"] == (
        "wants the key 'AWS_SECRET_ACCESS_KEY', which the Secret 'half' does not have"
    )


def test_no_bucket(broken, examined):
    code, findings = examined(broken(store={"url": "s3://headrace-no-such-bucket/site"}))
    missing = "Could not write to it: The store has no bucket 'headrace-no-such-bucket'."
    assert (code, wrong(findings)) == (4, {"store": missing, "store in pod": missing})


@contextmanager
def read_only_store(folder: Path):
    """A store of its own that takes nothing in, on a port that pods reach."""
    program = shutil.which("versitygw")
    if program is None:
        pytest.skip("versitygw, which can serve a store to be read only, is not on the PATH")
    (folder / "objects/some").mkdir(parents=True)
    (folder / "meta").mkdir()
    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).hostname
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--access", "one", "--secret", "secret-of-one", "--port", f"{host}:{port}",
         "--readonly", "posix", "--sidecar", str(folder / "meta"), str(folder / "objects")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(50):
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://{host}:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_store_that_can_only_be_read(broken, examined, tmp_path):
    with read_only_store(tmp_path) as url:
        store = {
            "url": "s3://some/site", "endpoint": url, "clientEndpoint": url, "accessKeyId": "one",
            "secretAccessKey": "secret-of-one",
        }  # fmt: skip
        code, findings = examined(broken(store=store))
    refused = "Could not write to it: The store refuses it (AccessDenied)."
    assert (code, wrong(findings)) == (4, {"store": refused, "store in pod": refused})


def test_an_image_that_cannot_be_pulled(site, broken, examined):
    image = f"{site.site.images['python'].rpartition(':')[0]}:no-such-tag"
    code, findings = examined(broken(images={"python": image}))
    assert code == 4
    assert wrong(findings) == {
        "pod": f"cannot get the image {image}: its registry does not have it"
    }
    assert remedies(findings) == {
        "pod": "build and push it with images/build.py, or correct `images` of the site"
    }


def test_versions_that_do_not_fit(broken, examined):
    code, findings = examined(broken(versions={"headrace": "0.0.9"}))
    assert code == 4
    assert list(wrong(findings)) == ["versions"]
    assert wrong(findings)["versions"].startswith("headrace is 0.0.9 in the site's images and ")
    assert findings["image python"]["text"].endswith(" instead of 0.0.9")


def test_a_namespace_that_is_no_site(kubernetes, examined):
    code, findings = examined(kubernetes)
    assert code == 4
    assert wrong(findings) == {
        "site": f"The namespace {kubernetes.namespace!r} is not a site of Headrace."
    }


def test_a_description_with_a_misspelt_setting(site, broken, examined):
    cluster = broken()
    found = cluster.get("configmaps", "headrace-site")
    text = found["data"]["site.yaml"].replace("region:", "regoin:")
    cluster.patch("configmaps", "headrace-site", {"data": {"site.yaml": text}})
    code, findings = examined(cluster)
    assert code == 4
    assert wrong(findings) == {"site": "site.yaml has an unknown setting 'store.regoin'."}
    assert findings["site"]["remedy"] == "Did you mean 'region'?"


def test_a_quota_that_never_lets_a_step_in(broken, examined):
    cluster = broken()
    quota = {"hard": {"requests.memory": "1Gi", "pods": "10"}}
    cluster.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tiny"}, "spec": quota}
    )
    for _ in range(50):
        if cluster.get("resourcequotas", "tiny").get("status"):
            break
        time.sleep(0.1)
    code, findings = examined(cluster)
    assert code == 4
    assert wrong(findings) == {
        "quota tiny": "never lets a python step in: requests.memory is 1Gi at most"
    }


def test_steps_that_may_do_nothing(broken, examined):
    cluster = broken()
    cluster.delete("rolebindings", "headrace-step")
    code, findings = examined(cluster)
    assert code == 4
    assert list(wrong(findings)) == ["account"]
    assert findings["account"]["text"].startswith(
        "headrace-step may do nothing with pods, pods/log, events, "
    )


def test_an_account_that_may_not_run_ray(broken, examined, tmp_path):
    cluster = broken()
    rules = [
        one
        for one in cluster.get("roles", "headrace-user")["rules"]
        if "ray.io" not in one["apiGroups"]
    ]
    name = limited(cluster, rules, tmp_path / "kubeconfig")
    code, findings = examined(cluster, context="limited", kubeconfig=tmp_path / "kubeconfig")
    assert (code, wrong(findings)) == (
        4, {"access": f"{name} may do nothing with rayjobs and rayclusters"},
    )  # fmt: skip
    assert findings["nodes"]["text"] == "may not be looked at"


def test_the_charts_own_role_for_users_is_enough(broken, examined, tmp_path):
    cluster = broken()
    rules = cluster.get("roles", "headrace-user")["rules"]
    limited(cluster, rules, tmp_path / "kubeconfig")
    code, findings = examined(cluster, context="limited", kubeconfig=tmp_path / "kubeconfig")
    assert (code, wrong(findings)) == (0, {})


def test_an_account_that_may_do_nothing(broken, examined, tmp_path):
    cluster = broken()
    name = limited(cluster, [], tmp_path / "kubeconfig")
    code, findings = examined(cluster, context="limited", kubeconfig=tmp_path / "kubeconfig")
    assert (code, wrong(findings)) == (4, {"site": f"{name} may not get configmaps."})


def test_a_cluster_that_is_not_there(kubernetes, examined, tmp_path):
    server = {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": True}
    write(
        tmp_path / "kubeconfig", {"gone": {"cluster": "there", "user": ""}}, {"there": server}, {}
    )
    code, findings = examined(kubernetes, context="gone", kubeconfig=tmp_path / "kubeconfig")
    assert code == 4
    assert list(findings) == ["cluster"]
    assert findings["cluster"]["text"].startswith("The cluster does not answer: ")


def test_no_pod_of_the_doctors_stays(site):
    assert site.cluster.list("pods", f"headrace.dev/role={ROLE}") == []
