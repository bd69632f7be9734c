"""Every object of every profile, as an API server takes it: by its schema, and none is made."""

import os

import pytest
import yaml
from tests.chart.test_rendering import CHART, OURS, VALUES, helm
from tests.site import kinds_of, namespace

from headrace.cluster.errors import ClusterProblem

pytestmark = pytest.mark.cluster

TRY = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "tests", "force": "true"}
IMAGES = "images.python=python,images.spark=spark,images.ray=ray,images.serve=serve"
PROFILES = {
    **{name: ["-f", str(CHART / f"ci/{name}-values.yaml")] for name in VALUES},
    "kind": ["-f", str(CHART / "values-kind.yaml"), "--set", IMAGES],
    "prod": ["-f", str(CHART / "values-prod.yaml"), "--set", f"{IMAGES},{OURS}"],
}


@pytest.fixture(scope="module")
def space(kubernetes):
    with namespace(kubernetes, f"headrace-chart-{os.getpid()}") as cluster:
        yield cluster


def served(cluster):
    """Where the server has each kind of object."""
    bases = sorted({base for base, _ in kinds_of(cluster)})
    for base in [*bases, "/apis/apiextensions.k8s.io/v1", "/apis/kueue.x-k8s.io/v1beta2"]:
        try:
            found = cluster.ask(base)["resources"]
        except ClusterProblem:
            continue
        version = base.removeprefix("/apis/").removeprefix("/api/")
        for one in found:
            if "/" not in one["name"]:
                scope = f"/namespaces/{cluster.namespace}" if one["namespaced"] else ""
                yield (version, one["kind"]), f"{base}{scope}/{one['name']}"


@pytest.mark.parametrize("profile", PROFILES)
def test_it_takes_all_of_them(space, profile):
    done = helm("template", "headrace", str(CHART), "-n", space.namespace, *PROFILES[profile])
    assert done.returncode == 0, done.stderr
    places = dict(served(space))
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    # A kind that comes with the chart is none before it has been installed.
    known = [one for one in found if (one["apiVersion"], one["kind"]) in places]
    unknown = {one["kind"] for one in found if one not in known}
    assert unknown <= {"LocalQueue", "ClusterQueue", "ResourceFlavor"}
    assert len(known) > 12
    for one in known:
        if one["kind"] == "ServiceAccount":  # without it a pod's description is refused
            space.apply(one)
    for one in known:
        place = f"{places[one['apiVersion'], one['kind']]}/{one['metadata']['name']}"
        space._json("PATCH", place, query=TRY, body=one, content="application/apply-patch+yaml")
