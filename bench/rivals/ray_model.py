"""The model behind Ray Serve: `python ray_model.py FOLDER PORT`, one replica, its own defaults."""

import pickle
import signal
import sys
from pathlib import Path

import torch
from ray import serve
from starlette.requests import Request

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Model:
    def __init__(self, folder: str) -> None:
        torch.set_num_threads(1)
        path = Path(folder) / "data" / "model.pth"
        self.module = torch.load(path, weights_only=False, pickle_module=pickle).eval()

    async def __call__(self, request: Request) -> dict[str, object]:
        rows = (await request.json())["inputs"]
        with torch.inference_mode():
            return {"predictions": self.module(torch.tensor(rows, dtype=torch.float32)).tolist()}


if __name__ == "__main__":
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT}, proxy_location="HeadOnly")
    serve.run(Model.bind(str(FOLDER)))
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
