"""Models that share what is equal in them: a copy takes as much memory as is changed in it.

Such models are not to be written to in place. Whoever changes a weight puts another tensor there
(``put``), so that a change never reaches a model that shares the old one.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def shared_copy(model: Any) -> Any:
    """A plain model whose parameters and buffers stand in the memory of another's; what is tied
    stays tied. It can be moved to another device or precision without moving the other.
    """
    memo: dict[int, Any] = {id(b): b.detach() for b in model.buffers()}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    return copy.deepcopy(model, memo)


def put(module: nn.Module, name: str, value: Tensor) -> None:
    """Another tensor in the place of a module's parameter, in this model alone."""
    old = module._parameters[name]
    assert old is not None
    new = value.detach().to(old).contiguous()
    setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad))


@torch.no_grad()
def share_equal(model: Any, other: Any) -> None:
    """Let a model's parameters stand in the memory of another's wherever they are equal.

    Names are compared without what a back-end's wrapping adds.
    """
    theirs = {_plain(name): parameter for name, parameter in other.named_parameters()}
    for name, parameter in model.named_parameters():
        twin = theirs.get(_plain(name))
        alike = (
            twin is not None and twin.dtype == parameter.dtype and twin.device == parameter.device
        )
        if twin is not None and alike and torch.equal(twin, parameter):
            parameter.data = twin.data


def _plain(name: str) -> str:
    return name.replace("._original_component", "")


@torch.no_grad()
def own(model: Any, parameters: Iterable[Tensor]) -> None:
    """Give a model copies of its own of some of its parameters, which may be written to then.

    What is tied stays tied.
    """
    wanted = {id(parameter) for parameter in parameters}
    copies: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is not None and id(old) in wanted:
                if id(old) not in copies:
                    copies[id(old)] = nn.Parameter(old.detach().clone(), old.requires_grad)
                module._parameters[name] = copies[id(old)]
