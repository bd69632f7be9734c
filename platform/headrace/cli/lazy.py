"""The group of verbs: each verb's module is imported only when it is called.

`headrace --help` therefore costs click and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click

from headrace.core.errors import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb in the help."""

    module: str
    """The module that holds a click command named `command`."""
    purpose: str
    """One line for the list of verbs; the command's own help says more."""


class LazyGroup(click.Group):
    """A click group over `sections`: verbs by heading, in the order of the help."""

    def __init__(self, *, sections: Mapping[str, Mapping[str, Verb]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.sections = sections

    @property
    def verbs(self) -> dict[str, Verb]:
        """All verbs by name."""
        return {name: verb for part in self.sections.values() for name, verb in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs' names in the help's order."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import a verb.

        Raises:
            UsageError: There is no such verb; near misses are named.
        """
        if cmd_name not in self.verbs:
            raise UsageError(
                f"There is no command {cmd_name!r}.",
                hint=f"{did_you_mean(cmd_name, self.verbs)} See headrace --help.",
            )
        command: click.Command = import_module(self.verbs[cmd_name].module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing any of them."""
        widest = max(map(len, self.verbs))
        for heading, verbs in self.sections.items():
            with formatter.section(heading):
                lines = [(name.ljust(widest), verb.purpose) for name, verb in verbs.items()]
                formatter.write_dl(lines)
