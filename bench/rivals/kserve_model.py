"""The model behind KServe's Python server: `python kserve_model.py FOLDER PORT`."""

import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])


class Served(Model):
    def __init__(self) -> None:
        super().__init__("model")
        torch.set_num_threads(1)
        path = FOLDER / "data" / "model.pth"
        self.module = torch.load(path, weights_only=False, pickle_module=pickle).eval()
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, **_: Any) -> InferResponse:
        with torch.inference_mode():
            result = self.module(torch.from_numpy(payload.inputs[0].as_numpy())).numpy()
        output = InferOutput(name="output-0", shape=list(result.shape), datatype="FP32")
        output.set_data_from_numpy(np.ascontiguousarray(result), binary_data=False)
        return InferResponse(
            response_id=generate_uuid(), model_name="model", infer_outputs=[output]
        )


if __name__ == "__main__":
    logging.getLogger("uvicorn.access").disabled = True
    ModelServer(http_port=PORT, enable_grpc=False, enable_latency_logging=False).start([Served()])
