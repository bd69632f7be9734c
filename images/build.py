"""Builds Headrace's images and pushes them to a registry.

There are four, and each stands on the one before the arrow:

  base -> python           plain steps, MLflow's server, serving of scikit-learn's models
          python -> spark  Spark's driver and executors, with S3
          python -> serve  torch: serves its models
          serve -> ray     training

All libraries come from uv.lock, all jars from images/spark/jars.lock. An image's tag is Headrace's
version and a digest of everything that went into it, so an image that the registry has is never
built again. Headrace itself is in the last layer: after an edit of its source only that layer is
built and pushed, in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from building.carrying import Carrier, Outcome, summary
from building.failures import BuildProblem
from building.listing import parts
from building.locking import FILES, LIST, build_wheel, export, find_uv
from building.planning import Planned, Sources, plan, python_minor
from building.recipes import BY_NAME, RECIPES
from building.registry import Registry
from building.tools import TOOLS, Tool, find_tool
from building.values import known, values

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parent
FLAGS = "HEADRACE_BUILD_FLAGS"

EXAMPLES = f"""\
examples:
  python images/build.py --registry ghcr.io/acme --push
      build what is missing with the docker, podman or buildah of this machine, and push it
  python images/build.py --registry ghcr.io/acme --push --values images.yaml
      and write what a site has to know: helm install ... --values images.yaml
  python images/build.py --only python spark
      two images, on this machine alone; kind takes them: kind load docker-image NAME
  python images/build.py --registry 10.0.0.1:5000 --insecure --push --pull-prefix registry.lan
      a registry of plain HTTP that the cluster knows by another name
  {FLAGS}="--network=host" python images/build.py ...
      more flags for each build, here for a machine whose containers have no network of their own
"""


def main() -> int:
    """Build, push, report."""
    arguments = parse()
    try:
        run(arguments)
    except BuildProblem as problem:
        print(f"build.py: {problem}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="images/build.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_argument_group("where images go")
    where.add_argument("--registry", metavar="REG", default="", help="host, port and path")
    where.add_argument("--push", action="store_true", help="push to the registry")
    where.add_argument("--insecure", action="store_true", help="the registry speaks plain HTTP")
    where.add_argument(
        "--remove-local", action="store_true",
        help="drop this machine's copies after the push; a later build pulls what it stands on",
    )  # fmt: skip
    what = parser.add_argument_group("what is built")
    what.add_argument("--only", nargs="+", metavar="IMAGE", choices=list(BY_NAME), default=[])
    what.add_argument("--force", action="store_true", help="build what is there already, too")
    what.add_argument(
        "--base", default="python:3.12-slim-bookworm", help="the image below all (%(default)s)"
    )
    what.add_argument(
        "--torch", choices=("cuda", "cpu"), default="cuda",
        help="cpu: torch's own wheel without CUDA, 5 GB less (%(default)s)",
    )  # fmt: skip
    # Not tried: PyTorch's index could not be reached where this
    # was written.
    what.add_argument(
        "--torch-index", metavar="URL", default="https://download.pytorch.org/whl/cpu",
        help="where the wheels for --torch cpu are (%(default)s)",
    )  # fmt: skip
    what.add_argument(
        "--group", action="append", metavar="NAME",
        help="dependency groups of pyproject.toml that are in every image (pipelines)",
    )  # fmt: skip
    how = parser.add_argument_group("how")
    how.add_argument("--tool", choices=TOOLS, help="(the first that is here)")
    how.add_argument(
        "--build-flags", metavar="FLAGS", default=os.environ.get(FLAGS, ""),
        help=f"more flags for each build; also as {FLAGS}",
    )  # fmt: skip
    how.add_argument("--dry-run", action="store_true", help="say the commands and run none")
    how.add_argument("--verbose", action="store_true", help="show all that the tool writes")
    told = parser.add_argument_group("what is told")
    told.add_argument(
        "--list", action="store_true",
        help="write what the images are called and made of as JSON, and build none",
    )  # fmt: skip
    told.add_argument(
        "--values", type=Path, metavar="FILE", help="write names and versions as YAML"
    )
    told.add_argument(
        "--pull-prefix", metavar="REG", help="the registry's name as pods know it (--registry)"
    )
    arguments = parser.parse_args()
    if arguments.push and not arguments.registry:
        parser.error("--push needs --registry")
    if arguments.remove_local and not arguments.push:
        parser.error("--remove-local needs --push")
    return arguments


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    if arguments.list:
        print(json.dumps(listed(arguments), indent=1))
        return
    began = time.monotonic()
    tool = Tool(
        name=find_tool(arguments.tool),
        insecure=arguments.insecure,
        flags=shlex.split(arguments.build_flags),
    )
    print(f"reading uv.lock and building Headrace's wheel; then with {tool.name}", flush=True)
    planned = read(arguments)
    prefix = arguments.registry.rstrip("/")
    carrier = Carrier(
        tool=tool,
        registry=Registry(prefix=prefix, insecure=arguments.insecure) if prefix else None,
        pushing=arguments.push,
        force=arguments.force,
        dry=arguments.dry_run,
        verbose=arguments.verbose,
    )
    outcomes = carry(carrier, planned, arguments)
    if arguments.remove_local:
        carrier.remove_made()
    print(f"\n{summary(outcomes)}\n\n{time.monotonic() - began:.0f} s in all")


def listed(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Everything that the images are made of."""
    with sources(arguments) as found:
        prefix = arguments.registry.rstrip("/")
        return parts(found, exports(arguments, FILES), plan(found), prefix)


def read(arguments: argparse.Namespace) -> dict[str, Planned]:
    """The plan, from lock, sources and command line."""
    with sources(arguments) as found:
        return plan(found)


@contextmanager
def sources(arguments: argparse.Namespace) -> Iterator[Sources]:
    """What a plan is made from; Headrace's wheel goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="headrace-wheel-") as folder:
        yield Sources(
            images=IMAGES,
            exports=exports(arguments, LIST),
            wheel=build_wheel(find_uv(ROOT), ROOT, Path(folder)),
            base=arguments.base,
            python=python_minor(arguments.base, (ROOT / ".python-version").read_text().strip()),
            torch=arguments.torch,
            torch_index=arguments.torch_index,
        )


def exports(arguments: argparse.Namespace, form: str) -> dict[str, str]:
    """Each image's part of the lock."""
    groups = arguments.group or ["pipelines"]
    return {
        recipe.name: export(find_uv(ROOT), ROOT, extras=recipe.extras, groups=groups, form=form)
        for recipe in RECIPES
    }


def carry(
    carrier: Carrier, planned: dict[str, Planned], arguments: argparse.Namespace
) -> dict[str, Outcome]:
    """See to each image that is wanted; keep the values file true all along."""
    outcomes = {}
    for name in planned:
        if arguments.only and name not in arguments.only:
            continue
        print(f"{name}: {planned[name].whole.tag}", flush=True)
        outcomes[name] = carrier.image(planned[name])
        if arguments.values:
            write_values(carrier, planned, arguments)
    return outcomes


def write_values(
    carrier: Carrier, planned: dict[str, Planned], arguments: argparse.Namespace
) -> None:
    """Write the values file. An image that is not there yet keeps the name it had in the file."""
    path: Path = arguments.values
    references = known(path.read_text(encoding="utf-8")) if path.exists() else {}
    prefix = arguments.pull_prefix or carrier.prefix
    for name, one in planned.items():
        if carrier.present(one.whole):
            references[name] = one.whole.reference(prefix)
    path.write_text(values(planned, references), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
