"""Carries a plan out: builds what is missing, pushes it, cleans up, and measures all of it."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from building.failures import BuildProblem
from building.planning import Planned
from building.processes import follow, turn
from building.registry import Registry
from building.stages import Stage, write_context
from building.tools import Tool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one image."""

    reference: str
    """Its full name."""
    built: bool
    """False if it was there already."""
    seconds: float
    """How long it took, pushing included."""
    unpacked: str
    """Its size on a node, as the tool tells it; empty if the tool does not have it."""
    pushed: int | None
    """Bytes of its layers in the registry; None without a push."""


@dataclass(kw_only=True)
class Carrier:
    """Builds and pushes; knows what it has made so far."""

    tool: Tool
    """The program that builds."""
    registry: Registry | None
    """What images are named after; None for names that no registry has."""
    pushing: bool = True
    """Whether they are pushed there, or kept on this machine."""
    force: bool = False
    """Build what is there already, too."""
    dry: bool = False
    """Say the commands and run none."""
    verbose: bool = False
    """Show all that the tool writes."""
    made: list[str] = field(default_factory=list)
    """References that this run left in the tool's store."""

    @property
    def prefix(self) -> str:
        """What references begin with."""
        return self.registry.prefix if self.registry else "localhost"

    def image(self, planned: Planned) -> Outcome:
        """See to one image and everything below it."""
        began, whole = time.monotonic(), planned.whole
        with turn(whole.digest):
            if built := self.force or not self.present(whole):
                self.stage(planned.libraries)
                self.make(whole)
        return Outcome(
            reference=whole.reference(self.prefix),
            built=built,
            seconds=time.monotonic() - began,
            unpacked=self.unpacked(whole.reference(self.prefix)),
            pushed=self.pushed(whole),
        )

    def stage(self, stage: Stage) -> None:
        """See to a stage that others stand on: here, or where a build can pull it from."""
        if stage.reference(self.prefix) in self.made:
            return
        with turn(stage.digest):
            here = not self.force and self.here(stage)
            there = not self.force and stage.published and self.present(stage)
            if here and not there:  # a push before was cut off
                self.push(stage)
            if here or there:
                self.made.append(stage.reference(self.prefix))
                return
            for parent in stage.parents.values():
                self.stage(parent)
            self.make(stage)

    def make(self, stage: Stage) -> None:
        """Build a stage and push it."""
        reference = stage.reference(self.prefix)
        with tempfile.TemporaryDirectory(prefix="headrace-image-") as folder:
            write_context(stage.files, Path(folder))
            arguments = stage.arguments(self.prefix)
            self.run(
                self.tool.build(folder, reference, arguments=arguments, labels=stage.labels),
                what=f"building {reference}",
            )
        self.made.append(reference)
        self.push(stage)

    def push(self, stage: Stage) -> None:
        """Push a stage, unless it is for this machine alone."""
        if self.pushing and stage.published:
            reference = stage.reference(self.prefix)
            self.run(self.tool.push(reference), what=f"pushing  {reference}")

    def present(self, stage: Stage) -> bool:
        """Whether a stage is where it shall go: in the registry, or else on this machine."""
        return self.pushed(stage) is not None if self.pushing else self.here(stage)

    def here(self, stage: Stage) -> bool:
        """Whether the tool has a stage on this machine."""
        command = self.tool.holds(stage.reference(self.prefix))
        return subprocess.run(command, capture_output=True).returncode == 0

    def pushed(self, stage: Stage) -> int | None:
        """How many bytes the registry holds of a stage, if any."""
        if self.registry is None or not self.pushing:
            return None
        return self.registry.pushed_bytes(stage.repository, stage.tag)

    def unpacked(self, reference: str) -> str:
        """An image's size as the tool tells it."""
        done = subprocess.run(self.tool.size(reference), capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def remove_made(self) -> None:
        """Drop from this machine what the registry has now."""
        if self.made:
            self.run(self.tool.remove(sorted(set(self.made))), what="removing local copies")

    def run(self, command: Sequence[str], *, what: str) -> None:
        """Run a command, saying what for."""
        print(f"  {what} ...", flush=True)
        if self.dry:
            print(f"    {shlex.join(command)}")
            return
        began = time.monotonic()
        code, last = follow(command, everything=self.verbose)
        if code:
            raise BuildProblem(f"{shlex.join(command)}\nended with {code}:\n{''.join(last)}")
        print(f"    {time.monotonic() - began:.0f} s", flush=True)


def summary(outcomes: Mapping[str, Outcome]) -> str:
    """A line for each image: time, sizes and name."""
    lines = [f"{'image':8}{'seconds':>9}{'unpacked':>12}{'pushed':>12}  reference"]
    for name, one in outcomes.items():
        took = f"{one.seconds:.0f}" if one.built else "was there"
        pushed = f"{one.pushed / 1e6:,.0f} MB" if one.pushed is not None else "-"
        lines.append(f"{name:8}{took:>9}{one.unpacked or '-':>12}{pushed:>12}  {one.reference}")
    return "\n".join(lines)
