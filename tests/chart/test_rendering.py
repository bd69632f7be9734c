"""The chart, rendered: whole manifests, and what it refuses.

When other manifests are meant: `UPDATE_GOLDEN=1 pytest tests/chart`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from headrace.cli.checks.access import CLIENT, STEPS
from headrace.cluster import kinds, pods
from headrace.operating.backups import BACKUP, RESTORE
from headrace.operating.safekeeping import STATEFUL
from headrace.sites.cluster import (
    CONFIG_MAP,
    KEY,
    Limits,
    Resources,
    ServiceSettings,
    Site,
    StoreSettings,
    parse,
)

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/headrace"
GOLDEN = ROOT / "tests/golden/chart"
VALUES = ("minimal", "full", "platform")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on the PATH"),
]


SPACE = "kubernetes.io/metadata.name"
SERVERS = ("Deployment", "StatefulSet")
PROXIES = ["headrace-oidc-mlflow", "headrace-oidc-pipelines"]
# What has to be said beside values-prod.yaml.
OURS = (
    "store.url=s3://data/site,kfp.database.host=db,oidc.issuerUrl=https://login.example.com,"
    "oidc.hosts.mlflow=mlflow.example.com,oidc.hosts.pipelines=pipelines.example.com"
)
SIGNING_IN = (
    "oidc.enabled=true,oidc.issuerUrl=https://login.example.com,oidc.existingSecret=signing-in,"
    "oidc.hosts.mlflow=mlflow.example.com"
)
QUEUE = "kueue.create=true,queue=teams"


def helm(*arguments):
    return subprocess.run(["helm", *arguments], capture_output=True, text=True)


def rendered(values="full", *options):
    file = CHART / f"ci/{values}-values.yaml"
    done = helm("template", "headrace", str(CHART), "-n", "team", "-f", str(file), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(*options):
    return [one for one in yaml.load_all(rendered(*options), Loader=Unique) if one]


class Unique(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, as a strict API server does."""


def _mapping(loader, node, deep=False):
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), keys
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Unique.add_constructor("tag:yaml.org,2002:map", _mapping)


class Readable(yaml.SafeDumper):
    """Writes a text of several lines as such."""


Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def one(found, kind, name):
    return next(m for m in found if (m["kind"], m["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("values", VALUES)
def test_it_is_what_it_was(values):
    found = sorted(manifests(values), key=lambda one: (one["kind"], one["metadata"]["name"]))
    for secret in found:
        if secret["kind"] == "Secret" and "data" in secret:  # made up anew each time
            secret["data"] = dict.fromkeys(secret["data"], "made")
    text = yaml.dump_all(found, Dumper=Readable, width=100)
    path = GOLDEN / f"{values}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_nothing_to_complain_of(values):
    done = helm("lint", "--strict", str(CHART), "-f", str(CHART / f"ci/{values}-values.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_kubernetes_is_refused():
    values = str(CHART / "ci/minimal-values.yaml")
    done = helm("template", "headrace", str(CHART), "-f", values, "--kube-version", "1.32.9")
    assert done.returncode != 0
    assert "chart requires kubeVersion: >=1.33.0-0 which is incompatible with" in done.stderr


def site(values):
    config = one(manifests(values), "ConfigMap", CONFIG_MAP)
    return parse(yaml.safe_load(config["data"][KEY]), where="the chart")


def test_headrace_reads_what_the_chart_says_of_the_site():
    assert site("full") == Site(
        store=StoreSettings(
            url="s3://data/teams/one",
            endpoint="http://s3.storage:9000",
            client_endpoint="https://s3.example.com",
            region="eu-central-1",
            secret="headrace-store",
        ),
        mlflow=ServiceSettings(
            url="http://headrace-mlflow.team.svc:5000", client_url="https://mlflow.example.com"
        ),
        kfp=ServiceSettings(
            url="http://ml-pipeline.kubeflow:8888", client_url="https://kfp.example.com"
        ),
        images={
            kind: f"registry.example.com/headrace/{kind}:1"
            for kind in ("python", "spark", "ray", "serve")
        },
        versions={
            "python": "3.12", "headrace": "0.1.0", "kfp": "2.17.0", "mlflow": "3.17.2",
            "ray": "2.60.0",
        },
        pull_secrets=("registry",),
        service_account="steps",
        defaults={
            "python": Resources(), "spark": Resources(), "ray": Resources(cpu="4", memory="16Gi"),
        },
        limits=Limits(step=7200),
        node_selector={"pool": "work"},
        tolerations=(
            {"key": "pool", "operator": "Equal", "value": "work", "effect": "NoSchedule"},
        ),
        ray_cluster="warm",
        queue="teams",
        served_to=("shop", "ingress"),
    )  # fmt: skip


def test_what_is_not_said_is_what_headrace_takes_for_granted():
    found = site("minimal")
    assert found == Site(
        store=StoreSettings(url="s3://headrace/site"),
        mlflow=ServiceSettings(url="http://headrace-mlflow.team.svc:5000"),
        images={"python": "registry.example.com/headrace/python:1"},
        defaults={kind: Resources() for kind in ("python", "spark", "ray")},
    )


def allowed(role):
    """What a Role lets everybody do, by resource, whatever an object's name."""
    found = {}
    for rule in role["rules"]:
        for resource in () if "resourceNames" in rule else rule["resources"]:
            for group in rule["apiGroups"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


@pytest.mark.parametrize(("role", "needs"), [("step", STEPS), ("user", CLIENT)])
def test_a_role_lets_do_all_that_the_doctor_asks_for(role, needs):
    may = allowed(one(manifests(), "Role", f"headrace-{role}"))
    lacking = {
        thing: set(verbs) - may.get((kinds.group(thing.partition("/")[0]), thing), set())
        for thing, verbs in needs.items()
    }
    assert {thing: verbs for thing, verbs in lacking.items() if verbs} == {}


def test_secrets_are_read_by_name_and_no_others():
    for role in ("step", "user"):
        rules = one(manifests(), "Role", f"headrace-{role}")["rules"]
        found = [rule for rule in rules if "secrets" in rule["resources"]]
        assert [(rule["resourceNames"], rule["verbs"]) for rule in found] == [
            (["headrace-store"], ["get"])
        ]


def pod_specs(found):
    """Every pod that the chart makes, or has made, by kind and name."""

    def within(value):
        if isinstance(value, dict):
            if "containers" in value:
                yield value
            for part in value.values():
                yield from within(part)
        elif isinstance(value, list):
            for part in value:
                yield from within(part)

    return {
        f"{m['kind']} {m['metadata']['name']}{index or ''}": spec
        for m in found
        for index, spec in enumerate(within(m))
    }


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_is_as_confined_as_steps_are(values):
    for name, spec in pod_specs(manifests(values)).items():
        assert spec["securityContext"] == pods.pod_security(), name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == pods.container_security(), name
            assert {"requests", "limits"} <= container["resources"].keys(), name


def test_only_those_who_ask_kubernetes_for_something_have_a_token():
    specs = pod_specs(manifests("platform"))
    silent = [
        name for name, one in specs.items() if one.get("automountServiceAccountToken") is False
    ]
    assert sorted(silent) == [
        "Deployment headrace-mlflow", "Deployment headrace-oidc-mlflow",
        "Deployment headrace-oidc-pipelines", "Deployment metadata-grpc-service",
        "Job headrace-objectstore-bucket", "Job headrace-preflight", "StatefulSet headrace-mysql",
        "StatefulSet headrace-objectstore", "StatefulSet headrace-postgres",
    ]  # fmt: skip


def test_a_small_node_has_room_for_the_whole_platform():
    """The profile for kind: what it reserves, in cores and GiB."""
    options = ("-f", str(CHART / "values-kind.yaml"))
    found = [one for one in manifests("minimal", *options) if one["kind"] in SERVERS]
    asked = [
        container["resources"]["requests"]
        for spec in pod_specs(found).values()
        for container in spec["containers"]
    ]
    cores = sum(float(one["cpu"].removesuffix("m")) / 1000 for one in asked)
    memory = sum(float(one["memory"].removesuffix("Mi")) / 1024 for one in asked)
    assert (round(cores, 2), round(memory, 2)) == (0.37, 1.78)


def test_in_production_nothing_is_secret_in_the_values_and_nothing_stands_alone():
    found = manifests("minimal", "-f", str(CHART / "values-prod.yaml"), "--set", OURS)
    assert not [m for m in found if m["kind"] in ("Secret", "StatefulSet")]
    for name in ("headrace-mlflow", *PROXIES):
        assert one(found, "Deployment", name)["spec"]["replicas"] == 2
        assert one(found, "PodDisruptionBudget", name)["spec"]["minAvailable"] == 1
    assert one(found, "LimitRange", "headrace")["spec"]["limits"][0]["default"] == {"memory": "2Gi"}
    server = one(found, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"][0]
    variables = {v["name"]: v.get("value", v.get("valueFrom")) for v in server["env"]}
    assert variables["DEFAULT_SECURITY_CONTEXT_RUN_AS_NON_ROOT"] == "true"
    assert variables["DBCONFIG_MYSQLCONFIG_HOST"] == "db"
    assert variables["DBCONFIG_MYSQLCONFIG_PASSWORD"] == {
        "secretKeyRef": {"name": "headrace-kfp-database", "key": "password"}
    }
    assert variables["OBJECTSTORECONFIG_HOST"] == "s3.us-east-1.amazonaws.com"
    assert variables["OBJECTSTORECONFIG_SECURE"] == "true"


def test_nobody_makes_two_schedulers():
    kinds = {m["metadata"]["name"]: m for m in manifests("platform") if m["kind"] == "Deployment"}
    recreated = {
        name for name, m in kinds.items() if m["spec"].get("strategy") == {"type": "Recreate"}
    }
    assert recreated == {
        "workflow-controller", "ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow",
    }  # fmt: skip


def test_others_images_come_through_the_mirror_and_stand_in_one_place():
    listed = yaml.safe_load((CHART / "values.yaml").read_text())["otherImages"]
    text = rendered("platform")
    for image in listed.values():
        assert f"registry.example.com/mirror/{image}" in text
        assert text.count(image) == text.count(f"registry.example.com/mirror/{image}")
    for file in CHART.glob("templates/**/*"):
        if file.is_file():
            assert not [one for one in listed.values() if one in file.read_text()], file


def test_databases_are_reached_by_their_owners_alone():
    [policy] = [
        m for m in manifests("platform")
        if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "headrace-databases"
    ]  # fmt: skip
    components = ["headrace-postgres", "headrace-mysql"]
    assert policy["spec"]["podSelector"]["matchExpressions"][0]["values"] == components
    [rule] = policy["spec"]["ingress"]
    [owners] = rule["from"][0]["podSelector"]["matchExpressions"]
    backups = ["headrace-backup", "headrace-restore"]
    assert owners["values"] == ["mlflow", "ml-pipeline", "metadata-grpc-service", *backups]
    templates = [m["template"] for m in manifests("platform") if m["kind"] == "PodTemplate"]
    named = [m["metadata"]["labels"]["app.kubernetes.io/component"] for m in templates]
    assert named == backups
    deployments = [m for m in manifests("platform") if m["kind"] == "Deployment"]
    marks = [m["spec"]["template"]["metadata"]["labels"] for m in deployments]
    assert set(owners["values"][:3]) <= {one["app.kubernetes.io/component"] for one in marks}


def test_what_keeps_its_state_in_databases_stops_while_they_are_restored():
    found = [m for m in manifests("platform") if m["kind"] == "Deployment"]
    mark, _, value = STATEFUL.partition("=")
    stopped = {m["metadata"]["name"] for m in found if m["metadata"]["labels"].get(mark) == value}
    stateless = {"ml-pipeline-ui", *PROXIES}
    assert {m["metadata"]["name"] for m in found} - stopped == stateless


def test_a_backup_goes_where_it_is_said_with_the_keys_of_that_place():
    found = manifests("platform")
    [job] = [m for m in found if m["kind"] == "CronJob" and m["metadata"]["name"] == BACKUP]
    scheduled = job["spec"]["jobTemplate"]["spec"]["template"]
    template = one(found, "PodTemplate", BACKUP)["template"]
    [container] = scheduled["spec"]["containers"]
    assert container.pop("args") == [
        "--to=s3://backups/team", "--endpoint=https://s3.example.com", "--region=eu-north-1",
        "--keep=14", "save",
    ]  # fmt: skip
    secrets = {
        v["name"]: v["valueFrom"]["secretKeyRef"]["name"] for v in container["env"]
        if "valueFrom" in v
    }  # fmt: skip
    assert secrets == {
        "AWS_ACCESS_KEY_ID": "headrace-store", "AWS_SECRET_ACCESS_KEY": "headrace-store",
        "BACKUP_ACCESS_KEY_ID": "backups", "BACKUP_SECRET_ACCESS_KEY": "backups",
    }  # fmt: skip
    # What is made by hand is the same, and is told what to do.
    assert scheduled["metadata"]["labels"].pop("headrace.dev/chore") == "save"
    assert template["spec"]["containers"][0].pop("args")[-1] == "--keep=14"
    assert template == scheduled


def test_a_restoration_fetches_checks_and_then_loads():
    spec = one(manifests("platform"), "PodTemplate", RESTORE)["template"]["spec"]
    assert [c["name"] for c in spec["initContainers"]] == [
        "fetch", "mlflow-database", "kfp-databases",
    ]  # fmt: skip
    script = spec["initContainers"][1]["args"][0].splitlines()
    guard = script.index("test -s /work/dumps/mlflow.sql")
    assert "DROP SCHEMA public CASCADE" in script[guard + 1]
    assert "--single-transaction --set=ON_ERROR_STOP=1" in script[guard + 2]


def let_in(found, namespace):
    """What pods of another namespace reach: the components, or everything, of each policy."""
    reached = {}
    for policy in [m for m in found if m["kind"] == "NetworkPolicy"]:
        named = [
            peer.get("namespaceSelector", {}).get("matchLabels")
            for rule in policy["spec"]["ingress"]
            for peer in rule["from"]
        ]
        if {SPACE: namespace} in named:
            marks = policy["spec"]["podSelector"]["matchExpressions"]
            components = [one["values"] for one in marks if one["key"].endswith("/component")]
            reached[policy["metadata"]["name"]] = components
    return reached


def test_ray_heads_take_jobs_from_one_other_namespace_alone():
    """Whoever reaches that port can start programs, and a pod can have any label."""

    def namespaces(*options):
        policies = [m for m in manifests(*options) if m["kind"] == "NetworkPolicy"]
        rules = [rule for m in policies for rule in m["spec"]["ingress"] if "ports" in rule]
        assert all(one["ports"] == [{"protocol": "TCP", "port": 8265}] for one in rules)
        return [one["from"] for one in rules]

    of_kuberay = [{"namespaceSelector": {"matchLabels": {SPACE: "kuberay-system"}}}]
    assert namespaces("minimal") == [of_kuberay, of_kuberay]
    assert namespaces("minimal", "--set", "kuberayNamespace=") == []


def test_where_people_sign_in_there_is_no_way_around_it():
    without = manifests("platform", "--set", "oidc.enabled=false")
    databases = ["headrace-postgres", "headrace-mysql"]
    assert let_in(without, "ingress-nginx") == {
        "headrace-release": [databases], "headrace-runs": [],
    }  # fmt: skip
    found = manifests("platform")
    assert let_in(found, "ingress-nginx") == {
        "headrace-outside": [[*PROXIES, "headrace-objectstore"]]
    }
    outside = one(found, "NetworkPolicy", "headrace-outside")
    marks = outside["spec"]["podSelector"]["matchExpressions"][1]["values"]
    there = [m["spec"]["template"]["metadata"]["labels"] for m in found if m["kind"] in SERVERS]
    assert set(marks) <= {one["app.kubernetes.io/component"] for one in there}
    assert let_in(manifests("platform", "--set", "allowedFrom=null"), "ingress-nginx") == {}


def test_a_proxy_stands_before_what_there_is():
    def proxies(*options):
        found = manifests(*options)
        return [m["metadata"]["name"] for m in found if m["metadata"]["name"] in PROXIES]

    assert proxies("platform", "--set", "oidc.enabled=false") == []
    kinds = ["Deployment", "Ingress", "PodDisruptionBudget", "Service"]
    made = [m for m in manifests("platform") if m["metadata"]["name"] in PROXIES]
    assert sorted((m["kind"], m["metadata"]["name"]) for m in made) == [
        (kind, name) for kind in kinds for name in PROXIES
    ]
    assert proxies("minimal", "--set", SIGNING_IN) == ["headrace-oidc-mlflow"] * 2
    without = ("--set", "mlflow.enabled=false")
    assert set(proxies("platform", *without)) == {"headrace-oidc-pipelines"}
    without = ("--set", "kfp.ui.enabled=false")
    assert set(proxies("platform", *without)) == {"headrace-oidc-mlflow"}


def test_all_may_come_in_where_nobody_is_named():
    found = one(manifests("minimal", "--set", SIGNING_IN), "Deployment", PROXIES[0])
    [proxy] = found["spec"]["template"]["spec"]["containers"]
    who = [one for one in proxy["args"] if "group" in one or "email" in one or "scope" in one]
    assert who == ["--oidc-groups-claim=groups", "--email-domain=*"]


def test_browsers_elsewhere_may_change_something_in_mlflow():
    def says(option, *given):
        spec = one(manifests(*given), "Deployment", "headrace-mlflow")["spec"]["template"]["spec"]
        args = spec["containers"][0]["args"]
        return [one.partition("=")[2].split(",") for one in args if one.startswith(option)]

    assert says("--cors-allowed-origins", "minimal") == []
    assert says("--cors-allowed-origins", "minimal", "--set", SIGNING_IN) == [
        ["https://mlflow.example.com"]
    ]
    assert says("--allowed-hosts", "minimal", "--set", SIGNING_IN)[0][-2:] == [
        "mlflow.example.com", "mlflow.example.com:*",
    ]  # fmt: skip
    assert says("--cors-allowed-origins", "full") == [[
        "https://mlflow.example.com", "https://mlflow.example.com:*",
        "http://mlflow.example.com", "http://mlflow.example.com:*",
    ]]  # fmt: skip


def test_no_password_is_outside_of_the_secret():
    hidden = [m for m in manifests() if "not-a-secret" in str(m)]
    assert [(m["kind"], m["metadata"]["name"]) for m in hidden] == [
        ("Secret", "headrace-store"), ("Secret", "headrace-preflight"),
    ]  # fmt: skip
    deployment = one(manifests(), "Deployment", "headrace-mlflow")
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    hidden = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in variables if "valueFrom" in v}
    assert hidden == {
        "MLFLOW_BACKEND_STORE_URI": {"name": "record-database", "key": "url"},
        "AWS_ACCESS_KEY_ID": {"name": "headrace-store", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "headrace-store", "key": "AWS_SECRET_ACCESS_KEY"},
    }


def queues(found):
    return {m["kind"]: m for m in found if m["apiVersion"].startswith("kueue.x-k8s.io/")}


def test_queues_of_two_teams_have_nothing_in_common():
    made = queues(manifests("full"))
    assert {kind: one["metadata"]["name"] for kind, one in made.items()} == {
        "LocalQueue": "teams", "ClusterQueue": "headrace-team", "ResourceFlavor": "headrace-team",
    }  # fmt: skip
    assert made["LocalQueue"]["spec"] == {"clusterQueue": "headrace-team"}
    whose = made["ClusterQueue"]["spec"]["namespaceSelector"]["matchLabels"]
    assert whose == {"kubernetes.io/metadata.name": "team"}
    [group] = made["ClusterQueue"]["spec"]["resourceGroups"]
    [flavor] = group["flavors"]
    assert [(one["name"], one["nominalQuota"]) for one in flavor["resources"]] == [
        ("cpu", "64"), ("memory", "512Gi"), ("nvidia.com/gpu", "8"),
    ]  # fmt: skip


def test_a_queue_may_lead_to_one_that_is_there():
    made = queues(manifests("minimal", "--set", f"{QUEUE},kueue.clusterQueue=all"))
    assert [(kind, one["spec"]) for kind, one in made.items()] == [
        ("LocalQueue", {"clusterQueue": "all"})
    ]


@pytest.mark.parametrize(
    ("served", "refused"), [((), False), (("kueue.x-k8s.io/v1beta2",), False), ((), True)]
)
def test_a_queue_needs_kueue_in_the_cluster(served, refused):
    """What a cluster serves tells it from a rendering without one."""
    there = ["apiregistration.k8s.io/v1"] if refused or served else []
    options = [word for one in (*there, *served) for word in ("--api-versions", one)]
    values = str(CHART / "ci/minimal-values.yaml")
    setting = f"{QUEUE},kueue.clusterQueue=all"
    done = helm("template", "x", str(CHART), "-f", values, "--set", setting, *options)
    assert (done.returncode != 0) == refused, done.stderr
    assert ("kueue.create needs Kueue 0.15 or newer" in done.stderr) == refused


def test_a_database_file_can_be_kept():
    found = manifests("minimal", "--set", "mlflow.persistence.enabled=true")
    claim = one(found, "PersistentVolumeClaim", "headrace-mlflow")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    spec = one(found, "Deployment", "headrace-mlflow")["spec"]["template"]["spec"]
    assert spec["volumes"][-1] == {
        "name": "data", "persistentVolumeClaim": {"claimName": "headrace-mlflow"},
    }  # fmt: skip


def test_without_mlflow_the_site_has_another_or_none():
    options = (
        "minimal",
        "--set",
        "mlflow.enabled=false",
        "--set",
        "mlflow.url=http://mlflow.ml:80",
    )
    found = manifests(*options)
    assert not [m for m in found if m["kind"] in SERVERS or m["kind"] == "Service"]
    config = yaml.safe_load(one(found, "ConfigMap", CONFIG_MAP)["data"][KEY])
    assert config["mlflow"] == {"url": "http://mlflow.ml:80", "client_url": ""}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("store.url=http://x", "at '/store/url': 'http://x' does not match pattern"),
        ("store.url=", "store.url is missing: the bucket and prefix of the site, such as s3://"),
        ("store.urls=s3://x", "at '/store': additional properties 'urls' not allowed"),
        ("images.python=", "images.python is missing: images/build.py writes what to put there"),
        ("images.jax=x", "at '/images': additional properties 'jax' not allowed"),
        ("limits.step=0", "at '/limits/step': minimum: got 0, want 1"),
        ("store.accessKeyId=x", "store.secretAccessKey is missing beside store.accessKeyId"),
        (
            "kfp.enabled=true",
            "kfp.enabled needs a MySQL database: name the site's own in kfp.database",
        ),
        (
            "kfp.enabled=true,kfp.database.host=db",
            "kfp.database.existingSecret is missing: the Secret",
        ),
        (
            "objectStore.enabled=true,store.endpoint=http://x",
            "objectStore.enabled makes a store with keys",
        ),
        ("mlflow.replicas=2", "several servers cannot share a SQLite file"),
        ("quota.pods=5", "quota needs containerDefaults"),
        ("reaper.schedule=hourly", "at '/reaper/schedule': 'hourly' does not match pattern"),
        ("kfp.requeue=1", "at '/kfp/requeue'"),
        ("backup.to=s3://backups/ml", "backup.to needs MLflow's database to be PostgreSQL"),
        (
            "backup.to=s3://headrace,postgres.enabled=true",
            "backup.to and the store lie within each other (s3://headrace, s3://headrace/site)",
        ),
        (
            "backup.to=s3://backups/ml,postgres.enabled=true,backup.endpoint=http://x",
            "backup.endpoint is for a place with a Secret of its own",
        ),
        ("backup.keep=0", "at '/backup/keep': minimum: got 0, want 1"),
        ("otherImages.redis=x", "at '/otherImages': additional properties 'redis' not allowed"),
        ("kueue.create=true", "queue is missing beside kueue.create: what is the LocalQueue"),
        ("kueue.create=true,queue=teams", "kueue.resources is missing: what may be admitted"),
        (
            "kueue.create=true,queue=teams,kueue.clusterQueue=all,kueue.cohort=research",
            "kueue.clusterQueue names all, which is there: what resources, cohort,",
        ),
        ("kueue.flavor=x", "at '/kueue': additional properties 'flavor' not allowed"),
        ("kueue.preemption.withinClusterQueue=Any", "at '/kueue/preemption/withinClusterQueue'"),
        ("kueue.resources.cpu=many", "at '/kueue/resources/cpu'"),
        ("defaults.python.memory=2GB", "at '/defaults/python/memory': '2GB' does not match"),
        (f"{SIGNING_IN},oidc.issuerUrl=", "oidc.issuerUrl is missing: the issuer of the OIDC"),
        (f"{SIGNING_IN},oidc.existingSecret=", "oidc.existingSecret is missing: the Secret with"),
        (f"{SIGNING_IN},oidc.hosts.mlflow=", "oidc.hosts.mlflow is missing: the name by which"),
        (f"{SIGNING_IN},mlflow.enabled=false", "oidc.enabled has nothing to stand in front of"),
        (f"{SIGNING_IN},oidc.issuerUrl=http://x", "at '/oidc/issuerUrl': 'http://x' does not"),
        (f"{SIGNING_IN},oidc.clientSecret=x", "at '/oidc': additional properties 'clientSecret'"),
        (f"{SIGNING_IN},oidc.emailDomains=null", "oidc.emailDomains names nobody"),
    ],
)
def test_what_it_refuses(setting, complaint):
    values = str(CHART / "ci/minimal-values.yaml")
    done = helm("template", "headrace", str(CHART), "-f", values, "--set", setting)
    assert done.returncode != 0
    assert complaint in done.stderr
