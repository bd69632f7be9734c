"""A training without data: each epoch adds one, and is kept."""

from kfp import dsl
from kfp.dsl import Model, Output, OutputPath

import headrace as hr


@hr.ray(workers=2, cpus_per_worker=1)
def climb(
    model: Output[Model], peak: OutputPath(int), epochs: int, seconds: float
) -> list:  # fmt: skip
    """Heights after each epoch that ran here, from the one where the last checkpoint was."""
    import tempfile
    import time
    from pathlib import Path

    import ray.train
    from ray.train import Checkpoint

    height, heights = 0, []
    if (found := ray.train.get_checkpoint()) is not None:
        with found.as_directory() as folder:
            height = int(Path(folder, "height").read_text())
    while height < epochs:
        height += 1
        heights.append(height)
        time.sleep(seconds)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "height").write_text(str(height))
            ray.train.report({"height": height}, checkpoint=Checkpoint.from_directory(folder))
    rank = ray.train.get_context().get_world_rank()
    print(f"rank {rank} is up")
    if rank == 0:
        Path(model.path).write_text(str(height))
        Path(peak).write_text(str(height))
    return heights


@dsl.pipeline(name="climbing")
def climbing(epochs: int = 3, seconds: float = 0.0) -> list:
    return climb(epochs=epochs, seconds=seconds).outputs["Output"]
