"""Options that several verbs share, so that they read and behave alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace.sites.home import Home, find_home

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_NAMESPACE = click.option(
    "-n", "--namespace", default="", metavar="NAME",
    help="The site's namespace.  [default: the context's own]",
)  # fmt: skip


def _to_home(ctx: click.Context, param: click.Parameter, value: str | None) -> Home:
    return find_home(Path.cwd(), explicit=value)


def home_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--home DIR`: passes a `Home`."""
    return click.option(
        "--home",
        metavar="DIR",
        callback=_to_home,
        help="Headrace's folder.  [default: .headrace in the project, or HEADRACE_HOME]",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: passes `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Write JSON for programs to standard output."
    )(function)


def site_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--on CONTEXT` and `-n NAMESPACE`: pass `on` (None for this machine) and `namespace`."""
    context = click.option("--on", metavar="CONTEXT", help="A site: a context of the kubeconfig.")
    return context(_NAMESPACE(function))


def one_site_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same where there has to be a site: `on` is never None."""
    context = click.option(
        "--on", required=True, metavar="CONTEXT", help="A site: a context of the kubeconfig."
    )
    return context(_NAMESPACE(function))


def examples(*lines: str) -> str:
    """An epilog of example lines, which click is told not to wrap."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def shown(path: Path) -> Path:
    """A path as people read it: relative where it lies below the current folder."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def home_words(home: Home) -> str:
    """What a command typed here needs to find this home: ` --home DIR`, or nothing."""
    return "" if find_home(Path.cwd()) == home else f" --home {shown(home.root)}"
