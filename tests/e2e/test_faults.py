"""Whatever is killed, whenever: the run ends right or says the right reason, a rerun finishes
from what is complete, and nothing of ours is left on the cluster.

HEADRACE_FAULT_MOMENTS says how many random moments each victim is hit at (1); the seed is
printed, and HEADRACE_FAULT_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import time

import pytest
from tests.e2e.running import Client, finish, until
from tests.e2e.victims import VICTIMS, Victim
from tests.site import TESTBED, SiteUnderTest

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not TESTBED.exists(), reason="needs a cluster that tests may break"),
]

MOMENTS = int(os.environ.get("HEADRACE_FAULT_MOMENTS", "1"))
SEED = int(os.environ.get("HEADRACE_FAULT_SEED", random.randrange(10**6)))
SLOW = ("-p", "spark_seconds=4", "-p", "ray_seconds=2", "-p", "epochs=6")
_PATIENCE = 420.0
_GONE_SECONDS = 150.0


@pytest.fixture(scope="module")
def table():
    """The table of moments, victims and outcomes, printed at the end."""
    rows: list[tuple[str, ...]] = [("victim", "at", "what was done", "the run", "the rerun")]
    yield rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\nfaults, seed {SEED}:")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("victim", VICTIMS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_fault(site: SiteUnderTest, tmp_path, table, victim: Victim, moment: int):
    """One victim, hit at a random moment of its step."""
    chance = random.Random(f"{SEED} {victim.name} {moment}")
    delay = chance.uniform(0.0, 12.0)
    client = Client(site=site, home=tmp_path / "home")
    # A table of its own, so that no other case's results stand in.
    rows = 1000 + len(VICTIMS) * moment + VICTIMS.index(victim)
    words = (*SLOW, "-p", f"note=n{SEED}", "-p", f"rows={rows}")
    process = client.start("stages.py", "--no-cache", *words)
    run = until(lambda: _begun(client, victim.step), _PATIENCE, f"{victim.step} began")
    time.sleep(delay)
    done = until(lambda: _hit(victim, client, run, process), 120, f"{victim.name} was there")
    result = finish(process, 900)
    rerun = client.run("stages.py", *words, seconds=900)
    outcome = result.said.get("state", "killed")
    reason = _reason(result.said) if outcome == "failed" else ""
    table.append((
        victim.name, f"{victim.step}+{delay:.0f} s", done,
        f"{outcome} {reason}"[:90], f"{rerun.said.get('state')}",
    ))  # fmt: skip
    if victim.survived:
        assert outcome == "succeeded", result.said
    elif outcome == "failed":
        assert reason, result.said
    assert rerun.code == 0, rerun.said
    if outcome == "failed":
        complete = [step for step, state in result.states.items() if state == "succeeded"]
        assert {rerun.states[step] for step in complete} == {"reused"}
    assert rerun.said["outputs"]["Output"].endswith(": 3.00 x + 1.00")
    until(lambda: not site.left_over(), _GONE_SECONDS, f"nothing is left: {site.left_over()}")


def _begun(client: Client, step: str) -> str:
    started = [one for one in client.events() if one.get("step") == step]
    return client.latest().run_id if started else ""


def _hit(victim: Victim, client: Client, run: str, process) -> str:
    if process.poll() is not None:
        return "the run was over before"
    return victim.hit(client, run)


def _reason(said) -> str:
    return str((said.get("error") or {}).get("what", "")).splitlines()[0]
