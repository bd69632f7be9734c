"""Two builds of the same thing on one machine: the second waits and finds it made."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from building.processes import follow, turn

from .conftest import IMAGES

OTHER = """
import sys, time
sys.path.insert(0, {images!r})
from building.processes import turn
with turn({what!r}):
    print("inside", flush=True)
    sys.stdin.readline()
    print("made", flush=True)
"""


def start(what):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER.format(images=str(IMAGES), what=what)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_second_waits_for_the_first():
    first = start("t-same")
    assert first.stdout.readline() == "inside\n"
    second = start("t-same")
    assert second.stdout.readline() == "  another build makes this already; waiting for it ...\n"
    first.stdin.write("\n")
    first.stdin.flush()
    assert second.stdout.readline() == "inside\n"
    second.communicate("\n", timeout=10)
    first.communicate(timeout=10)
    assert list(Path(tempfile.gettempdir()).glob("headrace-images-*-t-same.lock")) == []


def test_other_things_are_made_meanwhile():
    first = start("t-one")
    assert first.stdout.readline() == "inside\n"
    with turn("t-other"):
        pass
    first.communicate("\n", timeout=10)


@pytest.mark.parametrize("everything", [True, False])
def test_output_is_shown_or_kept_for_a_failure(capsys, everything):
    command = ["sh", "-c", "echo one; echo two >&2; exit 3"]
    assert follow(command, everything=everything) == (3, ["one\n", "two\n"])
    assert capsys.readouterr().out == ("    one\n    two\n" if everything else "")
