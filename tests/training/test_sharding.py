"""Sharding on one process: who asks for it, where it cannot be, and what is gathered at once."""

import pytest
import timm
import torch
import torch.distributed as dist
from torch import Tensor, nn

from unmask.cli.main import main
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.training.engine import build_engine
from unmask.training.sharding import (
    blocks_of,
    full,
    part,
    placed,
    require_axes,
    told_to_shard,
    wants_sharding,
    whole,
)

SIZE = (32, 32)


def _vit() -> nn.Module:
    return timm.create_model("test_vit", img_size=SIZE, patch_size=8, num_classes=3, depth=3)


@pytest.mark.parametrize(
    ("name", "options", "row", "number"),
    [
        ("test_vit", {"img_size": SIZE, "patch_size": 8, "depth": 3}, "blocks", 3),
        ("resnet10t", {}, "", 0),  # one block in each layer: nothing in a row
        ("resnet18", {"channels": (8, 8, 8, 8)}, "layer", 8),
        ("test_convnext", {"depths": (2, 1, 2, 1)}, "stages", 6),
    ],
)
def test_blocks_of_plain_networks(name: str, options: dict[str, object], row: str, number: int) -> None:
    """The innermost repeated modules, each called once: as many as the network's own layout says."""
    model = timm.create_model(name, num_classes=3, **options)
    blocks = blocks_of(model, lambda: model(torch.zeros(2, 3, *SIZE)))
    assert len(blocks) == number
    assert all(path.startswith(row) for path in blocks)


def test_a_vit_on_visible_tokens_keeps_its_blocks_and_a_masked_cnn_has_none() -> None:
    """Masked maps are no tensors: FSDP would not see when to gather such a block's weights for the way back."""
    images, hidden = torch.zeros(2, 3, *SIZE), torch.eye(4).bool().expand(2, 4, 4)
    vit = masked_encoder(_vit(), image_size=SIZE, cell=8)
    assert blocks_of(vit.model, lambda: vit(images, hidden)) == [f"blocks.{index}" for index in range(3)]
    cnn = masked_encoder(
        timm.create_model("resnet18", channels=(8, 8, 8, 8)), image_size=SIZE, cell=8, execution="dense"
    )
    hidden = hidden[:, : cnn.grid[0], : cnn.grid[1]]
    assert blocks_of(cnn.model, lambda: cnn(images, hidden)) == []


class _View(nn.Module):
    """A block whose output is a view of another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))[:]


class _Rows(nn.Module):
    """Three equal blocks in a row; `use` says how they are called."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.use = use
        self.row = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.row:
            x = block(x)
            if self.use == "twice":
                x = block(x)
        return x


def test_a_block_called_twice_is_none_and_looking_changes_nothing() -> None:
    """Statistics stay: the look is taken in evaluation mode."""
    once, twice = _Rows("once").train(), _Rows("twice").train()
    before = {name: tensor.clone() for name, tensor in once.state_dict().items()}
    assert blocks_of(once, lambda: once(torch.randn(5, 4))) == ["row.0", "row.1", "row.2"]
    assert blocks_of(twice, lambda: twice(torch.randn(5, 4))) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in once.state_dict().items())
    assert once.training


def test_a_block_that_gives_a_view_is_none() -> None:
    """What is added to it in place would part it from FSDP's hooks."""
    views = nn.Sequential(_View(), _View())
    assert blocks_of(views, lambda: views(torch.randn(5, 4))) == []


def test_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration, or accelerate's launcher, of which what is not done here is refused by name."""
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    assert not told_to_shard()
    assert not wants_sharding(False, "no")
    with pytest.raises(UserError, match="sharded over processes, but one was started"):
        wants_sharding(True, "no")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="FSDP 1: launch with --fsdp_version 2"):
        told_to_shard()
    with pytest.raises(UserError, match="--fsdp_version 2"):
        build_engine("no", several=True)
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert told_to_shard()
    for name, value in (
        ("FSDP_OFFLOAD_PARAMS", "true"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "True"),
        ("FSDP_RESHARD_AFTER_FORWARD", "false"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=f"--{name.lower()} {value.lower()} is not supported"):
            told_to_shard()
        monkeypatch.delenv(name)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    assert wants_sharding(False, "bf16")
    with pytest.raises(UserError, match='use `precision="bf16"`'):
        wants_sharding(False, "fp16")


def test_one_process_says_so(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Before any work, in one line, with exit code 2."""
    with pytest.raises(SystemExit) as left:
        main(["pretrain", "--data", "multiview", "--shard", "--out", f"{tmp_path}/run", "--quiet"])
    assert left.value.code == 2
    assert "shard: a network is sharded over processes, but one was started" in capsys.readouterr().err


def test_numbers_without_an_axis_are_refused() -> None:
    """NFNet's skip gains, by name."""
    require_axes(_vit())
    with pytest.raises(UserError, match=r"shard: gain is a single number without an axis"):
        require_axes(nn.ParameterDict({"gain": nn.Parameter(torch.ones(()))}))


def test_a_whole_network_stays_as_it_is() -> None:
    """Without shards every function of the module is the identity."""
    model = nn.Linear(3, 2)
    with whole(model):
        assert part(model.weight) is full(model.weight) is model.weight
    assert torch.equal(placed(model.weight, model.weight), model.weight)
