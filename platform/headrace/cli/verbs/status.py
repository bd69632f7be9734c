"""`headrace status`: where a run stands, and on a cluster what its pods are doing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from headrace.cli.options import (
    examples,
    home_option,
    home_words,
    json_option,
    site_options,
)
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.cluster.finding import Found

_REFRESH_SECONDS = 2.0


@click.command(
    epilog=examples(
        "headrace status",
        "headrace status flights-20261124 --watch",
        "headrace status latest --json",
        "headrace status flights-20261124 --on kind-team -n ml",
    )
)
@click.argument("run", default="latest")
@click.option("-w", "--watch", is_flag=True, help="Go on until the run is over.")
@site_options
@home_option
@json_option
def command(
    run: str, watch: bool, on: str | None, namespace: str, home: Home, as_json: bool
) -> int:
    """Show where RUN stands (a name or id, its unique beginning, or `latest`): each step and, on a
    cluster, its pods with what they wait for, its Ray cluster, and Kubernetes' warnings.

    A run that this machine has begun is found by its name alone, wherever it takes place. One
    that was begun elsewhere is found with --on, as far as its site remembers it. Where the
    cluster does not answer, what is known here is shown. With --watch it ends when the run
    does, and as the run does: 0 if all went well, 1 if a step failed, 3 if a gate said no.
    With --watch --json, each change is an object on a line of its own.
    """
    from headrace.cli.cluster.finding import found
    from headrace.core.errors import UsageError

    if namespace and not on:
        raise UsageError("--namespace is of a cluster.", hint="name one with --on CONTEXT")
    if watch:
        return _watch(home, run, on, namespace, as_json=as_json)
    with found(home, run, on, namespace) as one:
        _show(one, home, as_json=as_json)
    return 0


def _show(run: Found, home: Home, *, as_json: bool) -> None:
    from headrace.cli import console
    from headrace.cli.render.status import status_object, status_picture

    if as_json:
        console.write_json(status_object(run))
    else:
        console.show(status_picture(run, now=time.time(), home_words=home_words(home)))


def _watch(home: Home, text: str, on: str | None, namespace: str, *, as_json: bool) -> int:
    from headrace.cli import console

    screen = console.out()
    if as_json or not screen.is_terminal:
        show = _changes(home, as_json=as_json)
        return _follow(home, text, on, namespace, show).view.exit_code
    from rich.live import Live

    from headrace.cli.render.status import status_picture

    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def draw(run: Found) -> None:
            words, height = home_words(home), screen.size.height
            picture = status_picture(run, now=time.time(), home_words=words, height=height)
            live.update(picture, refresh=True)

        last = _follow(home, text, on, namespace, draw)
    _show(last, home, as_json=False)
    return last.view.exit_code


def _follow(
    home: Home, text: str, on: str | None, namespace: str, show: Callable[[Found], None]
) -> Found:
    """Look again and again until the run is over; what was lost is looked for anew."""
    from headrace.cli.cluster.finding import again, found, is_over

    quiet_since = time.monotonic()
    while True:
        with found(home, text, on, namespace) as one:
            text = one.view.run
            while True:
                show(one)
                if one.seen is None or one.seen.active:
                    quiet_since = time.monotonic()
                quiet = time.monotonic() - quiet_since
                if is_over(one, quiet_seconds=quiet):
                    return one
                time.sleep(_REFRESH_SECONDS)
                if one.there and one.there.cluster is None:
                    break
                one = again(one)


def _changes(home: Home, *, as_json: bool) -> Callable[[Found], None]:
    """Shows a run whenever something about it has changed."""
    from headrace.cli.render.status import signature

    told: list[object] = []

    def show(run: Found) -> None:
        now = signature(run)
        if told != [now]:
            told[:] = [now]
            _show(run, home, as_json=as_json)

    return show
