"""The environment for a cluster that is there, applied for real: installed, changed, destroyed."""

import json
import subprocess
from contextlib import ExitStack

import pytest
from tests.site import bucket, everything, namespace, store_values

from headrace.sites.cluster import discover

pytestmark = [pytest.mark.cluster, pytest.mark.terraform, pytest.mark.timeout(900)]

ENVIRONMENT = "environments/existing"


@pytest.fixture
def place(kubernetes, s3):
    """An empty namespace with the Secrets that an administrator would have made, and a bucket."""
    name = "headrace-terraform"
    with ExitStack() as undo:
        undo.enter_context(bucket(s3, name))
        cluster = undo.enter_context(namespace(kubernetes, name))
        store = store_values(f"s3://{name}/site")["store"]
        keys = {
            "AWS_ACCESS_KEY_ID": store["accessKeyId"],
            "AWS_SECRET_ACCESS_KEY": store["secretAccessKey"],
        }
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}
        cluster.apply({**secret, "stringData": keys})
        yield cluster, store


def revisions(helm, cluster):
    """The statuses of the release's revisions."""
    done = subprocess.run(
        [helm, "history", "headrace", "--namespace", cluster.namespace, "--output", "json"],
        capture_output=True, text=True,
    )  # fmt: skip
    return [one["status"] for one in json.loads(done.stdout or "[]")]


def test_it_is_installed_changed_and_destroyed(terraform, place, helm, images):
    cluster, store = place
    before = everything(cluster)
    variables = {
        "kubeconfig": {"context": cluster.context},
        "namespace": cluster.namespace,
        "images": str(images),
        "store": {
            "url": store["url"], "endpoint": store["endpoint"],
            "client_endpoint": store["clientEndpoint"], "secret": "keys",
        },
        "values": {"mlflow": {"workers": 1, "persistence": {"enabled": False}}},
    }  # fmt: skip
    told = terraform.root / "terraform" / ENVIRONMENT / "terraform.tfvars.json"

    def apply():
        told.write_text(json.dumps(variables))
        return terraform.say(ENVIRONMENT, "apply", "-auto-approve", "-no-color").stdout

    terraform.begin(ENVIRONMENT)
    assert "2 added, 0 changed, 0 destroyed" in apply()
    found = discover(cluster)
    assert (found.store.url, found.store.secret) == (store["url"], "keys")
    assert cluster.get("deployments", "headrace-mlflow")["status"]["readyReplicas"] == 1
    assert "0 added, 0 changed, 0 destroyed" in apply()
    assert revisions(helm, cluster) == ["deployed"]

    variables["values"]["limits"] = {"pending": 333}
    assert "1 added, 0 changed, 1 destroyed" in apply()
    assert discover(cluster).limits.pending == 333
    assert revisions(helm, cluster) == ["superseded", "deployed"]

    variables["values"]["mlflow"]["wrokers"] = 2
    told.write_text(json.dumps(variables))
    refused = terraform.say(ENVIRONMENT, "apply", "-auto-approve", "-no-color", fails=True)
    assert "wrokers" in refused.stderr
    assert revisions(helm, cluster) == ["superseded", "deployed"]

    del variables["values"]["mlflow"]["wrokers"]
    apply()
    terraform.say(ENVIRONMENT, "destroy", "-auto-approve", "-no-color")
    assert revisions(helm, cluster) == []
    assert everything(cluster) == before
