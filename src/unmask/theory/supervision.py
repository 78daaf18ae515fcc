"""Supervised learning: training from scratch and fine-tuning are one flow with different starts; only fine-tuning
trains the head.

F_i(X) = Σ_r u_{i,r} h_r(X), cross-entropy, full batch. With p = softmax F and e = onehot(y) - p:
    -∂L/∂u_{i,r} = E e_i h_r,     -∂L/∂w_r = E (Σ_i e_i u_{i,r}) Σ_p σ'(⟨w_r, x_p⟩) x_p.
From scratch: u_{i,r} = 1 if kernel r belongs to class i else 0, fixed, so F_i = Σ_{r ≤ m} h_{i,r} (Allen-Zhu & Li
2020). Fine-tuning: u = 0 at the start, u and w trained. Linear probe: u trained, w fixed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.theory.integrate import chebyshev
from unmask.theory.network import branches, responses, silence
from unmask.theory.problem import World
from unmask.theory.sampling import Samples
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_loss import BLOCK, LEAST_ROWS


@dataclass(frozen=True)
class Supervised:
    """Encoders and heads of S seeds when training stopped."""

    weights: Tensor
    """(S, K, d)."""
    head: Tensor
    """(S, k, K)."""
    time: Tensor
    """(S,) float64: training time."""
    fitted: Tensor
    """(S,) bool: the stopping rule was met."""
    evaluations: int
    """Evaluations of one seed's force, summed over seeds."""


def supervised_force(weights: Tensor, head: Tensor, data: Samples, q: int, threshold: float) -> tuple[Tensor, Tensor]:
    """(-∂L/∂w (K, d), -∂L/∂u (k, K))."""
    return _force(weights, head, data, q, threshold)[:2]


def _force(
    weights: Tensor, head: Tensor, data: Samples, q: int, threshold: float
) -> tuple[Tensor, Tensor, float, bool]:
    """The force in row blocks, and facts from the same pass: mean cross-entropy above its minimum (0 for hard labels),
    and whether all labels are right."""
    n, p, d = data.x.shape
    k = weights.shape[0]
    scaled = (weights / threshold).T.contiguous()
    out_w, out_u = torch.zeros_like(weights), torch.zeros_like(head)
    rows = max(LEAST_ROWS, BLOCK // (p * k))
    silent = silence(q, weights.dtype)
    buffers = [weights.new_empty(min(rows, n) * p, k) for _ in range(3)]
    total, right = 0.0, True
    for chunk, labels in zip(data.x.split(rows), data.labels.split(rows), strict=True):
        flat = chunk.reshape(-1, d)
        alpha, m, s = (buffer[: len(flat)] for buffer in buffers)
        torch.threshold_(torch.mm(flat, scaled, out=alpha), silent, 0.0)
        h = branches(alpha, q, m, s).view(-1, p, k).sum(1).mul_(threshold)
        f = h @ head.T
        total += float(torch.nn.functional.cross_entropy(f, labels, reduction="sum"))
        e = -torch.softmax(f, 1)
        if labels.ndim == 2:
            total -= float(torch.special.entr(labels).sum())
            right &= bool((f.argmax(1) == labels.argmax(1)).all())
            e += labels
        else:
            right &= bool((f.argmax(1) == labels).all())
            e[torch.arange(len(labels)), labels] += 1.0
        out_u.addmm_(e.T, h)
        s.view(-1, p, k).mul_((e @ head)[:, None, :])
        out_w.addmm_(s.T, flat)
    return out_w.div_(n), out_u.div_(n), total / n, right


def block_head(classes: int, kernels_per_class: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The fixed head of training from scratch, (k, K): kernels i·m..(i+1)·m-1 belong to class i."""
    return torch.eye(classes, dtype=dtype).repeat_interleave(kernels_per_class, dim=1)


def train_from_scratch(
    worlds: Sequence[World],
    end: float = 1e7,
    observe: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    rtol: float = 5e-4,
    data: Sequence[Samples] | None = None,
) -> Supervised:
    """SL from the scratch start on the labeled samples (or on `data`) until the stopping rule.

    observe and rtol are those of `chebyshev`. Labels of `data` may be soft, (N, k): then the cross-entropy above that
    of the labels themselves counts, and a largest logit is right if it is the label's.
    """
    setting = worlds[0].setting
    head = block_head(setting.data.classes, setting.kernels_per_class, worlds[0].dtype).expand(len(worlds), -1, -1)
    start = torch.stack([w.scratch_start for w in worlds])
    return _train(setting, start, head, data or [w.labeled() for w in worlds], end, False, observe, rtol)


def fine_tune(
    worlds: Sequence[World], encoders: Tensor, data: Sequence[Samples] | None = None, end: float = 1e4
) -> Supervised:
    """Fine-tune encoders (S, K, d) with a head from zero on labels_per_class samples per class (or on `data`).

    An encoder that captured the features fits at a time of about 20 to 130 (k = 10, 50); one that lacks some may take
    forever to grow them from a few samples, so `end` is a hundred times that, and `fitted` reports the outcome.
    """
    setting = worlds[0].setting
    head = encoders.new_zeros(len(worlds), setting.data.classes, encoders.shape[1])
    return _train(setting, encoders, head, data or [w.few() for w in worlds], end, True)


def linear_probe(
    worlds: Sequence[World], encoders: Tensor, data: Sequence[Samples] | None = None, end: float = 1e3
) -> Supervised:
    """Train only the head on frozen encoders (S, K, d): h is computed once.

    Frozen features need not separate the classes, so the stopping rule may never be met: then `fitted` is False and
    the head is the one at `end`.
    """
    setting = worlds[0].setting
    few = data or [w.few() for w in worlds]
    seen = [responses(w, one.x, setting.power, setting.threshold) for w, one in zip(encoders, few, strict=True)]
    head = encoders.new_zeros(len(worlds), setting.data.classes, encoders.shape[1])

    def field(states: Tensor, index: Tensor) -> Tensor:
        pairs = zip(states, index.tolist(), strict=True)
        return torch.stack([head_force(u.view_as(head[0]), seen[i], few[i].labels).flatten() for u, i in pairs])

    def stop(states: Tensor, index: Tensor) -> Tensor:
        pairs = zip(states, index.tolist(), strict=True)
        return torch.tensor([_fits(seen[i] @ u.view_as(head[0]).T, few[i].labels, setting) for u, i in pairs])

    done = chebyshev(field, head.flatten(1), end, stop)
    return Supervised(encoders, done.state.view_as(head), done.time, done.stopped, done.evaluations)


def head_force(head: Tensor, h: Tensor, labels: Tensor) -> Tensor:
    """-∂L/∂u = E e_i h_r, (k, K), on responses h (N, K)."""
    e = -torch.softmax(h @ head.T, 1)
    e[torch.arange(len(labels)), labels] += 1.0
    return (e.T @ h).div_(len(labels))


def _fits(f: Tensor, labels: Tensor, setting: Setting) -> bool:
    """The stopping rule: training accuracy 1 and mean cross-entropy below stop_loss; f are logits (N, k)."""
    right = bool((f.argmax(1) == labels).all())
    return right and float(torch.nn.functional.cross_entropy(f, labels)) < setting.stop_loss


def logits(weights: Tensor, head: Tensor, x: Tensor, setting: Setting) -> Tensor:
    """F(X), (N, k)."""
    return responses(weights, x, setting.power, setting.threshold) @ head.T


def error(weights: Tensor, head: Tensor, data: Samples, setting: Setting) -> float:
    """Share of samples whose largest logit is not the label's."""
    return float((logits(weights, head, data.x, setting).argmax(1) != data.labels).double().mean())


def _train(
    setting: Setting,
    weights: Tensor,
    head: Tensor,
    data: Sequence[Samples],
    end: float,
    train_head: bool,
    observe: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    rtol: float = 5e-4,
) -> Supervised:
    count, d = weights.shape[1:]
    size = count * d

    def unpack(row: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return row[:size].view(count, d), row[size:].view(-1, count)

    fits = [False] * len(weights)

    def field(states: Tensor, index: Tensor) -> Tensor:
        rows = []
        for row, seed in zip(states, index.tolist(), strict=True):
            fw, fu, mean, right = _force(*unpack(row, seed), data[seed], setting.power, setting.threshold)
            fits[seed] = right and mean < setting.stop_loss
            rows.append(torch.cat([fw.flatten(), fu.flatten() if train_head else torch.zeros_like(row[size:])]))
        return torch.stack(rows)

    def stop(states: Tensor, index: Tensor) -> Tensor:
        # The integrator asks about states whose force it has just computed.
        return torch.tensor([fits[seed] for seed in index.tolist()])

    start = torch.cat([weights.flatten(1), head.flatten(1)], 1)
    end_state = chebyshev(field, start, end, stop, observe, rtol)
    return Supervised(
        end_state.state[:, :size].view(-1, count, d),
        end_state.state[:, size:].view(head.shape),
        end_state.time,
        end_state.stopped,
        end_state.evaluations,
    )
