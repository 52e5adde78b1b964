"""What a trial learned, for use without this package: a plain LoRA adapter, or a merged model.

A low-rank update exports to a LoRA of the `peft` library: scale and core are multiplied into the
factors, ranks are padded with zeros to the largest, and the head travels as a saved module. A
method of another form says so and is refused by name.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trials.backbones import Backbone
from trials.errors import UserError
from trials.families import TOKEN_HEAD, Head, Reads
from trials.methods.base import Site
from trials.quantised import densify
from trials.sites import is_transposed, map_shape
from trials.spec import TrialSpec
from trials.tasks.base import Task
from trials.training import checkpoint
from trials.training.member import Member


def load_member(folder: Path, spec: TrialSpec, backbone: Backbone, name: str) -> Member:
    """A finished trial's member, with the values that it kept.

    Args:
        folder: the trial's folder.
        spec: the trial.
        backbone: its backbone, loaded.
        name: file name of the adapter.

    Raises:
        UserError: the adapter is not there (it was not kept) or cannot be read.
    """
    from trials.tasks.base import Encoded

    found = checkpoint.read(folder / name)
    if found is None:
        raise UserError(
            f"trial {spec.id[:12]}: no adapter in {folder}; the study's `keep` decides which stay"
        )
    tensors, _ = found
    empty = Encoded(input_ids=[[0]], token_type_ids=None, labels=[0], ids=["0"], num_truncated=0)
    reads: Reads = "tokens" if f"head.{TOKEN_HEAD}.weight" in tensors else "text"
    last = tensors.get(f"head.{backbone.family.head_paths(reads)[-1]}.weight")
    head = Head(0, "words") if last is None else Head(last.shape[0], reads)
    member = Member(spec, backbone, empty, head)
    with torch.no_grad():
        for key, tensor in {**member.parameters.trained, **member.parameters.frozen}.items():
            tensor.copy_(tensors[key])
    return member


@torch.no_grad()
def map_factors(member: Member) -> dict[str, tuple[Tensor, Tensor]]:
    """Module path -> left (O, R) and right (R, I), scale and core within, on the CPU.

    What slices of one map have is side by side: its rank is the sum of theirs.
    """
    made: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for group, update in zip(member.parameters.groups, member.updates(), strict=True):
        for site, left, right in zip(group.sites, *update.folded(), strict=True):
            whole = _of_map(site, left, member.backbone.model.get_submodule(site.path))
            made.setdefault(site.path, []).append((whole.detach().cpu(), right.detach().cpu()))
    return {
        path: (torch.cat([left for left, _ in parts], 1), torch.cat([right for _, right in parts]))
        for path, parts in made.items()
    }


def _of_map(site: Site, of_site: Tensor, module: nn.Module) -> Tensor:
    """What a site has for each of its outputs, (O, ...), for each of its map's: 0 elsewhere."""
    if site.module is None:
        return of_site
    shape = map_shape(module)
    assert shape is not None
    whole = of_site.new_zeros(shape[0], *of_site.shape[1:])
    for rows, part in zip(site.rows, of_site.chunk(site.slices), strict=True):
        whole[rows] = part
    return whole


def to_peft(member: Member, backbone: Backbone, reference: str, folder: Path) -> Path:
    """Write the adapter as a LoRA of the `peft` library, head included.

    Args:
        member: a trained member.
        backbone: what it adapts.
        reference: how the backbone is named in the adapter's configuration.
        folder: where `adapter_config.json` and `adapter_model.safetensors` go.

    Returns:
        The folder, which `peft.PeftModel.from_pretrained` reads.

    Raises:
        UserError: the method is of another form.
    """
    from peft import LoraConfig

    if not member.method.exports:
        raise UserError(
            f"method '{member.method.name}': what it adds is no product of two factors of a map's "
            f"input, so it is no LoRA of the peft library{_instead(member)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not member.method.packs:
        return _own_to_peft(member, backbone, reference, folder)
    factors = map_factors(member)
    rank = max(left.shape[1] for left, _ in factors.values())
    tensors: dict[str, Tensor] = {}
    inner = _names_of(member, backbone)
    for name, (left, right) in factors.items():
        missing = rank - left.shape[1]
        prefix = f"base_model.model.{inner(name)}"
        tensors[f"{prefix}.lora_A.weight"] = torch.nn.functional.pad(right, (0, 0, 0, missing))
        tensors[f"{prefix}.lora_B.weight"] = torch.nn.functional.pad(left, (0, missing))
    for path, parts in member.parameters.head.items():
        for part, tensor in parts.items():
            tensors[f"base_model.model.{path}.{part}"] = tensor.detach().cpu()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=_is_any_transposed(backbone, member.sites),
        target_modules=sorted(map(inner, factors)),
        modules_to_save=_head_modules(member),
        task_type=_TASK_TYPES[_form(member)],
        base_model_name_or_path=reference,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    save_file(contiguous, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


@torch.no_grad()
def _own_to_peft(member: Member, backbone: Backbone, reference: str, folder: Path) -> Path:
    """Let the library write what it made itself, over a plain backbone with the trial's head."""
    from peft import get_peft_model

    configured = member.method.configured(member.sites)
    configured.task_type = _TASK_TYPES[_form(member)]
    configured.modules_to_save = _head_modules(member)
    if hasattr(configured, "fan_in_fan_out"):
        configured.fan_in_fan_out = _is_any_transposed(backbone, member.sites)
    model = _with_head(copy.deepcopy(backbone.model), member)
    inner = _names_of(member, backbone)
    for key in ("target_modules", "feedforward_modules"):
        named = getattr(configured, key, None)
        if isinstance(named, set | list):
            setattr(configured, key, sorted(map(inner, named)))
    wrapped: Any = get_peft_model(model, configured)
    present = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in {**member.parameters.trained, **member.parameters.frozen}.items():
        path = name.removeprefix("model.")
        if path != name:
            present[inner(path)].copy_(tensor)
    configured.base_model_name_or_path = reference
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


def _is_any_transposed(backbone: Backbone, sites: Sequence[Site]) -> bool:
    """Whether a map is stored as (inputs, outputs), which the library wants to be told."""
    return any(is_transposed(backbone.model.get_submodule(site.path)) for site in sites)


_TASK_TYPES = {
    "text": "SEQ_CLS",
    "tokens": "QUESTION_ANS",
    "words": "CAUSAL_LM",
    "encoder": "SEQ_2_SEQ_LM",
}
"""What the library calls what a model is for."""


def _form(member: Member) -> str:
    writes = member.head.reads == "words" and member.backbone.start_id is not None
    return "encoder" if writes else member.head.reads


def _head_modules(member: Member) -> list[str] | None:
    """The modules that a trial has of its own; None where its head is the backbone's."""
    return sorted({path.partition(".")[0] for path in member.parameters.head}) or None


def _names_of(member: Member, backbone: Backbone) -> Callable[[str], str]:
    """From a module's path in the backbone to that in the library's model of the same head."""
    if member.head.reads == "text":
        return str
    ours = f"{backbone.model.base_model_prefix}."
    theirs = _body_of(_answering(backbone.model.config, "meta"))
    # Names that a configuration of the library made for itself begin with the wrapper's.
    return lambda path: path.replace(ours, theirs, 1) if path.startswith(ours) else path


def _answering(config: Any, device: str) -> Any:
    """The library's model with a head that reads every token, without trained weights."""
    import transformers

    config = copy.deepcopy(config)
    config.num_labels = 2
    with torch.device(device):
        return transformers.AutoModelForQuestionAnswering.from_config(config)


def _body_of(model: Any) -> str:
    """What the paths of a model's body begin with; T5's model for answers has it in itself."""
    prefix = str(model.base_model_prefix)
    return f"{prefix}." if hasattr(model, prefix) else ""


@torch.no_grad()
def merge(member: Member, backbone: Backbone) -> Any:
    """A copy of the backbone with the update added to its weights and the head put in.

    Raises:
        UserError: the method's update does not go into weights.
    """
    if not member.method.merges:
        raise UserError(
            f"method '{member.method.name}': what it adds is bent by an activation, so no weight "
            "of the backbone can hold it"
        )
    model = copy.deepcopy(member.backbone.model)
    densify(model)
    member.method.absorb(model)
    for group, update in zip(member.parameters.groups, member.updates(), strict=True):
        for index, site in enumerate(group.sites):
            module = model.get_submodule(site.path)
            if update.left.shape[-1]:
                left, right = (factor[index] for factor in update.folded())
                delta = (_of_map(site, left, module) @ right).to(module.weight)
                module.weight += delta.T if is_transposed(module) else delta
            if update.bias is not None:
                module.bias += _of_map(site, update.bias[index], module).to(module.bias)
    return _with_head(model, member).requires_grad_(False)


def _with_head(model: Any, member: Member) -> Any:
    """A model with a trial's head in the place of its own; for one that reads tokens another."""
    if member.head.reads == "tokens":
        body, dtype = model.base_model, next(model.parameters()).dtype
        model = _answering(model.config, "cpu").to(dtype).eval()
        prefix = _body_of(model).rstrip(".")
        # Its body has no pooler, which no token is read through.
        model.get_submodule(prefix).load_state_dict(body.state_dict(), strict=False)
    for path, parts in member.parameters.head.items():
        module = model.get_submodule(path)
        module.out_features = parts["weight"].shape[0]
        for part, tensor in parts.items():
            setattr(module, part, nn.Parameter(tensor.detach().clone(), requires_grad=False))
    if member.parameters.head:
        model.config.num_labels = model.num_labels = member.head.outputs
    return model


def _instead(member: Member) -> str:
    return "; export it merged" if member.method.merges else ""


def to_merged(member: Member, backbone: Backbone, task: Task, folder: Path) -> Path:
    """Write the merged model and its tokenizer; `transformers` reads the folder as it is."""
    model = merge(member, backbone)
    if task.definition.labels:
        model.config.id2label = dict(enumerate(task.definition.labels))
        model.config.label2id = {name: i for i, name in enumerate(task.definition.labels)}
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return folder
