"""The home: can it be written, is its database sound, and is anything left behind in it."""

from __future__ import annotations

import http.client
import os
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from headrace.cli.checks.finding import Finding, Health, caution, fine, from_error, wrong
from headrace.cli.cleaning.leftovers import find_leftovers
from headrace.cli.render.quantities import count
from headrace.core.errors import HeadraceError
from headrace.core.states import State
from headrace.sites.home import Home
from headrace.sites.journal import RunRecord, list_runs

if TYPE_CHECKING:
    from headrace.serving.records import ServerRecord

DATABASE_WAIT_SECONDS = 2.0


def house(home: Home) -> Iterator[Finding]:
    """Answers on the home."""
    yield check_home(home)
    if not home.root.is_dir():
        return
    yield check_database(home)
    runs = list_runs(home)
    yield check_runs(home, runs)
    yield check_records(home)
    yield check_servers(home)


def check_home(home: Home) -> Finding:
    """Whether the folder is there and can be written."""
    if not home.root.exists():
        parent = next(one for one in home.root.parents if one.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return fine("home", f"{home.root} is made by the first run")
        return wrong("home", f"{parent} cannot be written", "choose another folder with --home")
    try:
        with tempfile.TemporaryFile(dir=home.root):
            pass
    except OSError as error:
        text = f"{home.root} cannot be written: {error.strerror}"
        return wrong("home", text, "choose another folder with --home, or make it yours")
    return fine("home", str(home.root))


def check_database(home: Home) -> Finding:
    """Whether MLflow's database can be worked with."""
    from headrace.registry.database import Condition, inspect

    try:
        found = inspect(home.database, wait=DATABASE_WAIT_SECONDS)
    except HeadraceError as error:
        return from_error("database", error)
    match found.condition:
        case Condition.MISSING:
            return fine("database", "made by the first run")
        case Condition.OLDER:
            text = "made by an older MLflow; the next run upgrades it, after a backup"
            return Finding(subject="database", health=Health.FINE, text=text)
        case Condition.CURRENT:
            return fine("database", f"{home.database.name}, as this MLflow writes it")


def check_runs(home: Home, runs: list[RunRecord]) -> Finding:
    """Whether runs were killed and have left processes."""
    busy = [one.run_id for one in runs if one.state is State.RUNNING]
    killed = [one.run_id for one in runs if one.killed]
    leftovers = find_leftovers(home, killed)
    if leftovers:
        names = ", ".join(f"{one.pid} ({one.command.split(' ')[0]})" for one in leftovers[:3])
        text = f"killed runs left {count(len(leftovers), 'process', 'processes')}: {names}"
        return wrong("runs", text, "headrace clean stops them")
    text = count(len(runs), "run")
    text += f", {len(busy)} at work" if busy else ""
    return fine("runs", text + (f", {len(killed)} killed" if killed else ""))


def check_records(home: Home) -> Finding:
    """Whether MLflow knows of every run to its end."""
    from headrace.registry.recorder import unrecorded

    late = unrecorded(home.runs)
    if late:
        text = f"{count(len(late), 'run')} not wholly in MLflow, such as {late[-1].name}"
        return caution("record", text, "headrace open completes the record when it starts")
    return fine("record", "MLflow knows of every run")


def check_servers(home: Home) -> Finding:
    """Whether model servers that should run do answer."""
    from headrace.serving.local import running

    servers = running(home)
    silent = [one for one in servers if not _answers(one)]
    if silent:
        text = f"the server of {silent[0].name} at {silent[0].endpoint} does not answer"
        return wrong("servers", text, f"headrace stop {silent[0].name}, then headrace serve")
    names = ", ".join(f"{one.name} at {one.endpoint}" for one in servers)
    return fine("servers", names or "none is running")


def _answers(server: ServerRecord) -> bool:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
