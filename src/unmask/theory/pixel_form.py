"""Pixel (MAE form) MRP: a linear decoder maps the encoder's output back to the hidden patches; encoder and decoder
are trained.

With s_p ∈ R^K the responses of patch p, h = Σ_p ε_p s_p and a decoder D ∈ R^{d×K} shared by the patches (their order
carries no information in this distribution), the loss is ½ E_ε Σ_p (1 - ε_p) ‖x_p - D h‖². With y_p = D s_p and
ȳ = Σ_p y_p the mask integrates out exactly: given that p is hidden, h has mean θ (Σ s - s_p) and D h has variance
θ(1-θ) Σ_{p'≠p} ‖y_p'‖², so

    L = (1-θ)/2 E Σ_p [ ‖x_p - θ (ȳ - y_p)‖² + θ (1-θ) (P-1) ‖y_p‖² ],
    ∂L/∂y_p = (1-θ) { -θ (x̄ - x_p) + θ² [(P-2) ȳ + y_p] + θ (1-θ) (P-1) y_p },       x̄ = Σ_p x_p.

(Every p' is counted P-1 times in the variance; Σ_{p'≠p} (ȳ - y_p') = (P-2) ȳ + y_p.) No closed fixed point is claimed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unmask.theory.integrate import Field, chebyshev
from unmask.theory.network import activation, branches, silence
from unmask.theory.problem import World
from unmask.theory.sampling import generator
from unmask.theory.teacher_student_flow import Pretraining
from unmask.theory.teacher_student_loss import BLOCK, LEAST_ROWS


def pixel_loss(weights: Tensor, decoder: Tensor, x: Tensor, q: int, threshold: float, keep: float) -> Tensor:
    """The loss above, a scalar. weights (K, d), decoder (d, K), x (N, P, d), keep = θ."""
    y = activation(x @ weights.T, q, threshold) @ decoder.T
    missing = x - keep * (y.sum(1, keepdim=True) - y)
    spread = keep * (1 - keep) * (x.shape[1] - 1) * y.square().sum((1, 2))
    return 0.5 * (1 - keep) * (missing.square().sum((1, 2)) + spread).mean()


def pixel_force(
    weights: Tensor, decoder: Tensor, x: Tensor, q: int, threshold: float, keep: float
) -> tuple[Tensor, Tensor]:
    """(-∂L/∂w (K, d), -∂L/∂D (d, K))."""
    n, p, d = x.shape
    out_w, out_d = torch.zeros_like(weights), torch.zeros_like(decoder)
    scaled = (weights / threshold).T.contiguous()
    rows = max(LEAST_ROWS, BLOCK // (p * len(weights)))
    silent = silence(q, x.dtype)
    buffers = [x.new_empty(min(rows, n) * p, len(weights)) for _ in range(3)]
    for chunk in x.split(rows):
        flat = chunk.reshape(-1, d)
        alpha, m, slope = (buffer[: len(flat)] for buffer in buffers)
        torch.threshold_(torch.mm(flat, scaled, out=alpha), silent, 0.0)
        s = branches(alpha, q, m, slope).mul_(threshold)
        y = (s @ decoder.T).view_as(chunk)
        total, missing = y.sum(1, keepdim=True), chunk.sum(1, keepdim=True) - chunk
        g = keep**2 * ((p - 2) * total + y) + keep * (1 - keep) * (p - 1) * y - keep * missing
        g = g.mul_((keep - 1) / n).flatten(0, 1)
        out_d.addmm_(g.T, s)
        out_w.addmm_(slope.mul_(torch.mm(g, decoder, out=m)).T, flat)
    return out_w, out_d


def pretrain_pixels(worlds: Sequence[World], times: Tensor, decoder_scale: float = 0.1) -> Pretraining:
    """Integrate encoder and decoder of every seed to each of the times.

    Args:
        worlds: S worlds of one setting.
        times: (M,) increasing.
        decoder_scale: standard deviation of the decoder's start.

    Returns:
        A `Pretraining` without captures (capture_time inf, leader -1): kernels are coupled and have no separate
        clocks.
    """
    setting, shape = worlds[0].setting, worlds[0].start.shape
    state = torch.stack([_start(w, decoder_scale) for w in worlds])
    field = _joint_field(worlds)
    kept, before = [], 0.0
    for when in times.tolist():
        state = chebyshev(
            field, state, when - before, lambda states, _: torch.zeros(len(states), dtype=torch.bool), rtol=1e-2
        ).state
        before = when
        kept.append(state[:, : shape.numel()].view(-1, *shape))
    weights = torch.stack(kept)
    v = torch.stack([w.v for w in worlds])
    start = torch.stack([w.start for w in worlds])
    return Pretraining(
        setting,
        times.double(),
        weights,
        weights @ v.transpose(1, 2),
        start @ v.transpose(1, 2),
        torch.full(start.shape[:2], torch.inf, dtype=torch.float64),
        torch.full(start.shape[:2], -1),
        (0, 0),
    )


def _start(w: World, decoder_scale: float) -> Tensor:
    """Encoder and decoder of a world before pretraining, as one vector."""
    kernels, d = w.start.shape
    draw = torch.randn(d, kernels, generator=generator(w.seed, "decoder"), dtype=torch.float64)
    return torch.cat([w.start.flatten(), (decoder_scale * draw).to(w.dtype).flatten()])


def _joint_field(worlds: Sequence[World]) -> Field:
    """The forces on encoder and decoder of several worlds, a row each, at the worlds of the given indices."""
    setting, shape = worlds[0].setting, worlds[0].start.shape
    data = [w.unlabeled().x for w in worlds]
    size = shape.numel()

    def field(states: Tensor, index: Tensor) -> Tensor:
        rows = []
        for row, seed in zip(states, index.tolist(), strict=True):
            parts = pixel_force(
                row[:size].view(shape),
                row[size:].view(shape[1], shape[0]),
                data[seed],
                setting.power,
                setting.threshold,
                1 - setting.mask_ratio,
            )
            rows.append(torch.cat([part.flatten() for part in parts]))
        return torch.stack(rows)

    return field
