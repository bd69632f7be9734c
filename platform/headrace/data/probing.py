"""What tells whether steps can work on a site: its store, its services, what an account may do.

A client asks for its own part. A pod of the site is given this very text as its program, so that
an image with another version of Headrace can be asked as well.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headrace.cluster import contexts
from headrace.cluster.client import Cluster
from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.data.store import Store, store_of
from headrace.sites.cluster import Site, parse
from headrace.sites.versions import mine

SITE = "HEADRACE_SITE"
"""The variable with the site's description, as JSON."""
NEEDS = "HEADRACE_NEEDS"
"""The variable with what the account must be able to do, as JSON."""
MARK = "headrace-probe "
"""Begins the line that tells what was found, as JSON."""
_SECONDS = 10.0
_PATIENCE = 3


def try_store(store: Store) -> float:
    """Write, read, list and delete an object.

    Returns:
        How long that took, in seconds.

    Raises:
        EnvironmentProblem: One of them cannot be done.
    """
    began = time.monotonic()
    uri, content = store.uri("probes", secrets.token_hex(8)), secrets.token_bytes(64)
    actions: dict[str, Callable[[], Any]] = {
        "write to": lambda: store.write(uri, content),
        "read from": lambda: _require(store.read(uri) == content, uri),
        "list": lambda: _require(bool(store.listing(uri)), uri),
        "delete from": lambda: _require(store.delete(uri) == 1, uri),
    }
    for doing, action in actions.items():
        try:
            action()
        except HeadraceError as error:
            raise EnvironmentProblem(
                f"Could not {doing} it: {error.what}", where=error.where, hint=error.hint
            ) from error
    return time.monotonic() - began


def ask_mlflow(url: str) -> str:
    """MLflow's version.

    Raises:
        EnvironmentProblem: It does not answer, or not to this name.
    """
    _get(f"{url}/api/2.0/mlflow/experiments/search?max_results=1", "MLflow")
    return _get(f"{url}/version", "MLflow").strip()


def ask_kfp(url: str) -> str:
    """The version of Kubeflow Pipelines.

    Raises:
        EnvironmentProblem: It does not answer.
    """
    said = _get(f"{url}/apis/v2beta1/healthz", "Kubeflow Pipelines")
    try:
        version = json.loads(said).get("tag_name")
    except ValueError as error:
        raise EnvironmentProblem(
            "Something else than Kubeflow Pipelines answers.", where=url
        ) from error
    return str(version) if version not in (None, "", "unknown") else "of unknown version"


def missing(cluster: Cluster, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """What may not be done, of all that must: `create jobs`.

    Args:
        cluster: As the account that is asked for.
        needs: A kind, perhaps with a subresource (`pods/log`), and its verbs.
    """
    found = []
    for thing, verbs in needs.items():
        kind, _, sub = thing.partition("/")
        found += [f"{verb} {thing}" for verb in verbs if not cluster.may(verb, kind, sub=sub)]
    return found


def main() -> None:
    """In a pod: try all of it, and print what was found."""
    site = parse(json.loads(os.environ[SITE]), where=f"the variable {SITE}")
    found: dict[str, Any] = {"versions": mine(), "store": _told(lambda: try_store(_store(site)))}
    if site.mlflow.url:
        found["mlflow"] = _told(lambda: ask_mlflow(site.mlflow.url))
    if site.kfp.url:
        found["kfp"] = _told(lambda: ask_kfp(site.kfp.url))
    needs = json.loads(os.environ[NEEDS])
    found["account"] = _told(lambda: missing(contexts.inside(patience=0.0), needs))
    print(MARK + json.dumps(found))


def _store(site: Site) -> Store:
    return store_of(site.store, patience=_PATIENCE)


def _told(action: Callable[[], Any]) -> dict[str, Any]:
    """What an action gives, or what it says is wrong."""
    try:
        return {"found": action()}
    except HeadraceError as error:
        return {"what": error.what, "where": list(error.where), "hint": error.hint}


def _require(there: bool, uri: str) -> None:
    if not there:
        raise EnvironmentProblem("What was just written is not there.", where=uri)


def _get(url: str, what: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()[:200]
        raise _unwilling(what, error.code, said, url) from error
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{what} does not answer: {getattr(error, 'reason', error)}",
            where=url,
            hint="is it running, and is its URL right?",
        ) from error


def _unwilling(what: str, code: int, said: str, url: str) -> EnvironmentProblem:
    hint = ""
    if "Invalid Host header" in said:
        hint = "add that name to mlflow.allowedHosts of the chart, or to its --allowed-hosts"
    return EnvironmentProblem(f"{what} answers with HTTP {code}: {said}", where=url, hint=hint)


if __name__ == "__main__":
    main()
