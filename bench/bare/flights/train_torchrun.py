"""Training under torchrun: the same loop on plain DistributedDataParallel."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from flights.columns import CATEGORICAL, NUMERIC, TARGET
from flights.network import DelayNetwork
from flights.train import (
    CHECKPOINT,
    DROPOUT,
    HIDDEN,
    PATIENCE,
    Progress,
    area_under_curve,
    read_part,
    save,
    step,
)

EPOCHS, BATCH, RATE, SEED = 8, 1024, 0.002, 7

out = Path(sys.argv[1])
dist.init_process_group("gloo")
rank, workers = dist.get_rank(), dist.get_world_size()
torch.set_num_threads(1)
frames = {part: read_part(str(out / "table"), part) for part in ("train", "validate")}
vocabularies = {
    name: sorted(frames["train"][name].dropna().unique().tolist()) for name in CATEGORICAL
}
torch.manual_seed(SEED)
plain = DelayNetwork(vocabularies, NUMERIC, hidden=HIDDEN, dropout=DROPOUT)
inputs = {part: plain.encode(frame) for part, frame in frames.items()}
truth = {part: torch.tensor(frame[TARGET].to_numpy("float32")) for part, frame in frames.items()}
plain.fit_scales(inputs["train"][1])
network = DistributedDataParallel(plain)
steps = len(truth["train"]) // BATCH
optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, RATE, total_steps=steps * EPOCHS, pct_start=0.15
)
progress = Progress()
for epoch in range(EPOCHS):
    order = torch.randperm(
        len(truth["train"]), generator=torch.Generator().manual_seed(SEED * 1000 + epoch)
    )
    torch.manual_seed(SEED * 1000 + epoch * workers + rank)
    network.train()
    for batch in order[: steps * BATCH].view(steps, BATCH).unbind():
        step(network, optimizer, inputs["train"], truth["train"], batch[rank::workers])
        schedule.step()
    network.eval()
    with torch.inference_mode():
        logits = plain(*inputs["validate"])
    auc = area_under_curve(truth["validate"], logits)
    progress.note(epoch, auc, plain)
    if rank == 0:
        print(f"epoch {epoch}: validation AUC {auc:.4f}", flush=True)
        torch.save(progress.to_state(plain, optimizer, schedule), out / CHECKPOINT)
    stop = torch.tensor(float(progress.stale >= PATIENCE))
    dist.broadcast(stop, src=0)
    if stop:
        break
plain.load_state_dict(progress.best)
if rank == 0:
    save(plain, frames["validate"], out / "model")
dist.destroy_process_group()
