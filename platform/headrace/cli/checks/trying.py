"""What only a pod can tell: whether images can be pulled, and what a step's pod can reach."""

from __future__ import annotations

import inspect
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.cli.checks.access import STEPS, check_steps
from headrace.cli.checks.finding import Finding, Health, caution, fine, from_error, wrong
from headrace.cluster import pods, trials
from headrace.cluster.client import Cluster
from headrace.cluster.trials import Outcome, Trial
from headrace.core.errors import HeadraceError
from headrace.data import probing
from headrace.data.store import KEY_VARIABLE, SECRET_VARIABLE
from headrace.sites.cluster import Site

PATIENCE = 180.0
"""Seconds after which a pod that tries something is given up."""
PULL_PATIENCE = 1200.0
"""The same where gigabytes are pulled."""
_SUBJECTS = {"store": "store", "mlflow": "MLflow", "kfp": "KFP"}


def try_site(cluster: Cluster, site: Site) -> list[Finding]:
    """Start a pod as steps have it, and tell what it found."""
    if "python" not in site.images:
        return [wrong("pod", "the site has no python image", "set `images` in the chart's values")]
    program = inspect.getsource(probing)
    trial = _trial(
        site,
        site.images["python"],
        ["python", "-c", program],
        variables=pods.variables(
            {probing.SITE: site.to_json(), probing.NEEDS: json.dumps(STEPS)},
            secret=site.store.secret, keys=[KEY_VARIABLE, SECRET_VARIABLE],
        ),
    )  # fmt: skip
    try:
        outcome = trials.run(cluster, trial, patience=PATIENCE)
    except HeadraceError as error:
        return [from_error("pod", error)]
    return list(told(outcome, site))


def told(outcome: Outcome, site: Site) -> Iterator[Finding]:
    """What came of the pod, and what it told."""
    found = report(outcome.log)
    if found is None:
        yield _without_word(outcome, site.images["python"])
        return
    yield fine("pod", f"started in {outcome.waited:.1f} s, {_pull(outcome)}")
    yield from _contents("python", site.versions, found["versions"])
    for part, subject in _SUBJECTS.items():
        if part in found:
            yield _from_pod(subject, found[part])
    account = found["account"]
    if "what" in account:
        yield from_error("account", _error(account))
    else:
        yield check_steps(site.service_account, account["found"])


def report(log: str) -> dict[str, Any] | None:
    """What the program in the pod told; None if it did not come that far."""
    for line in log.splitlines():
        if line.startswith(probing.MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(probing.MARK))
            return found
    return None


def try_images(cluster: Cluster, site: Site) -> list[Finding]:
    """Have every other image pulled, side by side, and see what is in it."""
    names = sorted(set(site.images) - {"python"})
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        found = pool.map(lambda name: list(_try_image(cluster, site, name)), names)
        return [one for part in found for one in part]


def untried(site: Site) -> Finding:
    """The other images, where nobody asked for them to be pulled."""
    names = sorted(set(site.images) - {"python"})
    text = f"{', '.join(names)} not tried: they are gigabytes"
    return Finding(
        subject="images", health=Health.ABSENT, text=text, remedy="--images has them pulled"
    )


def _try_image(cluster: Cluster, site: Site, name: str) -> Iterator[Finding]:
    program = (
        "import json; from headrace.sites.versions import mine; "
        f"print({probing.MARK!r} + json.dumps({{'versions': mine()}}))"
    )
    trial = _trial(site, site.images[name], ["python", "-c", program])
    try:
        outcome = trials.run(cluster, trial, patience=PULL_PATIENCE)
    except HeadraceError as error:
        yield from_error(f"image {name}", error)
        return
    found = report(outcome.log)
    if found is None:
        yield _without_word(outcome, site.images[name], subject=f"image {name}")
        return
    yield fine(f"image {name}", f"started in {outcome.waited:.1f} s, {_pull(outcome)}")
    yield from _contents(name, site.versions, found["versions"])


def _trial(
    site: Site, image: str, command: Sequence[str], *, variables: Sequence[Any] = ()
) -> Trial:
    return Trial(
        name=f"headrace-doctor-{secrets.token_hex(4)}",
        image=image,
        command=command,
        variables=variables,
        account=site.service_account,
        pull_secrets=site.pull_secrets,
        node_selector=site.node_selector,
        tolerations=site.tolerations,
        queue=site.queue,
    )


def _contents(
    name: str, claimed: Mapping[str, str], actual: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether an image holds what the site says that it does."""
    lies = [
        f"{word} {actual[word]} instead of {version}"
        for word, version in claimed.items()
        if word in actual and actual[word] != version
    ]
    if lies:
        yield caution(
            f"image {name}",
            f"holds {', '.join(lies)}",
            "upgrade the chart with the values file that images/build.py wrote with the images",
        )


def _without_word(outcome: Outcome, image: str, *, subject: str = "pod") -> Finding:
    if outcome.problem is not None:
        last = [line for line in outcome.log.splitlines() if line.strip()][-1:]
        return Finding(
            subject=subject,
            health=Health.WRONG,
            text=outcome.problem.text,
            remedy=outcome.problem.remedy,
            where=tuple(last),
        )
    return wrong(subject, f"a pod with {image} ended without a word", "is it Headrace's image?")


def _from_pod(subject: str, found: Mapping[str, Any]) -> Finding:
    if "what" in found:
        return from_error(f"{subject} in pod", _error(found))
    value = found["found"]
    text = f"written, read, deleted in {value:.1f} s" if isinstance(value, float) else str(value)
    return fine(f"{subject} in pod", text)


def _error(found: Mapping[str, Any]) -> HeadraceError:
    return HeadraceError(found["what"], where=found["where"], hint=found["hint"])


def _pull(outcome: Outcome) -> str:
    return f"image pulled in {outcome.pulled}" if outcome.pulled else "its image was there"
