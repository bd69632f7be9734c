"""What an environment makes arrives at the site: Terraform's outputs are the chart's values, and
those are the site's settings. A name that is changed in one of them only fails here.
"""

import shutil
import subprocess

import pytest
import yaml

from headrace.sites.cluster import CONFIG_MAP, KEY, StoreSettings, parse

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on the PATH"),
]


def rendered(terraform, documents):
    """The chart's objects, by kind and name."""
    files = []
    for index, text in enumerate(documents):
        file = terraform.root / f"values-{index}.yaml"
        file.write_text(text)
        files += ["--values", str(file)]
    done = subprocess.run(
        ["helm", "template", "headrace", str(terraform.root / "helm/headrace"), *files],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def site_of(objects):
    """What steps and clients read."""
    text = objects["ConfigMap", CONFIG_MAP]["data"][KEY]
    return parse(yaml.safe_load(text), where="the chart's ConfigMap")


def database_of(objects):
    """The Secret's key that holds the URL of MLflow's database."""
    pod = objects["Deployment", "headrace-mlflow"]["spec"]["template"]["spec"]
    [uri] = [
        one for one in pod["containers"][0]["env"] if one["name"] == "MLFLOW_BACKEND_STORE_URI"
    ]
    return uri["valueFrom"]["secretKeyRef"]


def test_on_aws(terraform):
    terraform.begin("environments/eks")
    outputs = terraform.planned("environments/eks", "a_site_without_keys")
    objects = rendered(terraform, outputs["values"])
    site = site_of(objects)
    assert site.store == StoreSettings(url=outputs["store"], region="eu-central-1")
    [account] = [
        one for kind, one in objects if kind == "ServiceAccount" and one == site.service_account
    ]
    assert objects["ServiceAccount", account]["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/made"
    }
    assert database_of(objects) == {"name": "mlflow-database", "key": "url"}
    whole = (*outputs["values"], "kfp: {enabled: true, database: {host: db, existingSecret: db}}")
    annotated = {
        f"headrace:{name}"
        for (kind, name), one in rendered(terraform, whole).items()
        if kind == "ServiceAccount" and "annotations" in one["metadata"]
    }
    assert annotated == set(outputs["accounts"])
    assert not [name for kind, name in objects if kind == "Secret"]


def test_on_a_cluster_that_is_there(terraform):
    terraform.begin("environments/existing")
    outputs = terraform.planned("environments/existing", "what_the_chart_is_told")
    objects = rendered(terraform, outputs["values"])
    site = site_of(objects)
    assert site.store == StoreSettings(
        url="s3://headrace/site", endpoint="http://minio.storage:9000", secret="keys"
    )
    assert site.kfp.url == "http://ml-pipeline.kubeflow:8888"
    assert database_of(objects) == {"name": "database", "key": "url"}
