"""Inference as ONNX Runtime and OpenVINO do it: in float, and with 8 bits from calibration alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Run = Callable[[], Any]
ONNX_8, ONNX_FLOAT, VINO_8 = "onnxruntime, 8 bits", "onnxruntime, float", "openvino, 8 bits"


def runtimes(model: nn.Module, x: Tensor, batch: int, threads: int) -> dict[str, Run]:
    """Name -> what runs the first samples of x and gives the outputs, for those that are installed.

    All samples calibrate (least and greatest). Weights have a sign, activations none (QDQ), which both runtimes take.
    """
    if not (_installed("onnx") and _installed("onnxruntime")):
        return {}
    given = x[:batch].numpy()
    with _files(model, x, batch) as (whole, narrow):
        found = {ONNX_8: _onnx(narrow, given, threads), ONNX_FLOAT: _onnx(whole, given, threads)}
        return found | ({VINO_8: _vino(narrow, given, threads)} if _installed("openvino") else {})


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@contextlib.contextmanager
def _files(model: nn.Module, x: Tensor, batch: int) -> Iterator[tuple[str, str]]:
    """The network in float and quantized."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": part.numpy()} for part in x.split(batch)]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    with tempfile.TemporaryDirectory() as folder:
        whole, narrow = os.path.join(folder, "float.onnx"), os.path.join(folder, "int8.onnx")
        torch.onnx.export(model, (x[:batch],), whole, input_names=["x"], dynamo=False, opset_version=17)
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(whole, narrow, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
        yield whole, narrow


def _onnx(file: str, given: np.ndarray, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"x": given})


def _vino(file: str, given: np.ndarray, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    settings["ENABLE_CPU_PINNING"] = False  # as the others
    request = openvino.Core().compile_model(Path(file), "CPU", settings).create_infer_request()
    return lambda: list(request.infer({0: given}, share_inputs=True).values())
