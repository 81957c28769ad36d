"""Recipes: what may be combined, and files with mistakes in them."""

from __future__ import annotations

import pytest

from compress_quant import Activations, Observer, Override, Recipe, Target, When
from compress_quant.recipe_file import load_recipe
from compress_tensor import FileError, InputError


def written(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_file_says_all_that_a_recipe_can(tmp_path):
    """Every key, typed."""
    path = written(
        tmp_path,
        """
        target: onnxruntime
        activations: s8
        observer: percentile
        percentile: 99.9
        memory: 512MB
        threads: 2
        exclude: [front*, head]
        op_types: [Conv]
        least_decibels: 12
        equalize: off
        bias_correction: on
        strict: true
        per_channel: false
        overrides:
          - {node: c1, observer: minmax}
          - {node: c2, low: 0, high: 6}
          - {node: c3, keep_float: true}
        """,
    )

    assert load_recipe(path) == Recipe(
        target=Target.ONNXRUNTIME,
        activations=Activations.S8,
        observer=Observer.PERCENTILE,
        percentile=99.9,
        memory=512_000_000,
        threads=2,
        exclude=("front*", "head"),
        op_types=("Conv",),
        least_decibels=12.0,
        equalize=When.OFF,
        bias_correction=When.ON,
        strict=True,
        per_channel=False,
        overrides=(
            Override("c1", observer=Observer.MINMAX),
            Override("c2", low=0.0, high=6.0),
            Override("c3", keep_float=True),
        ),
    )


def test_an_empty_file_changes_nothing(tmp_path):
    """What is not mentioned comes from the base."""
    base = Recipe(threads=2)

    assert base == load_recipe(written(tmp_path, ""), base)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("observr: mse", "did you mean 'observer'"),
        ("zzz: 1", "keys are target"),
        ("observer: msee", "did you mean 'mse'"),
        ("percentile: high", "must be a number, not text"),
        ("percentile: 20", "above 50"),
        ("memory: lots", "not a size of memory"),
        ("threads: 0", "from 1 to 256"),
        ("threads: true", "from 1 to 256"),
        ("exclude: conv", "must be a list"),
        ("exclude: [1]", "must be text"),
        ("strict: 1", "true or false"),
        ("- a", "keys with values"),
        ("overrides: {node: a}", "list of maps"),
        ("overrides: [{observer: mse}]", "which node"),
        ("overrides: [{node: a, lo: 1}]", "did you mean 'low'"),
        ("overrides: [{node: a, low: 1}]", "belong together"),
        ("overrides: [{node: a, low: 1, high: 1}]", "not a range"),
        ("overrides: [{node: a, low: 0, high: 1, observer: mse}]", "choose one"),
        ("overrides: [{node: a, keep_float: true, observer: mse}]", "floats and yet"),
        ("{observer: minmax, percentile: 99}", "no effect"),
        ("{target: tensorrt, activations: s8}", "no zero points"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(tmp_path, text, expected):
    """That names the file."""
    with pytest.raises(InputError, match=expected) as caught:
        load_recipe(written(tmp_path, text))

    assert "recipe.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x: {"])
def test_what_is_not_yaml(tmp_path, text):
    """The line is named."""
    with pytest.raises(FileError, match="not YAML"):
        load_recipe(written(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    """Missing, a folder, not text."""
    with pytest.raises(FileError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(FileError, match="cannot be read"):
        load_recipe(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FileError, match="UTF-8"):
        load_recipe(tmp_path / "b.yaml")
