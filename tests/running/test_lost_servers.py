"""A fork server that dies while a job waits unread: whoever waits for it is told."""

from __future__ import annotations

import asyncio

import pytest

from headrace.core.errors import StepFailed
from headrace.running.launch import Server


def test_killed_with_a_job_unread(tmp_path):
    async def lose() -> None:
        server = Server(["pandas"], tmp_path / "log")
        await server.start()
        assert server._program is not None
        # It is stopped before it can read, so that the job is still in the socket.
        server._program.send_signal(19)
        process = await server.run({"kind": "host", "argv": ["true"]}, ["pandas"])
        await asyncio.sleep(0.2)
        server._program.kill()
        try:
            await asyncio.wait_for(process.wait(), 20)
        finally:
            await server.close()

    with pytest.raises(StepFailed, match="The process that starts steps is gone"):
        asyncio.run(lose())
