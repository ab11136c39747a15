"""Batch normalisation over two processes against torch's own over the whole batch."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from deca_training.batch_norm import SharedBatchNorm2d, share_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, eps=0.8), nn.ReLU(), nn.Conv2d(5, 2, 1), nn.BatchNorm2d(2)
    )
    return layers.double()


def data() -> torch.Tensor:
    return torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(1)).double() * 3 + 1


def half(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    mine = network()
    share_statistics(mine)
    for _ in range(2):
        mine.zero_grad()
        # The halves interleave, as the loader's subjects do.
        mine(data()[rank::2]).square().mean().backward()
    gradients = [parameter.grad for parameter in mine.parameters()]
    for gradient in gradients:
        dist.all_reduce(gradient)
    torch.save({"state": mine.state_dict(), "gradients": [g / 2 for g in gradients]}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    whole = network()
    for _ in range(2):
        whole.zero_grad()
        whole(data()).square().mean().backward()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(half, (port, str(tmp_path)), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for result in results:
        for key, value in whole.state_dict().items():
            torch.testing.assert_close(result["state"][key], value, rtol=1e-9, atol=1e-11)
        for gradient, parameter in zip(result["gradients"], whole.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-8, atol=1e-11)


def test_alone_it_is_torchs() -> None:
    plain, shared = network(), network()
    share_statistics(shared)
    assert isinstance(shared[1], SharedBatchNorm2d)
    assert torch.equal(plain(data()), shared(data()))
    assert list(plain.state_dict()) == list(shared.state_dict())
    assert torch.equal(plain.eval()(data()), shared.eval()(data()))
