"""timm: image classifiers of every family, with dropout and drop path where the constructor takes them."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from torch import nn

from .row import Given, Row, images

_NAMES = """
beit_base_patch16_224 beitv2_base_patch16_224 botnet26t_256 eca_halonext26ts lambda_resnet26t bat_resnext26ts
gcresnet33ts gernet_s mobileone_s0 regnetz_b16 regnetz_b16_evos repvgg_a0 resnet50_clip seresnext26ts cait_xxs24_224
coat_lite_tiny coat_tiny convit_tiny convmixer_768_32 convnext_atto convnextv2_atto convnext_zepto_rms cpubone_nano
crossvit_9_240 csatv2 cs3darknet_focus_s cspresnext50 darknet17 cspnext_tiny davit_tiny deit3_small_patch16_224
deit_tiny_patch16_224 deit_tiny_distilled_patch16_224 densenet121 densenetblur121d dla34 dla46x_c dpn48b
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientnet_cc_b0_4e efficientnet_lite0
efficientnetv2_rw_t mixnet_s mnasnet_small tf_efficientnet_b0 tinynet_e efficientvim_m1 efficientvit_b0 efficientvit_l1
efficientvit_m0 eva02_tiny_patch14_224 vit_small_patch16_rope_224 fasternet_t0 fastvit_t8 fastvit_sa12 focalnet_tiny_srf
gcvit_xxtiny ghostnet_050 ghostnetv2_100 ghostnetv3_050 hardcorenas_a hgnet_tiny hgnetv2_b0 hiera_tiny_224
hieradet_small hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4
lcnetv2_small levit_128s levit_conv_128s lowformer_b0 mambaout_femto maxvit_pico_rw_256 coatnet_nano_rw_224
caformer_s18 poolformer_s12 poolformerv2_s12 mixer_s32_224 gmlp_ti16_224 resmlp_12_224 mobilenetv3_small_050
mobilenetv4_conv_small mobilenetv4_hybrid_medium fbnetv3_b lcnet_050 mobilenetv5_base mobilevit_xxs mobilevitv2_050
mvitv2_tiny naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small nfnet_l0 nf_regnet_b0 nf_resnet26
pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 regnety_002 repghostnet_050 repvit_m0_9
res2net50_26w_4s res2next50 resnest14d resnet18 resnet26t resnet50_gn ecaresnet26t seresnet50 resnetblur18 resnetaa50
resnext50_32x4d wide_resnet50_2 resnetv2_18 resnetv2_50x1_bit resnetv2_50d_frn rexnet_100 selecsls42 legacy_seresnet18
sequencer2d_s shvit_s1 skresnet18 starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224 swin_s3_tiny_224
swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_pcpvt_small
twins_svt_small vgg11_bn visformer_tiny flexivit_small vit_tiny_patch16_224 vit_small_patch14_dinov2
vit_base_patch16_siglip_224 vit_tiny_r_s16_p8_224 vit_relpos_small_patch16_224 samvit_base_patch16 vitamin_small_224
volo_d1_224 eca_vovnet39b ese_vovnet19b_slim legacy_xception xception41 xcit_nano_12_p16_224
"""
_SIDES = {"crossvit_9_240": 240, "eca_halonext26ts": 256, "bat_resnext26ts": 256, "efficientformer_l1": 224}
_SIDES |= dict.fromkeys(("inception_resnet_v2", "inception_v3", "inception_v4"), 96)
_SIDE = 64
"""Pixels to a side of the images: the least of 64, 96, 128, ... that the model takes."""


def _build(name: str) -> nn.Module:
    """The model with what its constructor takes of: the image's size, drop path, dropout."""
    import timm

    sized: list[dict[str, Any]] = [{"img_size": _SIDES.get(name, _SIDE)}, {}]
    noisy: list[dict[str, Any]] = [{"drop_rate": 0.1, "drop_path_rate": 0.1}, {"drop_rate": 0.1}, {}]
    for rates, size in product(noisy, sized):
        try:
            model: nn.Module = timm.create_model(name, **rates, **size)
        except TypeError:
            continue
        return model
    raise TypeError(f"timm does not build {name}")


def _inputs(name: str, batch: int) -> Given:
    return images(batch, _SIDES.get(name, _SIDE))


ROWS = [Row(f"timm/{name}", partial(_build, name), partial(_inputs, name)) for name in _NAMES.split()]
