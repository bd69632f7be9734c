"""A model served on the cluster. What is proved here:

a version answers once `serve` returns, under labels by which it is found; another takes its place
under load and no request fails; one that cannot be loaded is rolled back, and leaves nothing if it
was the first; whoever gives up waiting leaves what was there; load adds replicas; a step's own
account may do it; and `stop` removes everything.
"""

from __future__ import annotations

import dataclasses
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.main import main
from headrace.cluster.errors import ClusterProblem
from headrace.cluster.forwarding import forward
from headrace.core.errors import StepFailed, UsageError
from headrace.registry.needs import servable
from headrace.serving import deployed
from headrace.serving.offers import Offer, Scale
from headrace.serving.rollout import roll_out
from headrace.serving.troubles import Patience

from .serving import load, register, register_torch, run_pod, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SCALE = Scale(replicas=1, max_replicas=1, cpu="50m", memory="600Mi")
BROKEN = "raise ValueError('the weights are missing')"
ENDLESS = "import time; time.sleep(3600)"


@pytest.fixture(scope="module")
def models(site: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Versions 1 (champion), 2, a broken 3 and an endless 4 of `flights`; a broken `words`."""
    from headrace.registry.tracking import connect

    folder = tmp_path_factory.mktemp("models")
    for version, loading in enumerate(["pass", "pass", BROKEN, ENDLESS], start=1):
        register(folder, site.mlflow, "flights", version, loading)
    register(folder, site.mlflow, "words", 1, BROKEN)
    connect(site.mlflow).set_registered_model_alias("flights", "champion", "1")
    yield
    for one in deployed.running(site.cluster):
        deployed.stop(site.cluster, one.name)


@pytest.fixture
def nothing_served(site: Any, models: Any) -> Iterator[None]:
    """Nothing is served, before and after."""
    yield
    for one in deployed.running(site.cluster):
        deployed.stop(site.cluster, one.name)
    assert until(lambda: not served_objects(site), 120), served_objects(site)


def served_objects(site: Any, name: str = "") -> list[str]:
    chosen = f",headrace.dev/model={name}" if name else ""
    return site.objects(f"headrace.dev/role=server{chosen}")


def serve(site: Any, name: str, version: str, told: list[str], **more: Any) -> deployed.Deployed:
    """Roll out, and note what is told meanwhile."""
    found = servable(site.mlflow, name, version)
    scale = more.pop("scale", SCALE)
    alias = "" if version.isdigit() else version
    return deployed.serve(
        site.cluster, site.site, found, alias=alias, scale=scale, tell=told.append, **more
    )


def ask(site: Any, served: deployed.Deployed) -> str:
    """The version that answers, by way of a tunnel."""
    body = json.dumps({"dataframe_records": [{"x": 1.0}]}).encode()
    with forward(site.cluster, served.service, 80) as address:
        request = urllib.request.Request(
            f"http://{address}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["predictions"][0])


def test_versions_come_and_go(site: Any, nothing_served: None) -> None:
    told: list[str] = []
    first = serve(site, "flights", "champion", told, run="r-1")
    assert first == deployed.Deployed(
        name="flights",
        version="1",
        alias="champion",
        digest=servable(site.mlflow, "flights", "1").digest,
        namespace=site.namespace,
        service="model-flights",
        replicas=1,
        ready=1,
        run="r-1",
        started=first.started,
    )
    assert ask(site, first) == "1"
    assert deployed.running(site.cluster) == [first]
    named = {one for one in served_objects(site) if one.endswith("/model-flights")}
    assert named == {
        "deployments/model-flights",
        "endpoints/model-flights",
        "horizontalpodautoscalers/model-flights",
        "networkpolicies/model-flights",
        "poddisruptionbudgets/model-flights",
        "services/model-flights",
    }
    # Nothing of it goes with the run.
    made = site.cluster.get("deployments", "model-flights")
    assert "ownerReferences" not in made["metadata"]

    image = site.site.images["python"]
    with load(site.cluster, image, first.endpoint, new=4, kept=4, pause=0.02) as running:
        assert until(lambda: running.summary["answers"].get("kept 1", 0) > 20, 120)
        pods = pod_names(site)
        assert serve(site, "flights", "1", told, run="r-2").run == "r-2"
        assert pod_names(site) == pods, "the same version again replaces no pod"

        second = serve(site, "flights", "2", told)
        assert (second.version, second.alias, second.run) == ("2", "", "")
        assert until(lambda: running.summary["answers"].get("kept 2", 0) > 20, 120)
        assert until(lambda: pod_names(site) != pods and len(pod_names(site)) == 1, 120)
    assert running.summary["errors"] == []
    answers = running.summary["answers"]
    assert answers.keys() == {"new 1", "new 2", "kept 1", "kept 2"}, running.lines

    under_load = load(site.cluster, image, first.endpoint, new=2, kept=2, pause=0.05)
    with under_load as running, pytest.raises(StepFailed) as caught:
        serve(site, "flights", "3", told)
    assert running.summary["errors"] == []
    assert running.summary["answers"].keys() <= {"new 2", "kept 2"}
    first_line, *log = caught.value.what.splitlines()
    assert first_line == (
        "Version 3 of flights did not become ready: its container 'server' ended with exit code 1. "
        "Version 2 is served as before."
    )
    assert log[-1] == "  | ValueError: the weights are missing"
    assert told[-1] == "rolled back: version 2 of flights is served as before"
    (now,) = deployed.running(site.cluster)
    assert (now.version, now.ready, now.digest) == ("2", 1, second.digest)
    assert ask(site, second) == "2"


def pod_names(site: Any) -> set[str]:
    chosen = "headrace.dev/model=flights,headrace.dev/role=server"
    return {one["metadata"]["name"] for one in site.cluster.list("pods", chosen)}


def test_a_first_version_that_fails_leaves_nothing(site: Any, nothing_served: None) -> None:
    told: list[str] = []
    with pytest.raises(StepFailed) as caught:
        serve(site, "words", "1", told)
    assert caught.value.what.splitlines()[0] == (
        "Version 1 of words did not become ready: its container 'server' ended with exit code 1. "
        "It was removed again."
    )
    assert told[-1] == "rolled back: nothing of words is left"
    assert until(lambda: not served_objects(site, "words"), 60), served_objects(site, "words")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_whoever_gives_up_leaves_what_was_there(
    site: Any, nothing_served: None, ending: type[BaseException]
) -> None:
    served = serve(site, "flights", "1", [])
    found = servable(site.mlflow, "flights", "4")

    def give_up(line: str) -> None:
        if line.startswith("version 4"):
            raise ending

    with pytest.raises(ending):
        deployed.serve(site.cluster, site.site, found, alias="", scale=SCALE, tell=give_up)
    (now,) = deployed.running(site.cluster)
    assert (now.version, now.digest, now.run) == ("1", served.digest, "")
    assert until(lambda: len(pod_names(site)) == 1, 120)
    assert ask(site, served) == "1"


def test_an_image_that_cannot_be_pulled_is_named(site: Any, nothing_served: None) -> None:
    offer = Offer(
        version=servable(site.mlflow, "flights", "1"), alias="", scale=SCALE, site=site.site,
        image="registry.testbed/nobody/nothing:1", namespace=site.namespace, rollout="r",
    )  # fmt: skip
    told: list[str] = []
    with pytest.raises(StepFailed) as caught:
        roll_out(site.cluster, offer, told.append, Patience(making=3))
    assert "cannot get the image registry.testbed/nobody/nothing:1: " in caught.value.what
    huge = dataclasses.replace(
        offer, image=site.site.images["python"], scale=Scale(cpu="900"), rollout="s"
    )
    with pytest.raises(StepFailed) as caught:
        roll_out(site.cluster, huge, told.append, Patience(room=3))
    assert "finds no node with 900 cpu free " in caught.value.what


def test_a_torch_model_is_served_by_the_image_that_has_torch(
    site: Any, nothing_served: None, tmp_path: Path
) -> None:
    if "serve" not in site.site.images:
        pytest.skip("the site has no image 'serve'")
    register_torch(tmp_path, site.mlflow, "double")
    scale = dataclasses.replace(SCALE, memory="1500Mi")
    served = serve(site, "double", "1", [], scale=scale)
    made = site.cluster.get("deployments", served.service)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["image"] == site.site.images["serve"]
    with forward(site.cluster, served.service, 80) as address:
        told = {
            "inputs": [{"name": "input-0", "shape": [2, 1], "datatype": "FP32", "data": [1, 4]}]
        }
        request = urllib.request.Request(
            f"http://{address}/v2/models/double/infer", json.dumps(told).encode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            (output,) = json.load(answer)["outputs"]
    assert output["data"] == [2.0, 8.0]


def test_load_adds_replicas(site: Any, nothing_served: None) -> None:
    try:
        site.cluster.ask("/apis/metrics.k8s.io/v1beta1/nodes")
    except ClusterProblem:
        pytest.skip("the cluster measures no load: it has no metrics server")
    scale = Scale(replicas=1, max_replicas=2, cpu="50m", memory="600Mi")
    served = serve(site, "flights", "1", [], scale=scale)
    image = site.site.images["python"]
    with load(site.cluster, image, served.endpoint, new=0, kept=8, pause=0.0) as running:
        assert until(lambda: deployed.running(site.cluster)[0].ready == 2, 400)
    assert running.summary["errors"] == []


def test_a_step_serves_with_its_own_account(site: Any, nothing_served: None) -> None:
    program = "from headrace.serving.steps import serve; print(serve('flights', cpu='50m'))"
    command = ["python", "-c", program]
    variables = {"HEADRACE_SITE": site.site.to_json(), "HEADRACE_RUN": "r-9"}
    account = site.site.service_account
    image = site.site.images["python"]
    run_pod(site.cluster, "a-step", image, command, variables=variables, serviceAccountName=account)
    try:
        done = until(lambda: phase(site, "a-step") in ("Succeeded", "Failed"), 300)
        lines = list(site.cluster.logs("a-step"))
        assert done and phase(site, "a-step") == "Succeeded", lines
        assert lines[-1] == f"http://model-flights.{site.namespace}.svc"
        (now,) = deployed.running(site.cluster)
        assert (now.version, now.alias, now.run) == ("1", "champion", "r-9")
    finally:
        site.cluster.delete("pods", "a-step", grace=1)


def phase(site: Any, pod: str) -> str:
    return str((site.cluster.get("pods", pod) or {}).get("status", {}).get("phase"))


def test_the_command_line_serves_lists_and_stops(
    site: Any, nothing_served: None, capsys: pytest.CaptureFixture[str], monkeypatch: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", site.kubeconfig)
    there = ["--on", site.context, "-n", site.namespace]
    small = ["--cpu", "50m", "--memory", "600Mi", "--max-replicas", "1"]
    assert main(["serve", "flights", *there, *small]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == "version 1: 0 of 1 replicas ready"
    assert shown.out == (
        f"flights version 1 (champion) at http://model-flights.{site.namespace}.svc\n"
        f"1 of 1 replicas ready; headrace stop flights {' '.join(there)} ends it\n\n"
        f"kubectl --context {site.context} -n {site.namespace} port-forward "
        "service/model-flights 8500:80\n"
        "curl -s http://127.0.0.1:8500/invocations -H 'Content-Type: application/json' \\\n"
        '  -d \'{"dataframe_records": [{"x": 0}]}\'\n'
    )
    assert main(["serve", *there, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["version"], listed["ready"]) == ("flights", "1", 1)
    assert main(["serve", *there]) == 0
    assert "http://model-flights." in capsys.readouterr().out
    assert main(["serve", "flights@challenger", *there]) == UsageError.exit_code
    assert "has no alias 'challenger'" in capsys.readouterr().err
    assert main(["stop", "flight", *there]) == UsageError.exit_code
    assert "Did you mean 'flights'?" in capsys.readouterr().err
    assert main(["stop", "flights", *there]) == 0
    assert capsys.readouterr().out == "Stopped flights.\n"
    assert main(["serve", *there]) == 0
    assert capsys.readouterr().out.startswith("Nothing is served there.")
