"""Why a run failed or waits, on one page: the likeliest cause first, then what it is known from."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from headrace.cli.render.failure import BUNDLE, shortened
from headrace.operating.facts import Cause, Explanation, Proof

_TITLES = {
    "failed": ("✘", "bold red"), "gate": ("✘", "bold red"), "waiting": ("●", "yellow"),
    "running": ("●", "cyan"), "cancelled": ("■", "yellow"), "killed": ("■", "yellow"),
    "fine": ("✔", "green"),
}  # fmt: skip
_WORDS = {
    "failed": "failed", "gate": "was stopped by its gate", "waiting": "waits",
    "running": "is running", "cancelled": "was cancelled", "killed": "lost its client",
    "fine": "did not fail",
}  # fmt: skip
_MOST_CAUSES = 4
_MOST_PROOFS = 8
_LINES = 12


def why_picture(
    found: Explanation, *, run: str, next_steps: tuple[str, ...] = (), below: str = ""
) -> RenderableType:
    """The page.

    Args:
        found: The explanation.
        run: The run's id.
        next_steps: Commands that go deeper.
        below: A folder; paths below it are shown relative to it.
    """
    shape, style = _TITLES[found.verdict]
    title = Text.assemble(
        (f"{shape} ", style), (run, "bold"), (f" {_WORDS[found.verdict]}", style),
        no_wrap=True, overflow="ellipsis",
    )  # fmt: skip
    parts: list[RenderableType] = [title]
    if not found.causes:
        parts += [Text(), Text(found.text)]
    for place, cause in enumerate(found.causes[:_MOST_CAUSES]):
        waits = found.verdict in ("waiting", "killed", "running")
        parts += [Text(), *_cause(cause, first=place == 0, waits=waits, below=below)]
    if rest := found.causes[_MOST_CAUSES:]:
        parts += [Text(), Text(f"and {len(rest)} more: --json has them all", style="dim")]
    if next_steps:
        parts.append(Text())
    parts += [Text(one, style="dim", no_wrap=True, overflow="ignore") for one in next_steps]
    return Group(*parts)


def _cause(cause: Cause, *, first: bool, waits: bool, below: str) -> Iterator[RenderableType]:
    head = "likely cause" if first else "also seen"
    step = f"{cause.step}: " if cause.step else ""
    style = ("yellow" if waits else "red") if first else ""
    yield Text.assemble(head, (f"  {cause.kind}", "dim"))
    yield _indented(Text.assemble((step, "bold"), (shortened(BUNDLE.sub("", cause.text)), style)))
    if cause.remedy:
        yield _indented(Text.assemble(("try ", "dim"), cause.remedy))
    if cause.proofs:
        yield _indented(Text("evidence", style="dim"))
    yield from _proofs(cause.proofs[:_MOST_PROOFS], below)


def _proofs(proofs: tuple[Proof, ...], below: str) -> Iterator[RenderableType]:
    """Each piece of evidence; where several lie in one place, that is said once."""
    for place, proof in enumerate(proofs):
        for line in _lines(proof.text):
            yield _indented(Text(line), 4)
        following = proofs[place + 1].where if place + 1 < len(proofs) else ""
        if proof.where and proof.where != following:
            where = proof.where.removeprefix(below) if below else proof.where
            yield _indented(Text(f"at {where}", style="dim"), 4)


def _lines(text: str) -> list[str]:
    lines = dedent(BUNDLE.sub("", text)).rstrip().splitlines()
    return ["…", *lines[-_LINES:]] if len(lines) > _LINES else lines


def _indented(text: Text, by: int = 2) -> Padding:
    return Padding(text, (0, 0, 0, by), expand=False)


def why_object(found: Explanation, *, run: str, site: str) -> dict[str, Any]:
    """The same for programs.

    Keys: `run`, `site` (empty for this machine), `verdict`, `text`, `causes` (kind, step, text,
    remedy, proofs: text and where), the likeliest first.
    """
    return {
        "run": run,
        "site": site,
        "verdict": found.verdict,
        "text": found.text,
        "causes": [
            {
                "kind": one.kind,
                "step": one.step,
                "text": one.text,
                "remedy": one.remedy,
                "proofs": [{"text": proof.text, "where": proof.where} for proof in one.proofs],
            }
            for one in found.causes
        ],
    }
