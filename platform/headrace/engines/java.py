"""Finds a JDK that Spark can run on, in milliseconds: `release` files are read, no JVM is started.

Spark 4.3 runs on Java 17, 21 and 25, and its launcher names the module `jdk.incubator.vector`,
which trimmed runtimes leave out: such a JVM would die at its first breath, so it is turned
down here, with a remedy.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import EnvironmentProblem

VECTOR_MODULE = "jdk.incubator.vector"
DOCUMENTED = (17, 21, 25)
"""The Java versions that Spark's documentation names, in the order in which we prefer them."""
OLDEST_OF_25 = (25, 0, 3)
"""Spark deprecates 25 before this patch level."""

USUAL_PLACES = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
)


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java that Spark can run on."""

    home: Path
    """What Spark takes as JAVA_HOME: the folder that holds `bin/java`."""
    version: str
    """As the JDK writes it: `17.0.15`."""
    found_by: str
    """How it was found: `JAVA_HOME`, `PATH`, or the folder that was searched."""
    caution: str = ""
    """Why it may give trouble all the same; empty if Spark's documentation names this version."""

    @property
    def major(self) -> int:
        """17 for `17.0.15`."""
        return version_parts(self.version)[0]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A place that was looked at in vain."""

    home: Path
    """The folder."""
    found_by: str
    """As in `Java.found_by`."""
    why: str
    """What is wrong with it, as the end of a sentence."""

    def __str__(self) -> str:
        return f"{self.found_by}: {self.home} {self.why}"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Everything that the search saw."""

    usable: tuple[Java, ...]
    """The best first: JAVA_HOME, then PATH, then the usual places."""
    rejected: tuple[Rejected, ...]
    """What was turned down, in the order of the search."""


def find_java(
    environ: Mapping[str, str] | None = None, *, places: tuple[str, ...] = USUAL_PLACES
) -> Java:
    """The Java to run Spark on.

    A JAVA_HOME that is of no use does not end the search: `headrace doctor` tells of it.

    Raises:
        EnvironmentProblem: None is usable; `where` names each place with what is wrong with it.
    """
    seen = survey(environ, places=places)
    if seen.usable:
        return seen.usable[0]
    raise EnvironmentProblem(
        "Spark needs Java 17, 21 or 25 and there is none on this machine that it can use.",
        where=[str(one) for one in seen.rejected] or ["JAVA_HOME, PATH, /usr/lib/jvm and the like"],
        hint=remedy(),
    )


def survey(
    environ: Mapping[str, str] | None = None, *, places: tuple[str, ...] = USUAL_PLACES
) -> Survey:
    """Look at every candidate once. A folder reached by two ways counts for the first."""
    usable: list[Java] = []
    rejected: list[Rejected] = []
    seen: set[Path] = set()
    for home, found_by in candidates(os.environ if environ is None else environ, places):
        real = home.resolve()
        if real in seen:
            continue
        seen.add(real)
        match inspect_home(home, found_by):
            case Java() as java:
                usable.append(java)
            case Rejected() as no:
                rejected.append(no)
    return Survey(usable=tuple(sorted(usable, key=_preference)), rejected=tuple(rejected))


def candidates(environ: Mapping[str, str], places: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Folders that might be a Java home, each with how it was found."""
    if chosen := environ.get("JAVA_HOME"):
        yield Path(chosen), "JAVA_HOME"
    # macOS has a stub at /usr/bin/java that belongs to no home and only offers a download.
    if (java := shutil.which("java", path=environ.get("PATH", os.defpath))) and not (
        sys.platform == "darwin" and java == "/usr/bin/java"
    ):
        yield Path(java).resolve().parent.parent, "PATH"
    for place in places:
        pattern = Path(place).expanduser().as_posix().lstrip("/")
        for home in sorted(Path("/").glob(pattern)):
            if (home / "bin" / "java").exists():
                yield home, place.partition("*")[0].rpartition("/")[0]


def inspect_home(home: Path, found_by: str) -> Java | Rejected:
    """What one folder is worth."""
    binary = home / "bin" / "java"

    def no(why: str) -> Rejected:
        return Rejected(home=home, found_by=found_by, why=why)

    if not home.is_dir():
        return no("does not exist")
    if not os.access(binary, os.X_OK):
        return no("has no bin/java that can be run")
    version, modules = read_release(home) or ask_java(binary) or ("", frozenset[str]())
    if not version:
        return no("does not tell its version: is it a whole JDK?")
    major = version_parts(version)[0]
    if major < DOCUMENTED[0]:
        return no(f"is Java {version}: too old for Spark 4, which needs 17, 21 or 25")
    if DOCUMENTED[0] < major < DOCUMENTED[1]:
        return no(f"is Java {version}, which nobody maintains any more: take 17, 21 or 25")
    if VECTOR_MODULE not in modules:
        return no(f"is Java {version} without the module {VECTOR_MODULE}: take a whole JDK")
    return Java(home=home, version=version, found_by=found_by, caution=caution(version))


def caution(version: str) -> str:
    """What speaks against a version that is usable nonetheless."""
    parts = version_parts(version)
    if parts[0] not in DOCUMENTED:
        return "Spark 4.3 is documented for Java 17, 21 and 25 only"
    if parts[0] == OLDEST_OF_25[0] and parts < OLDEST_OF_25:
        return "Spark 4.3 wants 25.0.3 or newer of Java 25"
    return ""


def read_release(home: Path) -> tuple[str, frozenset[str]] | None:
    """Version and modules from the `release` file that every JDK since 9 carries, or None."""
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    entries = {key.strip(): " ".join(shlex.split(value)) for key, value in pairs}
    version, modules = entries.get("JAVA_VERSION", ""), entries.get("MODULES", "")
    if version and (modules or version_parts(version)[0] < DOCUMENTED[0]):
        return version, frozenset(modules.split())
    return None


def ask_java(binary: Path) -> tuple[str, frozenset[str]] | None:
    """The same from the JVM itself: for the few builds without a full `release` file."""
    try:
        answer = subprocess.run(
            [str(binary), "--list-modules"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    listed = dict(line.partition("@")[::2] for line in answer.stdout.split())
    return (listed["java.base"], frozenset(listed)) if "java.base" in listed else None


def version_parts(version: str) -> tuple[int, ...]:
    """Numbers to compare by; the old scheme's `1.8.0_392` counts as 8.

    >>> version_parts("17.0.15"), version_parts("1.8.0_392"), version_parts("26-ea")
    ((17, 0, 15), (8, 0, 392), (26,))
    """
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)) or (0,)
    return numbers[1:] if numbers[0] == 1 and len(numbers) > 1 else numbers


def remedy() -> str:
    """How to get a Java that Spark likes, on this kind of machine."""
    if sys.platform == "darwin":
        return "brew install openjdk@21, then run again (or set JAVA_HOME to a JDK you have)"
    if shutil.which("apt-get"):
        return "apt-get install openjdk-17-jdk-headless (or set JAVA_HOME to a JDK you have)"
    if shutil.which("dnf"):
        return "dnf install java-21-openjdk-devel (or set JAVA_HOME to a JDK you have)"
    return "install a JDK 17 or 21 from https://adoptium.net and set JAVA_HOME to its folder"


def _preference(java: Java) -> tuple[int, bool, int]:
    """The user's own choice first, then documented versions, then the order of DOCUMENTED."""
    by_choice = {"JAVA_HOME": 0, "PATH": 1}.get(java.found_by, 2)
    # A caution moves PATH's Java behind a documented one elsewhere, but never JAVA_HOME's.
    rank = DOCUMENTED.index(java.major) if java.major in DOCUMENTED else len(DOCUMENTED)
    return (by_choice if by_choice == 0 or not java.caution else 2, bool(java.caution), rank)
