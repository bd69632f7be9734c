"""The body of the ready component that serves a model."""


def serve(model: str, alias: str = "champion", port: int = 0) -> str:
    """Serve the version that an alias names now.

    The version is resolved here, once: moving the alias later does not move the server.

    Args:
        model: The registered model's name.
        alias: The alias to resolve.
        port: The port on this machine; 0 for the one that the model is served at now, or
            else the first free one from 8500.

    Returns:
        The server's base URL.
    """
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
