"""Read a timm model's stages: which modules end a stage, and what they return for an image size."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from unmask.errors import UserError


class CannotMaskError(UserError):
    """The model has an operation that never supports a mask; filled cells may work."""


def stage_modules(model: nn.Module) -> list[tuple[str, bool]]:
    """(module path, read its input instead of its output) of each stage, shallow to deep, from `feature_info`.

    Raises:
        UserError: the model declares no spatial features.
    """
    names = dict(model.named_modules())
    infos = _infos(model)
    stages = [(str(i["module"]), i.get("hook_type", "") == "forward_pre") for i in infos if i.get("module") in names]
    if not stages:
        raise CannotMaskError(f"encoder = {type(model).__name__} declares no feature maps: choose a model with stages")
    return stages


def stage_strides(model: nn.Module) -> list[int]:
    """The reduction that `feature_info` declares for each stage of `stage_modules`."""
    names = dict(model.named_modules())
    return [int(i["reduction"]) for i in _infos(model) if i.get("module") in names]


def total_stride(model: nn.Module) -> int:
    """The largest reduction that `feature_info` declares; layers set to stride 1 later only make it smaller."""
    return max((int(i["reduction"]) for i in _infos(model)), default=1)


def first_kernel(model: nn.Module) -> Tensor:
    """The weights of the first convolution, [K, C, h, w], which reads images of C channels.

    Raises:
        UserError: there is none.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight
    raise UserError(f"encoder = {type(model).__name__} has no convolution that reads the image: choose another")


def _infos(model: nn.Module) -> list[dict[str, Any]]:
    info = getattr(model, "feature_info", None)
    return list(info) if isinstance(info, (list, tuple)) else list(getattr(info, "info", []))


@contextmanager
def captured(model: nn.Module, stages: list[tuple[str, bool]], read: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """Collect the outputs of the stages during one forward pass; hooks are removed afterwards, even on error."""
    taken: list[Any] = [None] * len(stages)

    def keep(index: int) -> Callable[..., None]:
        """A hook for either side of a module, which puts what is read into the place of its stage."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], *output: Any) -> None:
            taken[index] = read(output[0] if output else inputs[0])

        return hook

    handles = []
    try:
        for index, (name, before) in enumerate(stages):
            module = model.get_submodule(name)
            register = module.register_forward_pre_hook if before else module.register_forward_hook
            handles.append(register(keep(index)))
        yield taken
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode temporarily; each module's own mode is restored, even on error."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def explain(model: nn.Module, error: Exception, *, done: str = "masked", fix: str = "choose another encoder") -> str:
    """Name model, module and operation; the module is the innermost one on the traceback."""
    paths = {id(module): path for path, module in model.named_modules()}
    where = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and paths.get(id(module)):
            where = f"{paths[id(module)]} ({type(module).__name__})"
        trace = trace.tb_next
    return f"encoder = {type(model).__name__}: module {where} cannot be {done}: {error}; {fix}"
