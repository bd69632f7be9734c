"""What a cluster without the internet needs, as lines: one thing on each, its digest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from headrace.cli.mirroring import KINDS, Item
from headrace.cli.render.quantities import size

_WORDS = {
    "image": ("image", "images"),
    "chart": ("chart", "charts"),
    "jar": ("jar", "jars"),
    "wheel": ("wheel", "wheels"),
    "deb": ("package of Debian's", "packages of Debian's"),
}
_DIGEST = len("sha256:") + 64
_WIDEST = 64
"""A column of names is no wider; what is longer moves the rest of its line."""


def listing(items: Sequence[Item]) -> Iterator[str]:
    """The groups, the summary, and why digests are not known."""
    for kind in KINDS:
        if group := [one for one in items if one.kind == kind]:
            yield f"{_WORDS[kind][1]}:"
            yield from _group(group)
            yield ""
    yield summary(items)
    yield from reasons(items)


def summary(items: Sequence[Item]) -> str:
    """How many there are of each kind."""
    counted = Counter(one.kind for one in items)
    parts = []
    for kind in KINDS:
        if number := counted[kind]:
            total = sum(one.size or 0 for one in items if one.kind == kind)
            more = f" ({size(total)})" if total else ""
            parts.append(f"{number} {_WORDS[kind][number > 1]}{more}")
    return ", ".join(parts)


def reasons(items: Sequence[Item]) -> Iterator[str]:
    """Why digests are not known, each reason once."""
    found = Counter(one.why for one in items if one.missing)
    if not found:
        return
    number = found.total()
    yield f"? {number} {'digest is' if number == 1 else 'digests are'} not known:"
    for why, times in found.items():
        yield f"  {times} {why}"


def _group(items: Sequence[Item]) -> Iterator[str]:
    names = [f"{one.name} {one.version}".rstrip() for one in items]
    widest = min(max(map(len, names)), _WIDEST)
    sized = any(one.size for one in items)
    for one, name in zip(items, names, strict=True):
        digest = (one.digest or ("?" if one.missing else "-")).ljust(_DIGEST)
        bytes_ = f"{size(one.size) if one.size else '':>7}  " if sized else ""
        remark = ", ".join(one.used_by) or one.source
        if one.kind == "deb":
            remark = f"{remark}: {one.why}"
        yield f"  {digest}  {bytes_}{name.ljust(widest)}  {remark}".rstrip()
