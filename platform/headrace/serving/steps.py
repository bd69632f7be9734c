"""The body of the ready component that serves a model."""


def serve(
    model: str,
    alias: str = "champion",
    port: int = 0,
    replicas: int = 1,
    max_replicas: int = 3,
    cpu: str = "",
    memory: str = "",
) -> str:
    """Serve the version that an alias names now.

    The version is resolved here, once: moving the alias later does not move the server.
    On a cluster the step ends once the new version answers; if it cannot, the step fails and
    the version before serves on.

    Args:
        model: The registered model's name.
        alias: The alias to resolve.
        port: The port on this machine; 0 for the one that the model is served at now, or
            else the first free one from 8500. A cluster has no use for it.
        replicas: The fewest pods on a cluster.
        max_replicas: The most pods that load on a cluster may bring about.
        cpu: Cores that a pod asks for, as Kubernetes writes them; empty for the site's usual.
        memory: Memory of a pod, likewise.

    Returns:
        The server's base URL; on a cluster it is one within the cluster.
    """
    from headrace.registry.needs import servable
    from headrace.serving import deployed

    around = deployed.here()
    if around is None:
        if replicas > 1 or cpu or memory:
            print("One server runs on this machine: replicas, cpu and memory are for a cluster.")
        return _serve_here(model, alias, port)
    cluster, site = around
    if port:
        print(f"port={port} means nothing on a cluster: the Service listens on 80.")
    scale = deployed.scale_of(
        site, replicas=replicas, max_replicas=max_replicas, cpu=cpu, memory=memory
    )
    done = deployed.serve(
        cluster,
        site,
        servable(site.mlflow.url, model, alias),
        alias=alias,
        scale=scale,
        run=deployed.run_of_step(cluster),
    )
    return done.endpoint


def _serve_here(model: str, alias: str, port: int) -> str:
    import os
    from pathlib import Path

    from headrace.registry.catalog import resolve
    from headrace.serving.local import start
    from headrace.sites.home import find_home

    home = find_home(Path.cwd())
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI") or home.tracking_uri
    version, uri = resolve(tracking_uri, model, alias)
    record = start(
        home,
        model,
        uri,
        str(version),
        alias,
        port,
        run_id=os.environ.get("HEADRACE_RUN"),
        tracking_uri=tracking_uri,
    )
    return record.endpoint
