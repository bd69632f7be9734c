"""`headrace compile`: a pipeline as the YAML file that Kubeflow Pipelines runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from headrace.cli.options import examples, json_option, site_options
from headrace.core.errors import UsageError


@click.command(
    epilog=examples(
        "headrace compile pipelines/flights -o flights.yaml",
        "headrace compile pipelines/flights -o - | less",
        "headrace compile pipelines/flights -o flights.yaml --on kind-kind",
        "kfp run create -f flights.yaml",
    )
)
@click.argument("pipeline")
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="Where to write it; - is standard output."
)
@site_options
@json_option
def command(pipeline: str, output: str, on: str | None, namespace: str, as_json: bool) -> int:
    """Compile PIPELINE to plain KFP IR: the same text for the same code, whoever compiles it.

    `headrace run FILE` runs it here. For a site, --on puts the code into its store and names
    its images, so that its Kubeflow Pipelines runs the file as it stands.
    """
    from headrace.compiling.pipeline import compile_pipeline, find_pipeline

    compiled = compile_pipeline(find_pipeline(pipeline))
    if on is not None:
        from headrace.running.onsite import for_site

        compiled = for_site(compiled, on, namespace)
    if output == "-":
        click.echo(compiled.text, nl=False)
        return 0
    target = Path(output)
    if not target.parent.is_dir():
        raise UsageError(
            f"There is no folder {str(target.parent)!r} to write {target.name} to.",
            hint=f"mkdir -p {target.parent}",
        )
    if target.is_dir():
        raise UsageError(f"{output} is a folder.", hint=f"-o {target / (compiled.name + '.yaml')}")
    compiled.write(target)
    _tell(compiled, target, as_json=as_json)
    return 0


def _tell(compiled: Any, target: Path, *, as_json: bool) -> None:
    if as_json:
        from headrace.cli.console import write_json

        content = {
            "pipeline": compiled.name,
            "file": str(target.resolve()),
            "code_digest": compiled.code_digest,
            "parameters": {
                name: {"type": one.type, "default": one.default, "optional": one.optional}
                for name, one in compiled.parameters.items()
            },
        }
        write_json(content)
        return
    click.echo(f"{target}: pipeline {compiled.name}, code {compiled.code_digest[:19] or 'none'}")
    for name, one in compiled.parameters.items():
        default = f" = {one.default!r}" if one.default is not None else ""
        click.echo(f"  {name}: {one.type.removeprefix('NUMBER_').lower()}{default}")
