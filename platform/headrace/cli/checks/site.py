"""A site on a cluster: can it be reached and used from here, and can steps work there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

from headrace.cli.checks.access import check_access
from headrace.cli.checks.finding import Finding, Health, caution, fine, from_error, wrong
from headrace.cli.checks.room import check_nodes, check_quotas
from headrace.cli.checks.trying import try_images, try_site, untried
from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect
from headrace.cluster.errors import NotThere
from headrace.cluster.forwarding import reach
from headrace.cluster.problems import condition, short
from headrace.core.errors import HeadraceError
from headrace.data.probing import ask_kfp, ask_mlflow, try_store
from headrace.data.store import KEY_VARIABLE, SECRET_VARIABLE, store_of
from headrace.executing.surroundings import secret_values
from headrace.sites import versions
from headrace.sites.cluster import ServiceSettings, Site, discover

OLDEST = (1, 33)
"""Kubernetes before this is not tried out."""
_PATIENCE = 3
Question = tuple[str, Callable[[], Iterable[Finding]]]
"""What is asked about, and how."""
_KINDS = ("python", "spark", "ray", "serve")


def site_findings(context: str, namespace: str, *, images: bool) -> Iterator[Finding]:
    """Answers on a site.

    Args:
        context: The kubeconfig's context.
        namespace: The namespace; the context's own unless given.
        images: Whether every image is pulled, which may take long.

    Raises:
        UsageError: There is no such context.
    """
    cluster = connect(context, namespace)
    subject = "cluster"
    try:
        yield check_cluster(cluster)
        subject = "site"
        site = discover(cluster)
    except HeadraceError as error:
        yield from_error(subject, error)
        return
    yield fine("site", f"{cluster.namespace} keeps what it makes at {site.store.url}")
    yield from side_by_side(_questions(cluster, site, images=images))


def side_by_side(questions: Iterable[Question]) -> Iterator[Finding]:
    """Ask all at once; the answers come in the questions' order."""
    asked = list(questions)
    with ThreadPoolExecutor(len(asked)) as pool:
        for found in pool.map(lambda one: _answers(*one), asked):
            yield from found


def _answers(subject: str, ask: Callable[[], Iterable[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(ask())
    except HeadraceError as error:
        found.append(from_error(subject, error))
    return found


def _questions(cluster: Cluster, site: Site, *, images: bool) -> Iterator[Question]:
    yield "access", lambda: [check_access(cluster)]
    yield "versions", lambda: check_versions(site)
    yield "KubeRay", lambda: [check_kuberay(cluster, site)]
    yield "queue", lambda: check_queue(cluster, site)
    yield "store", lambda: check_store(cluster, site)
    yield "MLflow", lambda: [check_mlflow(cluster, site)]
    yield "KFP", lambda: [check_kfp(cluster, site)]
    yield "nodes", lambda: [check_nodes(cluster, site)]
    yield "quota", lambda: check_quotas(cluster, site)
    yield "pod", lambda: try_site(cluster, site)
    if images:
        yield "images", lambda: try_images(cluster, site)
    elif set(site.images) - {"python"}:
        yield "images", lambda: [untried(site)]


def check_cluster(cluster: Cluster) -> Finding:
    """Whether the API server answers, and its version."""
    found = cluster.ask("/version")
    text = f"Kubernetes {found['gitVersion'].removeprefix('v')} at {cluster.api.configuration.host}"
    minor = re.match(r"\d+", found["minor"])
    if minor and (int(found["major"]), int(minor[0])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return caution("cluster", text, f"Headrace is made for {oldest} and newer")
    return fine("cluster", text)


def check_versions(site: Site) -> Iterator[Finding]:
    """Whether the images hold the versions that are installed here, and whether any is missing."""
    if not site.versions:
        text = "the site does not say what its images hold"
        yield caution("versions", text, "give the chart the values file of images/build.py")
    elif found := versions.check(site.versions, versions.mine()):
        yield wrong("versions", "; ".join(map(str, found)), versions.remedy(found))
    else:
        yield fine("versions", ", ".join(f"{k} {v}" for k, v in site.versions.items()))
    if lacking := [kind for kind in _KINDS if kind not in site.images]:
        text = f"none for {', '.join(lacking)}; only what needs them needs them"
        yield Finding(
            subject="images", health=Health.ABSENT, text=text,
            remedy="build them with images/build.py and set `images` in the chart's values",
        )  # fmt: skip


def check_kuberay(cluster: Cluster, site: Site) -> Finding:
    """Whether the cluster knows RayJobs, and the site's standing Ray cluster is there."""
    try:
        found = cluster.ask("/apis/ray.io/v1")
    except NotThere:
        text = "is not installed; only Ray steps need it"
        return Finding(
            subject="KubeRay", health=Health.ABSENT, text=text,
            remedy="have its operator installed, 1.6 or newer",
        )  # fmt: skip
    kinds = {one["name"] for one in found["resources"]}
    if "rayjobs" not in kinds:
        return wrong("KubeRay", "serves no RayJob as ray.io/v1", "have it upgraded to 1.6 or newer")
    if site.ray_cluster and cluster.get("rayclusters", site.ray_cluster) is None:
        text = f"there is no RayCluster {site.ray_cluster!r}"
        return wrong("KubeRay", text, "make it, or correct `ray_cluster` of the site")
    return fine("KubeRay", "serves RayJobs as ray.io/v1")


def check_queue(cluster: Cluster, site: Site) -> Iterator[Finding]:
    """Whether the site's queue is there, if it has one."""
    if not site.queue:
        return
    try:
        cluster.ask("/apis/kueue.x-k8s.io/v1beta2")
    except NotThere:
        text = f"the site names {site.queue}, and the cluster has no Kueue: nothing is queued"
        yield wrong("queue", text, "have Kueue installed, 0.15 or newer, or empty `queue`")
        return
    found = cluster.get("localqueues", site.queue)
    if found is None:
        text = f"there is no LocalQueue {site.queue!r}: nothing would ever be admitted"
        yield wrong("queue", text, "make it (kueue.create of the chart), or correct `queue`")
        return
    active = condition(found, "Active")
    if active.get("status") != "True":
        said = short(str(active.get("message") or "Kueue has not looked at it"))
        text = f"{site.queue} admits nothing: {said}"
        yield wrong("queue", text, "`kubectl describe localqueues,clusterqueues` tells more")
        return
    counts = found.get("status", {})
    waits, admitted = (int(counts.get(f"{one}Workloads", 0)) for one in ("pending", "admitted"))
    yield fine("queue", f"{site.queue} admits what computes: {admitted} admitted, {waits} waiting")


def check_store(cluster: Cluster, site: Site) -> Iterator[Finding]:
    """Whether the credentials are there, and the store can be used from here."""
    credentials = None
    if site.store.secret:
        credentials = secret_values(cluster, site.store.secret)
        lacking = [one for one in (KEY_VARIABLE, SECRET_VARIABLE) if not credentials.get(one)]
        if lacking:
            text = f"{site.store.secret} lacks {' and '.join(lacking)}"
            yield wrong("Secret", text, "add what is missing, under that very name")
            return
        yield fine("Secret", f"{site.store.secret} has both keys")
    with _way(cluster, site) as endpoint:
        settings = type(site.store)(**{**vars(site.store), "client_endpoint": endpoint})
        store = store_of(settings, outside=True, credentials=credentials, patience=_PATIENCE)
        seconds = try_store(store)
    at = f" at {endpoint}" if endpoint else ""
    yield fine("store", f"{site.store.url}{at}: written, read, deleted in {seconds:.1f} s")


def check_mlflow(cluster: Cluster, site: Site) -> Finding:
    """Whether MLflow answers from here."""
    return _check_service("MLflow", cluster, site.mlflow, ask_mlflow, "runs are recorded here only")


def check_kfp(cluster: Cluster, site: Site) -> Finding:
    """Whether Kubeflow Pipelines answers from here."""
    return _check_service("KFP", cluster, site.kfp, ask_kfp, "runs are driven from here")


def _check_service(
    subject: str,
    cluster: Cluster,
    settings: ServiceSettings,
    ask: Callable[[str], str],
    without: str,
) -> Finding:
    if not settings.url:
        text = f"the site has none; {without}"
        return Finding(subject=subject, health=Health.ABSENT, text=text)
    with reach(cluster, settings.url, settings.client_url) as url:
        version = ask(url.rstrip("/"))
    way = "" if url in (settings.url, settings.client_url) else ", through a tunnel"
    return fine(subject, f"{version} at {settings.client_url or settings.url}{way}")


def _way(cluster: Cluster, site: Site) -> AbstractContextManager[str]:
    if not site.store.endpoint:
        return nullcontext("")
    return reach(cluster, site.store.endpoint, site.store.client_endpoint)
