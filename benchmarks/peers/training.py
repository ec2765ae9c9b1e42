"""Quantization-aware training as torchao and Brevitas do it: 4-bit weights, one scale a tensor, 8-bit activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def torchao(model: nn.Module, x: Tensor) -> Any:
    """PT2E: torch.export, then `prepare_qat_pt2e` with the quantizer for XNNPACK."""
    from torchao.quantization.pt2e import move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    widths = get_symmetric_quantization_config(is_per_channel=False, is_qat=True, weight_qmin=-7, weight_qmax=7)
    batch = {0: torch.export.Dim("batch")}
    exported = torch.export.export(model, (x,), dynamic_shapes=(batch,)).module()
    return move_exported_model_to_train(prepare_qat_pt2e(exported, XNNPACKQuantizer().set_global(widths)))


def brevitas(model: nn.Module, x: Tensor) -> nn.Module:
    """`quantize` of its fx graph, with the same widths; plain tensors between layers, since its own have no slices."""
    from brevitas import nn as quantized
    from brevitas.graph.quantize import preprocess_for_quantize, quantize
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat, Uint8ActPerTensorFloat

    class Weight(Int8WeightPerTensorFloat):  # type: ignore[misc]
        bit_width = 4

    layer = {"weight_quant": Weight, "return_quant_tensor": False}
    unsigned = {"act_quant": Uint8ActPerTensorFloat, "return_quant_tensor": False}
    signed = {"act_quant": Int8ActPerTensorFloat, "return_quant_tensor": False}
    traced = preprocess_for_quantize(model.eval(), merge_bn=False)
    made: nn.Module = quantize(
        traced,
        compute_layer_map={nn.Conv2d: (quantized.QuantConv2d, layer), nn.Linear: (quantized.QuantLinear, layer)},
        quant_act_map={nn.ReLU: (quantized.QuantReLU, unsigned)},
        quant_identity_map={
            "signed": (quantized.QuantIdentity, signed),
            "unsigned": (quantized.QuantIdentity, unsigned),
        },
    )
    return made.train()


PEERS: dict[str, Callable[[nn.Module, Tensor], Any]] = {"torchao PT2E": torchao, "Brevitas": brevitas}
