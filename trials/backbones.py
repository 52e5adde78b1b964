"""Backbones: load one frozen, with its tokenizer and its head.

A backbone is named by a folder, by a name under one of the `models` roots, by `tiny` (embedded),
or by a hub id with an optional `@revision`, which becomes a commit before anything is read. Weights
load as float32, those in `.bin` as tensors alone; remote code never runs.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trials.errors import UserError, nearest
from trials.families import FAMILIES, ROBERTA, WRITE_NOT, Family, Reads
from trials.paths import is_plain_name, user_path
from trials.reading import commit_of, from_folder, from_hub, quiet, require_tokenizer, tokenizer_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_HERE = Path(__file__).parent
_DIGESTED = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen model in evaluation mode, with its tokenizer.

    Attributes:
        name: hub id or folder name.
        digest: hub commit or digest of the folder's files.
        model: a sequence classification model, or a language model; no parameter requires a
            gradient.
        tokenizer: its tokenizer, padding on the right.
        family: how its parts are named.
        dropouts: path -> probability, of those that a trial's method put into its own copy.
        has_head: whether the checkpoint has the head, so that it is not random.
        reads: what its head does: `words` of a language model, else `text`.
    """

    name: str
    digest: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    dropouts: Mapping[str, float] = field(default_factory=dict)
    has_head: bool = False
    reads: Reads = "text"

    @property
    def writes(self) -> bool:
        """Whether it is a language model, whose outputs are words."""
        return self.reads == "words"

    @property
    def start_id(self) -> int | None:
        """The token that its decoder begins a text with; None where it has no encoder."""
        config: Any = self.model.config
        return int(config.decoder_start_token_id) if config.is_encoder_decoder else None

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a text that it writes."""
        said = getattr(self.model.generation_config, "eos_token_id", None)
        several = said if isinstance(said, list) else [said]
        own = getattr(self.tokenizer, "eos_token_id", None)
        return tuple(sorted({int(token) for token in (*several, own) if token is not None}))

    @property
    def max_tokens(self) -> int:
        """Longest sequence that the model has positions for; a recipe cannot exceed it."""
        positions = longest(self.model.config)
        return min(positions, int(getattr(self.tokenizer, "model_max_length", positions)))

    @property
    def initializer_range(self) -> float:
        """Standard deviation of a new head's weights, as the model's own configuration says."""
        config: Any = self.model.config
        if hasattr(config, "initializer_factor"):  # T5's, by the width of what a map reads.
            return float(config.initializer_factor * config.hidden_size**-0.5)
        return float(getattr(config, "initializer_range", 0.02))


def find(reference: str, roots: Sequence[Path] = (), base: Path | None = None) -> Path | None:
    """The folder that a reference names, or None when it must be a hub id.

    Args:
        reference: folder, name under a root, `tiny`, or hub id.
        roots: folders that hold backbones by name, in the order they are asked.
        base: what a relative folder is relative to.

    Raises:
        UserError: the reference is a path, and there is no backbone in that folder.
    """
    for root in roots if is_plain_name(reference) else ():
        if (root / reference / "config.json").is_file():
            return root / reference
    if reference == "tiny":
        return _HERE / "tiny" / "backbone"
    if reference.startswith((".", "/", "~")):
        folder = user_path(reference, base or Path()).resolve()
        if not (folder / "config.json").is_file():
            raise UserError(f"backbone '{reference}': no config.json in {folder}")
        return folder
    return None


def configuration(
    reference: str, roots: Sequence[Path] = (), base: Path | None = None
) -> PretrainedConfig:
    """A backbone's configuration without its weights: from a folder, the package, or the hub.

    Raises:
        UserError: nothing of that name can be had, or the family is not known.
    """
    import transformers

    folder, packaged, name = find(reference, roots, base), _packaged(), _plain_name(reference)
    if folder is not None:
        config = transformers.AutoConfig.from_pretrained(folder)
    elif name in packaged:
        fields = json.loads(packaged[name].read_text())
        config = transformers.AutoConfig.for_model(**fields)
    else:
        config = from_hub(transformers.AutoConfig, reference)
    family_of(config)
    return config


def has_configuration(reference: str, roots: Sequence[Path] = (), base: Path | None = None) -> bool:
    """Whether `configuration` answers without the hub."""
    return find(reference, roots, base) is not None or _plain_name(reference) in _packaged()


def _packaged() -> dict[str, Path]:
    return {path.stem: path for path in (_HERE / "configurations").glob("*.json")}


def _plain_name(reference: str) -> str:
    """The last part of a hub id, without its revision."""
    return reference.partition("@")[0].rpartition("/")[2]


def family_of(config: PretrainedConfig) -> Family:
    """The naming of a configuration's family.

    Raises:
        UserError: the family is not one of those that are known.
    """
    return _family(config.model_type)


def _family(kind: str) -> Family:
    if kind not in FAMILIES:
        raise UserError(f"backbones of type '{kind}' are not known{nearest('', FAMILIES)}")
    return FAMILIES[kind]


def family_in(folder: Path) -> Family:
    """The naming of a folder's model, read without the libraries that would build it.

    Raises:
        UserError: the configuration cannot be read, or its family is not known.
    """
    file = folder / "config.json"
    try:
        kind = json.loads(file.read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"backbone {folder}: config.json has no model_type ({reason})") from None
    return _family(str(kind))


def weights_in(folder: Path) -> frozenset[str]:
    """Names of a folder's weights, from the headers of its files; empty where they have none."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="numpy") as file:
                names.update(file.keys())
        except (OSError, SafetensorError):
            return frozenset()
    return frozenset(names)


def longest(config: PretrainedConfig) -> int:
    """Tokens that a configuration has positions for."""
    positions = int(getattr(config, "max_position_embeddings", 2**30))
    if family_of(config) is ROBERTA:
        # Positions count from just after the padding id.
        positions -= int(config.pad_token_id or 0) + 1
    return positions


def model_class(config: PretrainedConfig, reads: Reads) -> Any:
    """The class of transformers that has the head of a backbone.

    Raises:
        UserError: there are no language models of its family.
    """
    import transformers

    if reads != "words":
        return transformers.AutoModelForSequenceClassification
    if not FAMILIES[config.model_type].writes:
        raise UserError(f"{WRITE_NOT}, not those of type '{config.model_type}'")
    if config.is_encoder_decoder:
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM


def skeleton(
    config: PretrainedConfig, num_labels: int = 2, reads: Reads = "text"
) -> PreTrainedModel:
    """The model without weights, to list sites and count parameters."""
    import torch

    config.num_labels = num_labels
    with torch.device("meta"):
        return cast("PreTrainedModel", model_class(config, reads).from_config(config))


def weightless(config: PretrainedConfig, num_layers: int, reads: Reads = "text") -> Backbone:
    """A backbone of random or fake weights and so many layers, to see what it takes.

    A decoder that is as deep as its encoder stays so.
    """
    import copy

    shallow = copy.deepcopy(config)
    shallow.num_hidden_layers = num_layers
    if getattr(config, "num_decoder_layers", None) == config.num_hidden_layers:
        shallow.num_decoder_layers = num_layers
    if getattr(shallow, "layer_types", None) is not None:
        shallow.layer_types = shallow.layer_types[:num_layers]
    _complete(shallow, int(shallow.pad_token_id or 0))
    model = model_class(shallow, reads).from_config(shallow)
    frozen = model.eval().requires_grad_(False)
    family = family_of(config).with_head(reads)
    padding = _Padding(shallow.pad_token_id)
    # A head takes what it takes, whoever trained it.
    return Backbone("weightless", "none", frozen, padding, family, has_head=True, reads=reads)


def _complete(config: PretrainedConfig, pad_id: int) -> None:
    """Say which id pads; heads look for it, and decoders start with it where nothing else is said.

    GPT-2 has no id of its own for it: the tokenizer's is taken, or its end of text.
    """
    config.pad_token_id = pad_id
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = pad_id


@dataclass(frozen=True)
class _Padding:
    """The part of a tokenizer that a pack needs."""

    pad_token_id: int


def load(
    reference: str,
    roots: tuple[Path, ...] = (),
    base: Path | None = None,
    device: str = "cpu",
    base_precision: str = "same",
    commit: str | None = None,
    reads: Reads = "text",
) -> Backbone:
    """Load a backbone once per process; equal arguments give the same object.

    Its own head is used where a trial keeps it; others bring theirs, of as many outputs as their
    tasks have.

    Args:
        reference: folder, name under a root, `tiny`, or hub id.
        roots, base: as `find` takes them.
        device: where its weights go.
        base_precision: how those of its linear maps are stored: `same`, `int8` or `nf4`.
        commit: of the hub, where it is known; what `reference` means there may have moved on.
        reads: what its head does.

    Raises:
        UserError: it cannot be found or read, or writes no words where they are asked for.
    """
    folder = find(reference, roots, base)
    if folder is None:
        commit = commit or resolve(reference)
        reference = f"{reference.partition('@')[0]}@{commit}"
    own: Reads = "words" if reads == "words" else "text"  # A head of tokens is a trial's alone.
    return _loaded(reference, folder, device, base_precision, own)


@functools.lru_cache(maxsize=4)
def _loaded(
    reference: str, folder: Path | None, device: str, base_precision: str, reads: Reads
) -> Backbone:
    import torch
    import transformers

    read: Any = from_hub if folder is None else from_folder
    place = reference if folder is None else folder
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "output_loading_info": True,
        "weights_only": True,
    }
    with quiet():
        if folder is not None:
            family_in(folder)
            name, digest = folder.name, folder_digest(folder)
        else:
            name, _, digest = reference.partition("@")
        config = read(transformers.AutoConfig, place)
        model, info = read(model_class(config, reads), place, **options)
        family = family_of(config).with_head(reads)
        tokenizer = tokenizer_of(read, place)
    if reads == "words" and _lacks(info, family):
        raise UserError(
            f"backbone '{reference}' comes without a map to words, so it writes no text; name "
            "the checkpoint of a language model"
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    _complete(model.config, int(tokenizer.pad_token_id or 0))
    if base_precision != "same":
        from trials.quantised import quantise

        quantise(model, base_precision, family.head)
    return Backbone(
        "tiny" if reference == "tiny" else name,
        digest,
        model.to(device).eval().requires_grad_(False),
        tokenizer,
        family,
        has_head=not _lacks(info, family),
        reads=reads,
    )


def _lacks(info: Mapping[str, Any], family: Family) -> bool:
    """Whether a checkpoint has no head, by what it was missing; what is tied is not missing."""
    return any(name.startswith(family.head) for name in info["missing_keys"])


def lacks_head(folder: Path, family: Family) -> bool:
    """Whether the names of a folder's weights show that it has no head of its own."""
    names = weights_in(folder)
    return bool(names) and not all(f"{path}.weight" in names for path in family.head)


def resolve(reference: str, roots: Sequence[Path] = (), base: Path | None = None) -> str:
    """The digest of a backbone without loading it: of its files, or the hub's commit.

    Raises:
        UserError: it cannot be found.
    """
    folder = find(reference, roots, base)
    if folder is not None:
        family_in(folder)
        require_tokenizer(folder)
        return folder_digest(folder)
    import transformers

    commit = commit_of(reference)
    family_of(from_hub(transformers.AutoConfig, f"{reference.partition('@')[0]}@{commit}"))
    return commit


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of the files that a backbone is read from."""
    files = sorted({path for pattern in _DIGESTED for path in folder.glob(pattern)})
    stamps = tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
    return _digest_of(stamps)


@functools.lru_cache(maxsize=64)
def _digest_of(stamps: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, _, _ in stamps:
        with Path(name).open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{Path(name).name}\0{part}\n".encode())
    return total.hexdigest()
