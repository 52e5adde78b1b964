"""A trained trial, for use without this package."""

from collections.abc import Mapping
from pathlib import Path

from ablate.keeping import ADAPTER
from trials.errors import UserError
from trials.places import Assignment


def export(
    assignment: Assignment, files: Mapping[str, str], to: Path, *, merged: bool = False
) -> Path:
    """Write a trial as a LoRA of the `peft` library, or as a merged model.

    Args:
        assignment: the trial, and the folder that holds its files.
        files: of its result, by artifact name.
        to: folder to write.
        merged: the whole model with the update in its weights.

    Raises:
        UserError: its adapter was not kept, or its method is of another form.
    """
    from trials.training import export
    from trials.training.run import load_parts

    spec = assignment.spec
    if ADAPTER not in files:
        raise UserError(f"trial {spec.id[:12]}: its adapter was not kept")
    for code in assignment.code:
        code.load()
    task, backbone = load_parts(assignment)
    member = export.load_member(Path(assignment.folder), spec, backbone, files[ADAPTER])
    if merged:
        return export.to_merged(member, backbone, task, to)
    found = Path(assignment.backbone).expanduser()
    reference = str(found.resolve()) if found.is_dir() else spec.backbone
    return export.to_peft(member, backbone, reference, to)
