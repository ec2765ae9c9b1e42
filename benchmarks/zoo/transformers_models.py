"""transformers: text, image, audio and two-tower models from configurations of two layers and 32 channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from .row import Given, Row, noise, tokens

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_TEXT = {**_SIZES, "vocab_size": 99, "max_position_embeddings": 64, "pad_token_id": 0}
_MARKS = {"bos_token_id": 1, "eos_token_id": 2}
_CAUSAL = {**_TEXT, **_MARKS, "num_key_value_heads": 2}
_PAIR = {
    "vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
}  # fmt: skip
_T5 = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
_IMAGE = {**_SIZES, "image_size": 32, "patch_size": 8}
_SOUND = {
    **_SIZES, "vocab_size": 30, "conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 4),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0, "apply_spec_augment": False,
}  # fmt: skip


_WHISPER = {
    **_PAIR, "num_mel_bins": 16, "max_source_positions": 20, "max_target_positions": 30, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "begin_suppress_tokens": None,
}  # fmt: skip
_AST = {"patch_size": 8, "max_length": 32, "num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8}
_SWIN = {
    "image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
    "drop_path_rate": 0.1,
}  # fmt: skip
_STAGES = {
    "hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1, 2, 4, 8],
    "decoder_hidden_size": 16, "drop_path_rate": 0.1,
}  # fmt: skip
_MAE = {
    "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 64,
}  # fmt: skip
_GPT = {"vocab_size": 99, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
_CONVNEXT = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
_DETR = {
    **_PAIR, "num_queries": 5, "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None,
    "backbone_config": {"model_type": "resnet", **_RESNET, "out_features": ["stage2"]},
}  # fmt: skip
_BLIP = {
    "text_config": {**_CAUSAL, "encoder_hidden_size": 32}, "vision_config": _IMAGE, "projection_dim": 16,
    "image_text_hidden_size": 16,
}  # fmt: skip
_SERIES = {
    "prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2], "num_time_features": 1, "d_model": 16,
    "encoder_layers": 1, "decoder_layers": 1,
}  # fmt: skip

_MAMBA2 = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "num_heads": 8, "head_dim": 8,
    "n_groups": 2, "chunk_size": 4,
}  # fmt: skip
_PROPHET = {
    "vocab_size": 99, "hidden_size": 32, "encoder_ffn_dim": 64, "num_encoder_layers": 2,
    "num_encoder_attention_heads": 4,
    "decoder_ffn_dim": 64, "num_decoder_layers": 2, "num_decoder_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
_MOBILEVIT = {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 48], "patch_size": 2}
_OWL = {
    "text_config": {**_TEXT, "max_position_embeddings": 8}, "vision_config": _IMAGE, "projection_dim": 32,
}  # fmt: skip
_SAM = {
    "vision_config": {
        **_IMAGE, "output_channels": 16, "mlp_dim": 64, "window_size": 2, "num_pos_feats": 8,
        "global_attn_indexes": [1],
    },
    "prompt_encoder_config": {"hidden_size": 16, "image_size": 32, "patch_size": 8, "mask_input_channels": 4},
    "mask_decoder_config": {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
}  # fmt: skip
_ENCODEC = {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "upsampling_ratios": [4, 2], "num_lstm_layers": 1}


def _words(batch: int) -> Given:
    mask = torch.arange(7) < (torch.arange(batch) % 3 + 5)[:, None]
    return (), {"input_ids": tokens(batch, 7), "attention_mask": mask.long()}


def _queries(batch: int) -> Given:
    return (), {"input_ids": tokens(batch, 6), "pixel_values": noise(batch, 3, 32, 32)}


def _points(batch: int) -> Given:
    return (), {"pixel_values": noise(batch, 3, 32, 32), "input_points": noise(batch, 1, 2, 2).abs() * 10}


def _tones(batch: int) -> Given:
    return (), {"input_values": noise(batch, 1, 320)}


def _words_alone(batch: int) -> Given:
    return (), {"input_ids": tokens(batch, 7)}


def _both_ways(batch: int) -> Given:
    return (), {"input_ids": tokens(batch, 7), "decoder_input_ids": tokens(batch, 5, key=1)}


def _pixels(batch: int) -> Given:
    return (), {"pixel_values": noise(batch, 3, 32, 32)}


def _larger_pixels(batch: int) -> Given:
    return (), {"pixel_values": noise(batch, 3, 64, 64)}


def _words_and_pixels(batch: int) -> Given:
    return (), {"input_ids": tokens(batch, 7), "pixel_values": noise(batch, 3, 32, 32)}


def _waves(batch: int) -> Given:
    return (), {"input_values": noise(batch, 800)}


def _spectrum(batch: int) -> Given:
    return (), {"input_features": noise(batch, 16, 40), "decoder_input_ids": tokens(batch, 5)}


def _spectrogram(batch: int) -> Given:
    return (), {"input_values": noise(batch, 32, 16)}


def _frames(batch: int) -> Given:
    return (), {"pixel_values": noise(batch, 4, 3, 32, 32)}


def _series(batch: int) -> Given:
    past = {"past_values": noise(batch, 10), "past_time_features": noise(batch, 10, 1)}
    future = {"future_values": noise(batch, 4), "future_time_features": noise(batch, 4, 1)}
    return (), {**past, "past_observed_mask": torch.ones(batch, 10), **future}


def _build(model: str, settings: dict[str, Any]) -> nn.Module:
    import transformers

    kind: Any = getattr(transformers, model)
    config = kind.config_class(**settings)
    if hasattr(config, "use_cache"):
        config.use_cache = False
    built: nn.Module = kind(config)
    return built


_MODELS: list[tuple[str, dict[str, Any], Callable[[int], Given]]] = [
    ("BertForSequenceClassification", _TEXT, _words),
    ("BertForMaskedLM", _TEXT, _words_alone),
    ("RobertaForMaskedLM", _TEXT, _words),
    ("DistilBertForSequenceClassification", {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4}, _words),
    ("AlbertForMaskedLM", {**_TEXT, "embedding_size": 16}, _words),
    ("ElectraForTokenClassification", {**_TEXT, "embedding_size": 16}, _words),
    ("DebertaV2ForSequenceClassification", {**_TEXT, "relative_attention": True, "pos_att_type": ["p2c"]}, _words),
    ("MPNetForMaskedLM", _TEXT, _words),
    ("ModernBertForMaskedLM", {**_TEXT, **_MARKS, "cls_token_id": 1, "sep_token_id": 2}, _words),
    ("FNetForMaskedLM", _TEXT, _words_alone),
    ("SqueezeBertForSequenceClassification", {**_TEXT, "embedding_size": 32}, _words),
    ("GPT2LMHeadModel", _GPT, _words),
    ("GPTNeoXForCausalLM", _TEXT, _words),
    ("OPTForCausalLM", {**_TEXT, "ffn_dim": 64, "word_embed_proj_dim": 32}, _words),
    ("BloomForCausalLM", {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4}, _words),
    ("LlamaForCausalLM", _CAUSAL, _words),
    ("MistralForCausalLM", {**_CAUSAL, "sliding_window": 4}, _words),
    ("MixtralForCausalLM", {**_CAUSAL, "num_local_experts": 4}, _words),
    ("Qwen2ForCausalLM", _CAUSAL, _words),
    ("Qwen3ForCausalLM", {**_CAUSAL, "head_dim": 8}, _words_alone),
    ("Gemma2ForCausalLM", {**_CAUSAL, "head_dim": 8}, _words_alone),
    ("PhiForCausalLM", _CAUSAL, _words),
    ("FalconForCausalLM", {**_CAUSAL, "alibi": False}, _words),
    ("MambaForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, _words_alone),
    ("T5ForConditionalGeneration", _T5, _both_ways),
    ("T5EncoderModel", _T5, _words),
    ("BartForConditionalGeneration", _PAIR, _both_ways),
    ("MarianMTModel", {**_PAIR, "pad_token_id": 1, "decoder_start_token_id": 1}, _both_ways),
    ("PegasusForConditionalGeneration", _PAIR, _both_ways),
    ("WhisperForConditionalGeneration", _WHISPER, _spectrum),
    ("Wav2Vec2ForCTC", _SOUND, _waves),
    ("Wav2Vec2ForSequenceClassification", {**_SOUND, "apply_spec_augment": True, "layerdrop": 0.1}, _waves),
    ("HubertForCTC", _SOUND, _waves),
    ("ASTForAudioClassification", {**_SIZES, **_AST}, _spectrogram),
    ("ViTForImageClassification", {**_IMAGE, "hidden_dropout_prob": 0.1}, _pixels),
    ("DeiTForImageClassification", _IMAGE, _pixels),
    ("BeitForImageClassification", {**_IMAGE, "use_relative_position_bias": True, "drop_path_rate": 0.1}, _pixels),
    ("Dinov2ForImageClassification", {**_IMAGE, "drop_path_rate": 0.1}, _pixels),
    ("SwinForImageClassification", _SWIN, _pixels),
    ("Swinv2ForImageClassification", _SWIN, _pixels),
    ("ConvNextForImageClassification", {**_CONVNEXT, "drop_path_rate": 0.1}, _pixels),
    ("ConvNextV2ForImageClassification", _CONVNEXT, _pixels),
    ("ResNetForImageClassification", _RESNET, _pixels),
    ("MobileNetV2ForImageClassification", {"image_size": 64}, _larger_pixels),
    ("SegformerForSemanticSegmentation", _STAGES, _larger_pixels),
    ("GLPNForDepthEstimation", _STAGES, _larger_pixels),
    ("ViTMAEForPreTraining", {**_IMAGE, **_MAE}, _pixels),
    ("VideoMAEForVideoClassification", {**_IMAGE, "num_frames": 4}, _frames),
    ("DetrForObjectDetection", _DETR, _larger_pixels),
    ("CLIPModel", {"text_config": _CAUSAL, "vision_config": _IMAGE, "projection_dim": 16}, _words_and_pixels),
    ("SiglipModel", {"text_config": _TEXT, "vision_config": _IMAGE}, _words_and_pixels),
    ("BlipForImageTextRetrieval", _BLIP, _words_and_pixels),
    ("ViltForQuestionAnswering", {**_TEXT, **_IMAGE, "num_labels": 3, "max_image_length": 16}, _words_and_pixels),
    ("TimeSeriesTransformerModel", _SERIES, _series),
    ("MobileBertForMaskedLM", {**_TEXT, "embedding_size": 16, "intra_bottleneck_size": 16}, _words),
    ("XLNetLMHeadModel", {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}, _words_alone),
    ("FunnelForMaskedLM", {"vocab_size": 99, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64}, _words),
    ("EsmForMaskedLM", {**_TEXT, "mask_token_id": 4}, _words),
    ("PerceiverForMaskedLM", {"vocab_size": 99, "d_model": 16, "d_latents": 16, "num_latents": 8}, _words),
    ("GPTJForCausalLM", {**_GPT, "rotary_dim": 8}, _words),
    ("CodeGenForCausalLM", {**_GPT, "rotary_dim": 8}, _words),
    ("MptForCausalLM", {"vocab_size": 99, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}, _words),
    ("StableLmForCausalLM", _CAUSAL, _words),
    ("Olmo2ForCausalLM", _CAUSAL, _words),
    ("Phi3ForCausalLM", _CAUSAL, _words),
    ("CohereForCausalLM", _CAUSAL, _words),
    ("GPTBigCodeForCausalLM", _GPT, _words),
    ("Mamba2ForCausalLM", _MAMBA2, _words_alone),
    ("RwkvForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}, _words_alone),
    ("M2M100ForConditionalGeneration", _PAIR, _both_ways),
    ("BlenderbotForConditionalGeneration", _PAIR, _both_ways),
    ("ProphetNetForConditionalGeneration", _PROPHET, _both_ways),
    ("YolosForObjectDetection", {**_IMAGE, "image_size": [32, 32], "num_detection_tokens": 5}, _pixels),
    ("PoolFormerForImageClassification", {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4}, _larger_pixels),
    ("MobileViTForImageClassification", {**_MOBILEVIT, "image_size": 64}, _larger_pixels),
    ("PvtV2ForImageClassification", {"image_size": 64, "depths": [1] * 4}, _larger_pixels),
    ("HieraForImageClassification", {"image_size": [32, 32], "embed_dim": 16, "depths": [1, 1, 1, 1]}, _pixels),
    ("TimesformerForVideoClassification", {**_IMAGE, "num_frames": 4}, _frames),
    ("OwlViTForObjectDetection", _OWL, _queries),
    ("SamModel", _SAM, _points),
    ("EncodecModel", _ENCODEC, _tones),
]

ROWS = [Row(f"transformers/{name}", partial(_build, name, settings), inputs) for name, settings, inputs in _MODELS]
