"""What is said when a build cannot go on."""

from __future__ import annotations


class BuildProblem(Exception):
    """Ends the build with a message and no traceback.

    Args:
        what: One sentence: what is wrong.
        hint: What to do about it.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what}\n  try: {hint}" if hint else what)
