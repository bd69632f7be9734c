"""The one place where errors are printed, each with its exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

import click

from headrace.core.errors import EnvironmentProblem, HeadraceError, UsageError

DEBUG_VARIABLE = "HEADRACE_DEBUG"
"""Set to 1 to see the whole traceback of every error."""

BUG_EXIT_CODE = 70
"""What a mistake of Headrace's own ends with (EX_SOFTWARE in sysexits.h)."""

_MACHINE_TROUBLE = {
    errno.ENOSPC: "the disk is full: free some space, or see what `headrace clean` would free",
    errno.EDQUOT: "your quota is used up: see what `headrace clean` would free",
    errno.EROFS: "choose a folder that can be written, with --home or HEADRACE_HOME",
    errno.EACCES: "make it readable and writable for you, or choose another folder with --home",
    errno.EMFILE: "raise the limit on open files: ulimit -n 4096",
}


_EXTRAS = {
    "mlflow": "mlflow",
    "numpy": "mlflow",
    "pyspark": "spark",
    "ray": "ray",
    "torch": "ray",
    "uvicorn": "serve",
    "orjson": "serve",
}
"""Packages that a verb may want, each with the extra that brings it."""


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an error on standard error and give its exit code.

    Args:
        error: Whatever ended the command.
        as_json: Also write `{"error": {...}}` on standard output, for programs.
    """
    known = translate(error)
    if os.environ.get(DEBUG_VARIABLE) == "1":
        print("".join(traceback.format_exception(error)), file=sys.stderr)
    if known is None:
        known, code = _bug(error), BUG_EXIT_CODE
    else:
        code = known.exit_code
    print(error_text(known, colour=_colour()), file=sys.stderr)
    if as_json:
        content = {
            "what": known.what,
            "where": list(known.where),
            "hint": known.hint,
            "kind": type(known if code != BUG_EXIT_CODE else error).__name__,
            "exit_code": code,
        }
        print(json.dumps({"error": content}, ensure_ascii=False))
    return code


def translate(error: BaseException) -> HeadraceError | None:
    """The error in Headrace's own terms, or None for one that nobody foresaw."""
    if isinstance(error, HeadraceError):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, ModuleNotFoundError) and (error.name or "") in _EXTRAS:
        return EnvironmentProblem(
            f"{error.name} is not installed.", hint=f"uv sync --extra {_EXTRAS[error.name or '']}"
        )
    if isinstance(error, OSError) and error.errno in _MACHINE_TROUBLE:
        where = [str(name) for name in (error.filename, error.filename2) if name]
        return EnvironmentProblem(
            f"{os.strerror(error.errno)}.", where=where, hint=_MACHINE_TROUBLE[error.errno]
        )
    return None


def _usage(error: click.UsageError) -> UsageError:
    """A click error with its near misses as the hint, and where the help is."""
    near = getattr(error, "possibilities", None) or []
    what = error.message if near else error.format_message()
    meant = f"Did you mean {' or '.join(repr(one) for one in near)}? " if near else ""
    path = error.ctx.command_path if error.ctx else "headrace"
    return UsageError(what, hint=f"{meant}See {path} --help.")


def error_text(error: HeadraceError, *, colour: bool) -> str:
    """What is wrong, where, and what to do next."""

    def paint(text: str, **styles: object) -> str:
        return click.style(text, **styles) if colour else text  # type: ignore[arg-type]

    lines = [f"{paint('error:', fg='red', bold=True)} {error.what}"]
    lines += [f"   {paint('at:', dim=True)} {place}" for place in error.where]
    if error.hint:
        lines.append(f"  {paint('try:', dim=True)} {error.hint}")
    return "\n".join(lines)


def _colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _bug(error: BaseException) -> HeadraceError:
    text = str(error).strip().splitlines()
    summary = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    path = _write_traceback(error)
    return HeadraceError(
        f"Headrace came upon something that it did not foresee: {summary}",
        where=[str(path)] if path else [],
        hint="report it with that file" if path else f"{DEBUG_VARIABLE}=1 shows the traceback",
    )


def _write_traceback(error: BaseException) -> Path | None:
    """The traceback in a file of the home, or of the temporary folder where that fails."""
    from headrace.sites.home import find_home

    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = f"$ {' '.join(sys.argv)}\n" + "".join(traceback.format_exception(error))
    temporary = Path(tempfile.gettempdir()) / f"headrace-crashes-{os.getuid()}"
    with suppress(OSError):
        return _write(find_home(Path.cwd()).ensure().root / "crashes" / name, text)
    with suppress(OSError):
        return _write(temporary / name, text)
    return None


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    return path
