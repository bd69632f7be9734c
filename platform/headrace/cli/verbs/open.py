"""`headrace open`: the pages of MLflow, of Kubeflow Pipelines or of Ray, in a browser."""

from __future__ import annotations

import sys

import click

from headrace.cli.options import examples, home_option, site_options
from headrace.core.errors import UsageError
from headrace.sites.home import Home


@click.command(
    epilog=examples(
        "headrace open",
        "headrace open --port 5050",
        "headrace open pipelines --on kind-kind -n ml",
        "headrace open ray --on kind-kind -n ml",
    )
)
@click.argument("what", type=click.Choice(["mlflow", "pipelines", "ray"]), default="mlflow")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Of this machine.  [default: a free one]"
)
@click.option(
    "--browser/--no-browser", default=None,
    help="Open a browser, or only say the address.  [default: at a terminal]",
)  # fmt: skip
@site_options
@home_option
def command(
    what: str, port: int | None, browser: bool | None, on: str | None, namespace: str, home: Home
) -> int:
    """Open the pages of WHAT until Ctrl-C: mlflow, pipelines or ray.

    Without --on it is MLflow on the runs and models of this folder, served on this machine only.
    With --on it is the site's own, led here through the Kubernetes API server where it has no
    address that answers.
    """
    wanted = sys.stdout.isatty() if browser is None else browser

    def ready(url: str) -> None:
        click.echo(f"{url}  (Ctrl-C ends it)")
        if wanted:
            click.launch(url)

    if on:
        from headrace.cli.opening_on import open_on

        return open_on(on, namespace, what, port, ready)
    if what != "mlflow":
        raise UsageError(
            f"On this machine there are no pages of {what}.",
            hint=f"headrace open {what} --on CONTEXT opens a site's",
        )
    from headrace.cli.mlflow_pages import serve_pages

    return serve_pages(port, home, ready)
