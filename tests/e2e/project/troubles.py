"""Pipelines that wait, or go wrong in their own ways."""

import os
import time

from kfp import dsl

import headrace as hr


@hr.step
def slow(seconds: int) -> int:
    """Says each second that it is at work."""
    for second in range(seconds):
        print("at", second, flush=True)
        time.sleep(1)
    return seconds


@hr.step(cache=False)
def hungry(chunks: int) -> int:
    """Needs 10 MB for each chunk."""
    return len([bytearray(10_000_000) for _ in range(chunks)])


@hr.step(cache=False)
def broken(key: str) -> int:
    """Looks for what is not there."""
    return {"a": 1}[key]


@hr.step(cache=False)
def leaves(code: int) -> int:
    """Goes without a word."""
    os._exit(code)


@dsl.pipeline(name="waits")
def waits(seconds: int = 60) -> int:
    """A minute's work."""
    return slow(seconds=seconds).output


@dsl.pipeline(name="eats")
def eats(chunks: int = 60) -> int:
    """More memory than the pod may use."""
    task = hungry(chunks=chunks)
    task.set_memory_request("300Mi").set_memory_limit("300Mi")
    return task.output


@dsl.pipeline(name="raises")
def raises(key: str = "b") -> int:
    """An exception of its own."""
    return broken(key=key).output


@dsl.pipeline(name="exits")
def exits(code: int = 7) -> int:
    """An exit code."""
    return leaves(code=code).output


@dsl.pipeline(name="toobig")
def toobig(seconds: int = 1) -> int:
    """More cores than any node has."""
    task = slow(seconds=seconds)
    task.set_cpu_request("640").set_cpu_limit("640")
    return task.output
