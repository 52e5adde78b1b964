"""DeBERTa's attention to positions, for members that share a forward pass.

DeBERTa (He et al. 2021, arXiv:2006.03654, section 3.1) scores a query i and a key j by

    A[i, j] = (Qc[i] · Kc[j]  +  Qc[i] · Kr[δ]  +  Kc[j] · Qr[δ]) / sqrt(3 d)

where the first term is of contents, the second from content to position, the third from position
to content. Kr and Qr are the key and query projections of embeddings of relative distances. They
have no batch axis, and with K members every member's projections are its own: so they are made
from K copies of the embeddings, and each member's examples meet its own copy.

δ is the place of the distance i − j in the table of embeddings. The paper writes δ(j, i) in the
third term; the checkpoints were trained by the authors' code, which reads δ(i, j) in both.

Shapes: K members, B examples of a member (padded), N heads, L tokens, d numbers of a head,
P positions in the table, D = 2 L − 1 distances, H hidden size.
"""

import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn

_METHOD = "disentangled_attention_bias"


class Positions:
    """The replacement on every disentangled attention of one model; none on other families.

    Attributes:
        active: whether a projection is being called on positions and not on tokens: on (K, P, H),
            with no example or length of a member's own.
    """

    def __init__(self, model: nn.Module, current_members: Callable[[], int | None]) -> None:
        """Install it.

        Args:
            model: the backbone.
            current_members: K of the pass that is under way; None outside of one, where the
                model is the library's.
        """
        self.active = False
        self.current_members = current_members
        self._modules = list(_disentangled(model).values())
        for module in self._modules:
            _SOURCES.setdefault(module, []).append(self)
            # A bound method, so that a copy of the model has one of its own.
            setattr(module, _METHOD, MethodType(_bias, module))

    def remove(self) -> None:
        """Leave the model as it was."""
        for module in self._modules:
            of_module = _SOURCES[module]
            of_module.remove(self)
            if not of_module:
                del _SOURCES[module]
                delattr(module, _METHOD)
        self._modules = []

    def bias(
        self,
        module: Any,
        num_members: int,
        query: Tensor,
        key: Tensor,
        relative_pos: Tensor,
        embeddings: Tensor,
        scale_factor: int,
    ) -> Tensor:
        """Both positional terms, (K · B · N, L, L).

        Args:
            module: the attention.
            num_members: K.
            query, key: (K · B · N, L, d) of contents.
            relative_pos: (1, L, L) bucket of the distance i − j, from −P/2 to P/2.
            embeddings: (P, H) of distances, or (K, P, H) where dropout or a trained bias made
                each member's own.
            scale_factor: number of terms, that of contents included.
        """
        half = module.pos_ebd_size
        own = embeddings[..., : 2 * half, :].expand(num_members, -1, -1)
        upward = _places(relative_pos, half)
        # The library rounds this root to float32 whatever the model's dtype.
        scale = torch.tensor(float(query.shape[-1] * scale_factor), dtype=torch.float32).sqrt()
        terms = []
        if "c2p" in module.pos_att_type:
            keys = self._project(module, "key_proj", own)
            terms.append(_by_distance(query, keys, upward.flip(0), module.num_attention_heads))
        if "p2c" in module.pos_att_type:
            queries = self._project(module, "query_proj", own)
            scores = _by_distance(key, queries, upward, module.num_attention_heads)
            terms.append(scores.transpose(-1, -2))
        if not terms:
            return query.new_zeros(())
        total = sum(term / scale.to(term.dtype) for term in terms)
        assert isinstance(total, Tensor)
        return total.transpose(1, 2).reshape(-1, *total.shape[-2:])

    def _project(self, module: Any, name: str, own: Tensor) -> Tensor:
        """(K, P, H) through a projection: the one of contents where the model shares them."""
        projection = getattr(module, name if module.share_att_key else f"pos_{name}")
        self.active = True
        try:
            projected: Tensor = projection(own)
        finally:
            self.active = False
        return projected


_SOURCES: weakref.WeakKeyDictionary[nn.Module, list[Positions]] = weakref.WeakKeyDictionary()


def dropouts(model: nn.Module) -> dict[str, Literal["probabilities", "positions", "off"]]:
    """What each dropout acts on that is not one of hidden states (K · B, [L,] H), by its path.

    `probabilities` are (K · B, N, L, L); `positions` are the table of embeddings, (P, H). The
    pooler's is `off` where the configuration has it at 0, as every published checkpoint does: it
    is followed by the classifier's, and what is pooled would be dropped twice.
    """
    attentions = _disentangled(model)
    found: dict[str, Literal["probabilities", "positions", "off"]] = {}
    if attentions and not getattr(model.config, "pooler_dropout", 0.0):
        found["pooler.dropout"] = "off"
    for path, module in attentions.items():
        found[f"{path}.dropout"] = "probabilities"
        if module.relative_attention:
            found[f"{path}.pos_dropout"] = "positions"
    return found


def norms_of_positions(model: nn.Module) -> frozenset[str]:
    """Paths of layer norms that act on the table of embeddings, (P, H), and not on tokens."""
    if not _disentangled(model):
        return frozenset()
    path = f"{getattr(model, 'base_model_prefix', '')}.encoder.LayerNorm"
    return frozenset({path} & {name for name, _ in model.named_modules()})


def _disentangled(model: nn.Module) -> dict[str, Any]:
    if getattr(getattr(model, "config", None), "model_type", None) != "deberta-v2":
        return {}
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, DisentangledSelfAttention)
    }


def _bias(
    module: Any,
    query: Tensor,
    key: Tensor,
    relative_pos: Tensor,
    embeddings: Tensor,
    scale_factor: int,
) -> Any:
    """What a module calls in place of its own method."""
    for source in _SOURCES.get(module, ()):
        num_members = source.current_members()
        if num_members is not None:
            return source.bias(
                module, num_members, query, key, relative_pos, embeddings, scale_factor
            )
    whole = getattr(type(module), _METHOD)
    return whole(module, query, key, relative_pos, embeddings, scale_factor)


def _places(relative_pos: Tensor, half: int) -> Tensor:
    """(D,) place in the table of each distance, from −(L − 1) up to L − 1."""
    of_pair = relative_pos.reshape(relative_pos.shape[-2:])
    upward = torch.cat([of_pair[0].flip(0), of_pair[1:, 0]])
    return (upward + half).clamp(0, 2 * half - 1)


def _by_distance(content: Tensor, positions: Tensor, places: Tensor, heads: int) -> Tensor:
    """Scores of contents with the positions at their distances.

    One product with the D distances, of which a shift of each row takes the L that the row sees:
    half as wide as one with the table where sequences are short, and without an index for each
    pair, whose gradient would be summed in no fixed order on a GPU.

    Args:
        content: (K · B · N, L, d).
        positions: (K, P, N · d).
        places: (D,) place in the table; its column L − 1 is the distance 0.
        heads: N.

    Returns:
        (K, N, B, L, L): row r holds its products with columns L − 1 − r to 2 L − 2 − r.
    """
    num_members, size, _ = positions.shape
    # A product with ones selects exactly, and its gradient has a fixed order too.
    chosen = places[:, None] == torch.arange(size, device=places.device)
    at_KDF = chosen.to(positions.dtype) @ positions
    at_KNdD = at_KDF.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1)
    rows_KNBLd = content.unflatten(0, (num_members, -1, heads)).transpose(1, 2)
    scores = rows_KNBLd.flatten(2, 3) @ at_KNdD
    return _shifted(scores.unflatten(2, rows_KNBLd.shape[2:4]))


def _shifted(x: Tensor) -> Tensor:
    """(..., L, 2 L − 1) as (..., L, L): row r from its column L − 1 − r on."""
    length = x.shape[-2]
    if length == 1:
        return x
    # In one line of numbers, rows that are one shorter start one column earlier each.
    shorter = x.shape[-1] - 1
    line = x.flatten(-2)[..., length - 1 : length - 1 + length * shorter]
    shifted: Tensor = line.unflatten(-1, (length, shorter))[..., :length]
    return shifted
