"""Training for torchrun: DistributedDataParallel, a checkpoint each epoch, early stopping."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from flights.columns import FEATURES, TARGET
from flights.learning import Learner, Settings, first_network, tensors
from flights.parts import read_part

SETTINGS = Settings(epochs=6, batch_size=2048, learning_rate=0.004, hidden=128, dropout=0.1, seed=0)

out = Path(sys.argv[1])
torch.set_num_threads(1)
dist.init_process_group("gloo")
train, validate = (
    read_part(str(out / "table"), part, [*FEATURES, TARGET]) for part in ("train", "validate")
)
network = first_network(train, SETTINGS)
rows, held_out = tensors(network, train), tensors(network, validate)
network.fit_scales(rows.numbers)
learner = Learner(
    network=network,
    parallel=DistributedDataParallel(network),
    settings=SETTINGS,
    rows=rows,
    rank=dist.get_rank(),
    workers=dist.get_world_size(),
)
checkpoint = out / "checkpoint.pt"
if checkpoint.exists():
    learner.restore(torch.load(checkpoint, weights_only=True))
while not learner.done:
    loss = learner.epoch()
    auc = learner.validate(held_out)
    learner.advance(auc)
    if learner.rank == 0:
        print(f"epoch {learner.progress.epoch}: loss {loss:.4f}, AUC {auc:.4f}", flush=True)
        torch.save(learner.to_state(), checkpoint)
    dist.barrier()
network.load_state_dict(learner.progress.best_weights)
if learner.rank == 0:
    from flights.packaging import save

    save(network, validate, str(out / "model"))
dist.destroy_process_group()
