"""The parameters of one trial: stacked over sites of equal shape, trained ones in one flat vector.

Shapes: S sites of equal shape, n trained numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trials.methods.base import Method, Site
from trials.streams import generator

_ALIGN = 16
"""Tensors start at multiples of 16 elements, so that reductions are the same in any company."""


@dataclass(frozen=True)
class Group:
    """Sites of equal shape and the parameters they share a stack of.

    Attributes:
        sites: S sites.
        tensors: name -> (S, ...), trained ones as leaves whose gradients lie in the flat vector;
            (1, ...) what all sites of the trial share.
    """

    sites: tuple[Site, ...]
    tensors: dict[str, Tensor]


class Parameters:
    """Everything that a trial owns beside its optimiser.

    Attributes:
        groups: the method's parameters, one entry for each shape of site.
        head: path of a head map -> {weight, bias}.
        values, gradient: (n,) the flat vectors behind every trained tensor.
        trained: name -> leaf tensor, in flat order.
    """

    def __init__(
        self,
        method: Method,
        sites: Sequence[Site],
        head: Sequence[tuple[Site, bool]],
        *,
        seed: int,
        train_head: bool,
        head_std: float,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        head_start: Mapping[str, Tensor] | None = None,
        own: Mapping[str, nn.Parameter] | None = None,
        fixed: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Start every parameter.

        Args:
            method: gives the starting values of `sites`.
            sites: what it adapts; none where it changes a model of its own.
            head: the head's maps, each with whether it has a bias.
            seed: of every random value.
            train_head: whether the head trains.
            head_std: standard deviation of the head's weights.
            device, dtype: of everything.
            head_start: name -> value, in place of the head's random ones.
            own: path -> what trains of the trial's own model; it moves into the flat vector.
            fixed: path -> what the method added to that model and does not train.
        """
        own = own or {}
        raw = {
            f"head.{site.name}.{part}": tensor
            for site, bias in head
            for part, tensor in _new_head(site, bias, seed, head_std).items()
        }
        raw.update(head_start or {})
        grouped = _by_shape(sites)
        untrained = method.frozen() | method.buffers()
        for index, members in enumerate(grouped):
            made = [method.init(s, generator(seed, "initialisation", s.name)) for s in members]
            for name in made[0]:
                raw[f"sites.{index}.{name}"] = torch.stack([m[name] for m in made])
        if sites:
            stream = generator(seed, "initialisation", "shared")
            raw |= {f"shared.{k}": v for k, v in method.shared(sites, stream).items()}
        placed = {k: v.to(device=device, dtype=dtype) for k, v in raw.items()}
        is_trained = {
            k: train_head if k.startswith("head.") else k.rpartition(".")[2] not in untrained
            for k in placed
        } | dict.fromkeys((k for k in placed if k.startswith("shared.")), False)
        placed |= {f"model.{path}": parameter.detach() for path, parameter in own.items()}
        is_trained |= dict.fromkeys((f"model.{path}" for path in own), True)
        self.values, self.gradient, self.trained = _flatten(
            {k: v for k, v in placed.items() if is_trained[k]}, device, dtype
        )
        tensors = placed | self.trained
        self.frozen = {k: v for k, v in tensors.items() if not is_trained[k]}
        self.frozen |= {f"model.{path}": tensor for path, tensor in (fixed or {}).items()}
        for path, parameter in own.items():
            leaf = self.trained[f"model.{path}"]
            parameter.data, parameter.grad = leaf.detach(), leaf.grad
        self.head = {
            site.name: {
                part: tensors[f"head.{site.name}.{part}"]
                for part in (("weight", "bias") if bias else ("weight",))
            }
            for site, bias in head
        }
        shared = _with_prefix(tensors, "shared.")
        self.groups = tuple(
            Group(
                members,
                {k: v[None] for k, v in method.shared_at(members[0], shared).items()}
                | _with_prefix(tensors, f"sites.{index}."),
            )
            for index, members in enumerate(grouped)
        )

    def flat(self, of: Mapping[str, Tensor], default: float) -> Tensor:
        """A flat vector made from a tensor for each trained name; `default` where there is none."""
        vector = torch.full_like(self.values, default)
        offset = 0
        for name, tensor in self.trained.items():
            if name in of:
                vector[offset : offset + tensor.numel()] = (
                    of[name].expand(tensor.shape).reshape(-1).to(vector)
                )
            offset += _aligned(tensor.numel())
        return vector

    def alive(self, method: Method) -> Tensor | None:
        """(n,) booleans: which trained numbers exist now; None when all do."""
        return self._mask([method.alive(group.tensors) for group in self.groups])

    def _mask(self, of_groups: Sequence[Mapping[str, Tensor] | None]) -> Tensor | None:
        masks = {
            f"sites.{index}.{name}": mask
            for index, of_group in enumerate(of_groups)
            for name, mask in (of_group or {}).items()
        }
        return self.flat(masks, 1.0) > 0 if masks else None

    def decays(self) -> Tensor:
        """(n,) 1 for matrices, 0 for biases and scalars, which weight decay leaves alone."""
        is_matrix = {
            name: tensor.new_tensor(float(_is_matrix(name, tensor)))
            for name, tensor in self.trained.items()
        }
        return self.flat(is_matrix, 0.0)

    def counts(self, method: Method) -> tuple[int, int]:
        """Trained numbers of the method (those it counts) and of the head."""
        head = sum(t.numel() for k, t in self.trained.items() if k.startswith("head."))
        counted = self._mask([method.counted(group.tensors) for group in self.groups])
        if counted is None:
            return sum(t.numel() for t in self.trained.values()) - head, head
        everything = self.flat({k: torch.ones_like(t) for k, t in self.trained.items()}, 0.0) > 0
        return int((counted & everything).sum()) - head, head


def _new_head(site: Site, bias: bool, seed: int, std: float) -> dict[str, Tensor]:
    weight = torch.randn((site.outputs, site.inputs), generator=generator(seed, "head", site.name))
    parts = {"weight": weight * std}
    return parts | {"bias": torch.zeros(site.outputs)} if bias else parts


def _by_shape(sites: Sequence[Site]) -> list[tuple[Site, ...]]:
    shapes: dict[tuple[int, int, int], list[Site]] = {}
    for site in sites:
        shapes.setdefault(site.shape, []).append(site)
    return [tuple(members) for members in shapes.values()]


def _flatten(
    tensors: Mapping[str, Tensor], device: torch.device | str, dtype: torch.dtype
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Move tensors into one vector; leaves and their gradients are views of two vectors."""
    size = sum(_aligned(t.numel()) for t in tensors.values())
    values = torch.zeros(size, device=device, dtype=dtype)
    gradient = torch.zeros_like(values)
    leaves, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel()
        values[offset:end] = tensor.reshape(-1)
        leaf = values[offset:end].view(tensor.shape).detach().requires_grad_()
        leaf.grad = gradient[offset:end].view(tensor.shape)
        leaves[name] = leaf
        offset += _aligned(tensor.numel())
    return values, gradient, leaves


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether a tensor is a matrix for each site; sites add one axis, and scalars are 1 × 1."""
    if name.startswith(("head.", "model.")):
        return tensor.dim() >= 2
    return tensor.dim() == 3 and tensor[0].numel() > 1


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
