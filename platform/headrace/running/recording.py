"""The process that writes a cluster's run into the site's MLflow, from here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import reach
from headrace.core.errors import HeadraceError
from headrace.sites.cluster import Site

_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The recorder itself asks again, and knows when to stop; MLflow's client would go on for
    # minutes after the way to the cluster has gone.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


async def begin(folder: Path, cluster: Cluster, site: Site, until: ExitStack) -> Any:
    """Start the recorder.

    Args:
        folder: The run's folder.
        cluster: Where the site is.
        site: Which MLflow it has.
        until: Holds the way to MLflow open, for as long as the run lasts.

    Returns:
        An awaitable that ends with the recorder; None if the site has no MLflow.
    """
    if not site.mlflow.url:
        return None
    return asyncio.create_task(_run(folder, cluster, site, until))


async def _run(folder: Path, cluster: Cluster, site: Site, until: ExitStack) -> int:
    way = reach(cluster, site.mlflow.url, site.mlflow.client_url)
    try:
        uri = await asyncio.to_thread(until.enter_context, way)
    except HeadraceError as error:
        (folder / "record-error.txt").write_text(f"{error}\n")
        return 1
    with (folder / "recorder.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "headrace.registry.recorder", str(folder),
            "--tracking-uri", uri,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **_VARIABLES},
        )  # fmt: skip
        return await process.wait()
