"""The folder of the embedded default."""

from trials.tiny import FOLDER


def test_the_embedded_default_is_there() -> None:
    assert (FOLDER / "backbone" / "config.json").is_file()
    assert (FOLDER / "backbone" / "model.safetensors").is_file()
    assert (FOLDER / "backbone" / "tokenizer.json").is_file()
    assert {path.name for path in (FOLDER / "tasks").iterdir()} == {
        "tiny_acceptability",
        "tiny_paraphrase",
    }
