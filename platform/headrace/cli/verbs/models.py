"""`headrace models`: what the registry holds, what was decided, and where versions come from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from headrace.cli.options import examples, home_option, json_option
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.registry.catalog import Version


@click.command(
    epilog=examples(
        "headrace models",
        "headrace models flight-delays",
        "headrace models flight-delays/3",
        "headrace models flight-delays@champion --json",
    )
)
@click.argument("model", required=False)
@home_option
@json_option
def command(model: str | None, home: Home, as_json: bool) -> int:
    """List registered models, or show one MODEL: versions, figures, decisions and lineage.

    MODEL is NAME, NAME@ALIAS or NAME/VERSION; the lineage shown is that version's, or the
    champion's, or the latest one's.
    """
    if not home.database.exists():
        from headrace.cli.console import write_json

        if as_json:
            write_json([])
        else:
            click.echo(f"There is no model in {home.root} yet: run a pipeline that registers one.")
        return 0
    if model is None:
        _all(home, as_json=as_json)
    else:
        _one(model, home, as_json=as_json)
    return 0


def _all(home: Home, *, as_json: bool) -> None:
    from headrace.cli import console
    from headrace.cli.render.models import models_table
    from headrace.registry.catalog import models

    with console.waiting("asking the registry"):
        found = models(home.tracking_uri)
    if as_json:
        console.write_json([asdict(one) for one in found])
    elif found:
        console.show(models_table(found))
    else:
        click.echo("No model is registered yet: run a pipeline that registers one.")


def _one(model: str, home: Home, *, as_json: bool) -> None:
    from headrace.cli import console
    from headrace.cli.render.models import model_picture
    from headrace.cli.verbs.serve import parse_model
    from headrace.registry import catalog

    name, alias, number = parse_model(model)
    uri = home.tracking_uri
    with console.waiting("asking the registry"):
        versions = catalog.versions(uri, name)
        history = catalog.history(uri, name)
        asked = number or ("@" in model and alias) or _default(versions)
        lineage = catalog.lineage(uri, name, asked) if asked else None
    if as_json:
        content = {
            "name": name,
            "versions": [asdict(one) | {"uri": one.uri} for one in versions],
            "decisions": [asdict(one) for one in history],
            "lineage": asdict(lineage) if lineage else None,
        }
        console.write_json(content)
    else:
        console.show(model_picture(name, versions, history, lineage))


def _default(versions: list[Version]) -> int | None:
    """The champion, or else the latest version."""
    champion = (one.version for one in versions if "champion" in one.aliases)
    return next(champion, versions[0].version if versions else None)
