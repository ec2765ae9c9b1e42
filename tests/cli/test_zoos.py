"""`timm:`, `torchvision:` and `transformers:`, on small packages of the same names: these are optional, and large."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lowbit.cli import source
from lowbit.compiler.errors import UserError
from torch import nn

TIMM = """
import os
from torch import nn
OFFLINE = os.environ.get("HF_HUB_OFFLINE")

class Net(nn.Linear):
    def __init__(self, num_classes=10, drop: float = 0.0):
        super().__init__(3, num_classes)
        self.drop = drop

def is_model(name):
    return name.partition(".")[0] in list_models()

def list_models():
    return ["resnet18", "resnet50", "vit_tiny"]

def create_model(name, pretrained, **given):
    assert pretrained is False
    model_class = Net
    return model_class(**given)
"""
TORCHVISION = """
from torch import nn

def resnet18(*, weights=None, **given):
    return built(weights, "none", **given)

def fcn(*, weights="COCO", weights_backbone="IMAGENET", width=4):
    return built(weights, weights_backbone, width)

def built(weights, backbone, width=4):
    assert weights is None, "this would be downloaded"
    assert backbone is None or backbone == "none", "this would be downloaded"
    return nn.Linear(3, width)

def list_models():
    return ["fcn", "resnet18"]

def get_model_builder(name):
    return globals()[name]
"""
TRANSFORMERS = """
from torch import nn

class BertConfig:
    model_type = "bert"

    def __init__(self, hidden_size=8, num_labels=2, use_pretrained_backbone=True, **more):
        if not isinstance(hidden_size, int):
            raise TypeError("hidden_size is no int")
        self.hidden_size, self.num_labels = hidden_size, num_labels
        self.use_pretrained_backbone = use_pretrained_backbone
        vars(self).update(more)

    @classmethod
    def from_dict(cls, fields):
        return cls(**fields)

    def to_dict(self):
        return dict(vars(self))

class BertModel(nn.Linear):
    config_class = BertConfig

    def __init__(self, config):
        assert not config.use_pretrained_backbone, "this would be downloaded"
        super().__init__(config.hidden_size, config.num_labels)

class BertForMaskedLM(BertModel):
    pass

class AutoModel:
    @staticmethod
    def from_config(config, trust_remote_code=False):
        assert not trust_remote_code
        return BertModel(config)

class AutoModelForMaskedLM:
    @staticmethod
    def from_config(config):
        return BertForMaskedLM(config)

CONFIG_MAPPING = {"bert": BertConfig}

def __getattr__(name):
    if name == "BertForVision":
        try:
            raise RuntimeError("operator torchvision::nms does not exist")
        except RuntimeError as error:
            raise ModuleNotFoundError("Could not import module 'BertForVision'") from error
    raise AttributeError(name)
"""


@pytest.fixture
def zoos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the three packages, the only ones of their names."""
    (tmp_path / "timm.py").write_text(TIMM)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "torchvision" / "models.py").write_text(TORCHVISION)
    (tmp_path / "transformers.py").write_text(TRANSFORMERS)
    for name in [name for name in sys.modules if name.partition(".")[0] in source.ZOOS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in source.ZOOS]:
        del sys.modules[name]


def refusal(reference: str) -> str:
    with pytest.raises(UserError) as caught:
        source.model(reference)
    return str(caught.value)


def test_a_model_of_a_package_has_random_weights_and_the_arguments_given(zoos: Path) -> None:
    made: Any = source.model("timm:resnet18?num_classes=7&drop=0.5")
    assert (made.out_features, made.drop) == (7, 0.5)
    assert source.model("timm:resnet18.a1_in1k").out_features == 10
    assert source.model("torchvision:resnet18?width=6").out_features == 6
    assert source.model("torchvision:fcn").out_features == 4


def test_nothing_asks_a_hub(zoos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    source.model("timm:resnet18")
    assert sys.modules["timm"].OFFLINE == "1"
    assert "HF_HUB_OFFLINE" not in os.environ
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    source.model("timm:resnet18")
    assert os.environ["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize(
    ("reference", "wanted", "sizes"),
    [
        ("transformers:bert", "BertModel", (8, 2)),
        ("transformers:bert?hidden_size=4&num_labels=3", "BertModel", (4, 3)),
        ("transformers:BertConfig?hidden_size=4", "BertModel", (4, 2)),
        ("transformers:BertForMaskedLM?hidden_size=4", "BertForMaskedLM", (4, 2)),
        ("transformers:bert#BertForMaskedLM", "BertForMaskedLM", (8, 2)),
        ("transformers:bert#BertForMaskedLM?hidden_size=4", "BertForMaskedLM", (4, 2)),
        ("transformers:bert?hidden_size=4#AutoModelForMaskedLM", "BertForMaskedLM", (4, 2)),
        ("transformers:folder", "BertForMaskedLM", (16, 2)),
        ("transformers:folder/config.json?num_labels=5#BertModel", "BertModel", (16, 5)),
        ("transformers:new.json", "BertModel", (8, 2)),
    ],
)
def test_a_config_of_transformers_has_many_names(
    reference: str, wanted: str, sizes: tuple[int, int], zoos: Path
) -> None:
    (zoos / "folder").mkdir()
    stored = {"model_type": "bert", "hidden_size": 16, "architectures": ["BertForMaskedLM"]}
    (zoos / "folder" / "config.json").write_text(json.dumps(stored))
    (zoos / "new.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertForTheFuture"]}))
    made: Any = source.model(reference)
    assert type(made).__name__ == wanted
    assert (made.in_features, made.out_features) == sizes


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("timm:resnet19", ["timm has no model 'resnet19'", "resnet18"]),
        ("timm:nothing_like_it", ["it has 3, such as resnet18"]),
        ("timm:hf-hub:timm/resnet18", ["timm has no model"]),
        ("timm:", ["names no model"]),
        ("timm:resnet18?pretrained=true", ["nothing is downloaded", "--weights"]),
        ("timm:resnet18?checkpoint_path=x.pt", ["nothing is downloaded", "--weights"]),
        ("timm:resnet18?clases=3", ["timm.py:", "'clases'", "Net(num_classes=10, drop=0.0)"]),
        ("timm:resnet18?drop", ["has no value"]),
        ("timm:resnet18#Net", ["has a # part"]),
        ("torchvision:resnet81", ["torchvision has no model", "resnet18"]),
        ("torchvision:fcn?weights_backbone=x", ["nothing is downloaded"]),
        ("torchvision:fcn?wide=3", ["torchvision", "fcn(*, weights='COCO'", "wide"]),
        ("transformers:brt", ["transformers has no model 'brt'", "bert"]),
        ("transformers:BertMdel", ["BertModel"]),
        ("transformers:bert?hiden_size=3", ["BertConfig has no field 'hiden_size'", "hidden_size"]),
        ("transformers:bert?hidden_size=big", ["config", "hidden_size is no int"]),
        ("transformers:bert#BertForMaskedLn", ["no class 'BertForMaskedLn'", "BertForMaskedLM"]),
        ("transformers:none.json", ["cannot be read", "none.json"]),
        ("transformers:torn.json", ["cannot be read", "JSONDecodeError"]),
        ("transformers:other.json", ["model_type is 'other'", "is not run"]),
        ("transformers:list.json", ["model_type is None"]),
        ("transformers:BertForVision", ["a part of transformers cannot be imported", "torchvision::nms", "index"]),
    ],
)
def test_what_a_package_does_not_have_is_refused(reference: str, said: list[str], zoos: Path) -> None:
    (zoos / "torn.json").write_text('{"model_type": ')
    (zoos / "other.json").write_text('{"model_type": "other", "auto_map": {"AutoModel": "code.py"}}')
    (zoos / "list.json").write_text("[]")
    text = refusal(reference)
    assert all(part in text for part in said), text


@pytest.mark.parametrize("zoo", source.ZOOS)
def test_a_package_that_is_not_there_or_broken_is_told(
    zoo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, zoo, None)  # as if it were not installed
    assert f"{zoo} is not installed" in refusal(f"{zoo}:any")
    assert "lowbit[zoo]" in refusal(f"{zoo}:any")
    monkeypatch.delitem(sys.modules, zoo)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{zoo}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    assert "built for this torch" in refusal(f"{zoo}:any")
    (tmp_path / f"{zoo}.py").write_text("import nosuchmodule  # another length than before\n")
    said = refusal(f"{zoo}:any")
    assert f"{zoo} cannot be imported" in said
    assert "nosuchmodule" in said


def test_a_module_inside_a_package_is_a_factory_like_any(zoos: Path) -> None:
    made = source.model("torchvision.models:resnet18?width=2")
    assert isinstance(made, nn.Linear)
    assert made.out_features == 2
