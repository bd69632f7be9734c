"""Names of runs: made up from pipeline and time, or chosen, and then each only once."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from headrace.core.errors import UsageError
from headrace.data.store import Store
from headrace.sites.home import Home
from headrace.sites.journal import list_runs

LONGEST = 40
"""Letters in a chosen name: names of pods and labels begin with it and have 63."""
_PARTS = ("runs", "artifacts")
"""Where a run leaves something in a store."""
_ALLOWED = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")


def made_up(pipeline: str, now: datetime) -> str:
    """A name for a run that tells the pipeline and the time."""
    return f"{pipeline}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def require_free(name: str, home: Home, store: Store | None = None) -> None:
    """Refuse what cannot be the name of a new run.

    Args:
        name: The name.
        home: Where runs of this machine are.
        store: The site's store, if the run is to be there.

    Raises:
        UsageError: It has other characters than Kubernetes' names have, too many, or a run has it.
    """
    if not _ALLOWED.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"A run cannot be named {name!r}.",
            hint=f"use at most {LONGEST} small letters, digits and hyphens between them, "
            "such as nightly-3",
        )

    places = [str(home.run(name))] if home.run(name).exists() else []
    places += [str(one.folder) for one in list_runs(home) if one.called == name]
    if store is not None:
        uris = [store.uri(part, name) for part in _PARTS]
        places += [uri for uri in uris if store.listing(uri)]
    if places:
        raise taken(name, places[0])


def taken(name: str, where: str) -> UsageError:
    """The refusal of a name that the run at `where` has."""
    return UsageError(
        f"There is a run named {name!r} already.",
        where=where,
        hint="choose another name, or leave --name out",
    )
