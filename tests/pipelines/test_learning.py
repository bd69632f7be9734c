"""Training learns, repeats itself exactly, and goes on where it was interrupted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flights.columns import FEATURES, TARGET

from .conftest import flights_table

pytestmark = pytest.mark.engine


def learner(seed: int = 0, epochs: int = 4):
    from flights.learning import Learner, Settings, first_network, tensors

    chosen = Settings(
        epochs=epochs, batch_size=64, learning_rate=0.01, hidden=16, dropout=0.2, seed=seed
    )
    frame = flights_table(500)[[*FEATURES, TARGET]]
    network = first_network(frame, chosen)
    rows = tensors(network, frame)
    network.fit_scales(rows.numbers)
    held_out = tensors(network, flights_table(200, seed=2))
    made = Learner(network=network, parallel=network, settings=chosen, rows=rows, rank=0, workers=1)
    return made, held_out


def run(made, held_out, epochs: int | None = None) -> list[tuple[float, float]]:
    figures = []
    while not made.done and (epochs is None or len(figures) < epochs):
        loss = made.epoch()
        auc = made.validate(held_out)
        made.advance(auc)
        figures.append((loss, auc))
    return figures


def test_the_network_learns_what_makes_flights_late():
    figures = run(*learner(epochs=12))

    assert figures[-1][0] < figures[0][0]
    assert max(auc for _, auc in figures) > 0.9


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    first, again, other = run(*learner()), run(*learner()), run(*learner(seed=1))

    assert first == again
    assert first != other


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    import torch

    whole, held_out = learner()
    figures = run(whole, held_out)
    killed, _ = learner()
    before = run(killed, held_out, epochs=2)
    torch.save(killed.to_state(), tmp_path / "state.pt")
    resumed, _ = learner()
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))

    assert before + run(resumed, held_out) == figures
    assert resumed.progress.best_epoch == whole.progress.best_epoch
    for name, weight in whole.progress.best_weights.items():
        assert weight.equal(resumed.progress.best_weights[name]), name


def test_training_stops_when_validation_gets_no_better():
    from flights.learning import PATIENCE

    made, _ = learner(epochs=50)
    for auc in [0.6, 0.7, *[0.65] * PATIENCE]:
        assert not made.done
        made.advance(auc)

    assert made.done
    assert (made.progress.best_epoch, made.progress.best_auc) == (1, 0.7)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_the_auc_is_the_share_of_pairs_in_the_right_order(rows):
    import torch

    from flights.learning import auc

    late = [score for score, is_late in rows if is_late]
    on_time = [score for score, is_late in rows if not is_late]
    pairs = [(a > b) + 0.5 * (a == b) for a in late for b in on_time]

    found = auc(
        torch.tensor([float(score) for score, _ in rows]),
        torch.tensor([float(is_late) for _, is_late in rows]),
    )

    assert found == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.5)
