"""The kinds of causes for which runs fail or wait, and the words that give each away."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of cause, and how texts give it away."""

    name: str
    """Its name for programs."""
    rank: int
    """How near to the root it is: of several causes the one with the least comes first."""
    words: str
    """A pattern that only texts about it contain."""
    remedy: str = ""
    """What to do, unless whoever told of it knows better."""


KINDS: tuple[Kind, ...] = (
    Kind(name="gate", rank=5, words=r"gate (said no|not passed)"),
    Kind(
        name="memory", rank=10,
        words=r"OOMKilled|out of (memory|heap)|want of memory|OutOfMemory|more memory than"
        r"|MemoryError",
        remedy="ask for more memory, or work in smaller parts",
    ),
    Kind(
        name="disk", rank=12,
        words=r"No space left on device|disk (is|ran) full|ENOSPC|wrote to local disk",
        remedy="free some space, or write less to local disk",
    ),
    Kind(
        name="image", rank=14,
        words=r"cannot get the image|image\b.* cannot be pulled|(Err)?ImagePull|InvalidImageName",
        remedy="correct the image's name, or let the nodes reach its registry",
    ),
    Kind(
        name="config", rank=15,
        words=r"wants the (key|Secret|ConfigMap|service account|LocalQueue)|[Ss]ecret \S+ not found"
        r"|couldn't find key|CreateContainer(Config)?Error|has no Secret|cannot make its container"
        r"|could not start its container|container cannot be (set up|made)",
        remedy="make what the step names, or name another",
    ),
    Kind(
        name="quota", rank=16, words=r"exceeded quota|quota has no room|in the quota|failed quota",
        remedy="ask for less, wait until other work has ended, or have the quota raised",
    ),
    Kind(
        name="refused", rank=17,
        words=r"refused by its namespace|violates PodSecurity|ever admits",
    ),
    Kind(
        name="unschedulable", rank=18,
        words=r"nodes are available|finds no node|[Uu]nschedulable|no node has room",
        remedy="ask for less, wait until nodes are free, or add some",
    ),
    Kind(name="queued", rank=19, words=r"(be|been) admitted|for the queue"),
    Kind(
        name="deadline", rank=20, words=r"DeadlineExceeded|not done after|longer than the site",
        remedy="raise `limits.step` of the site, or make the step smaller",
    ),
    Kind(name="preempted", rank=21, words=r"higher priority|[Pp]reempt|lost its place"),
    Kind(
        name="node lost", rank=21, words=r"lost its node|NodeLost|node (is gone|was tainted)",
        remedy="run again: what was finished is reused",
    ),
    Kind(
        name="evicted", rank=21, words=r"[Ee]vict|drained|leave its node",
        remedy="run again: what was finished is reused",
    ),
    Kind(name="node", rank=22, words=r"cannot be set up by its node"),
    Kind(
        name="deleted", rank=23, words=r"was deleted|told to end",
        remedy="somebody deleted it, or its node was drained; run again to continue",
    ),
    Kind(name="kfp", rank=26, words=r"Kubeflow Pipelines"),
    Kind(name="ray", rank=28, words=r"Ray's (head|job)|RayJob|Ray cluster|worker \S+ was lost"),
    Kind(name="spark", rank=30, words=r"[Ee]xecutors? .*(lost|failed|ended)|Spark's driver"),
    Kind(name="exception", rank=40, words=r"^\w*(Error|Exception)\b"),
    Kind(
        name="killed", rank=50, words=r"SIG[A-Z]+|signal \d+",
        remedy="if nobody killed it, it may have needed more memory",
    ),
    Kind(name="crash", rank=60, words=r"exit (code|status) \d+"),
)  # fmt: skip
"""The table of causes. The first whose words a text contains is what the text tells of."""

UNKNOWN = Kind(name="unknown", rank=90, words="")
BY_NAME = {one.name: one for one in KINDS}


def kind_of(text: str, default: Kind = UNKNOWN) -> Kind:
    """What a text tells of, by its words."""
    return next((one for one in KINDS if re.search(one.words, text, re.MULTILINE)), default)
