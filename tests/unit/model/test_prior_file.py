"""Prior files: what is written comes back, and what was not written so is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.config import LearnedPrior, Method, Settings
from bayesrca.errors import InvalidSettingsError
from bayesrca.model.parameters import PRIORS, unconstrained_prior
from bayesrca.model.prior_file import (
    describe_parameters,
    encode_prior,
    load_prior,
    prior_in_use,
)

MEAN, SD = unconstrained_prior()


def content(gamma: float = 0.8) -> dict[str, Any]:
    return {
        "parameters": describe_parameters(MEAN + 1 / 3, SD * 0.7),
        "gamma": {"value": gamma},
        "provenance": {"incidents": 9, "groups": 7, "note": "µ, 0.1 and 1e-17"},
    }


def write(path: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    """Write a prior file; a change is made after it was signed."""
    document = json.loads(encode_prior(content()))
    if change is not None:
        change(document)
    path.write_text(json.dumps(document))
    return path


def write_signed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a prior file with a content of one's own and a hash that matches."""
    changed = content()
    change(changed)
    path.write_bytes(encode_prior(changed))
    return path


def test_what_is_written_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "prior.json"
    path.write_bytes(encode_prior(content()))
    prior = load_prior(path)
    np.testing.assert_array_equal(prior.mean, MEAN + 1 / 3)
    np.testing.assert_array_equal(prior.sd, SD * 0.7)
    assert (prior.gamma, prior.incidents, prior.groups) == (0.8, 9, 7)
    assert prior.name == "prior.json"
    assert prior.sha256 == json.loads(path.read_text())["sha256"]
    assert prior.label == f"prior.json (sha256 {prior.sha256[:12]})"
    hash(prior)


def test_layout_and_key_order_are_not_part_of_what_is_signed(tmp_path: Path) -> None:
    path = write(tmp_path / "prior.json")
    document = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(document.items())), indent=7))
    assert load_prior(path).groups == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["parameters"]["base_rate"]["mean"].__setitem__(0, -3.0),
        lambda d: d["gamma"].update(value=1.0),
        lambda d: d["provenance"].update(groups=700),
        lambda d: d.update(sha256="0" * 64),
        lambda d: d.pop("sha256"),
        lambda d: d.update(extra=1),
    ],
)
def test_a_changed_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = write(tmp_path / "prior.json", change)
    with pytest.raises(InvalidSettingsError, match=r"hash does not match; learn it again") as error:
        load_prior(path)
    assert error.value.field == "prior"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["parameters"].pop("vital_rate"), "'vital_rate' is missing"),
        (lambda c: c["parameters"].update(new=c["parameters"]["vital_rate"]), "'new' is not known"),
        (lambda c: c["parameters"]["vital_rate"].update(mean=[0.0, 0.0]), "has another form"),
        (lambda c: c["parameters"]["vital_rate"].update(transform="log"), "has another form"),
        (lambda c: c["parameters"]["vital_rate"].update(sd=[0.0]), "vital_rate is 0.0"),
        (lambda c: c["parameters"]["vital_rate"].update(mean=["a"]), "vital_rate is 'a'"),
        (lambda c: c["parameters"]["vital_rate"].update(mean=[True]), "vital_rate is True"),
        (lambda c: c["gamma"].update(value=0.0), "gamma is 0.0"),
        (lambda c: c["gamma"].update(value=1.5), "gamma is 1.5"),
        (lambda c: c.pop("provenance"), "provenance"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    path = write_signed(tmp_path / "prior.json", change)
    with pytest.raises(InvalidSettingsError, match=says) as error:
        load_prior(path)
    assert "bayesrca learn" in str(error.value)


def test_nan_can_be_neither_written_nor_read(tmp_path: Path) -> None:
    changed = content()
    changed["parameters"]["vital_rate"]["mean"] = [float("nan")]
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_prior(changed)
    path = tmp_path / "prior.json"
    # Signed as somebody would who computes the hash without minding NaN.
    from bayesrca.model import prior_file

    document = {"format": "bayesrca-prior", "version": 1, **changed}
    document["sha256"] = prior_file._hash(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidSettingsError, match="vital_rate is nan"):
        load_prior(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[]", "is not a prior file"),
        ('{"format": "other"}', "is not a prior file"),
        ('{"format": "bayesrca-prior", "version": 2}', "has version 2 and this one reads 1"),
        ('{"format": "bayesrca-prior"}', "has version None"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InvalidSettingsError, match=says):
        load_prior(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"cannot be read \(No such file"):
        load_prior(tmp_path / "none.json")


def test_every_parameter_is_in_the_file_with_its_length() -> None:
    described = describe_parameters(MEAN, SD)
    assert {n: len(e["mean"]) for n, e in described.items()} == {
        n: len(p.centre) for n, p in PRIORS.items()
    }


def test_the_prior_in_use_is_the_learned_one_or_the_built_in_one() -> None:
    np.testing.assert_array_equal(prior_in_use(Settings()), (MEAN, SD))
    learned = make_learned(MEAN + 1, SD / 2)
    np.testing.assert_array_equal(prior_in_use(Settings(prior=learned)), (MEAN + 1, SD / 2))
    assert Settings(method=Method.SCREEN, prior=learned) == Settings(method="screen", prior=learned)  # type: ignore[arg-type]


def make_learned(
    mean: NDArray[np.float64], sd: NDArray[np.float64], gamma: float = 1.0
) -> LearnedPrior:
    return LearnedPrior(
        name="x.json",
        sha256="0" * 64,
        mean=tuple(map(float, mean)),
        sd=tuple(map(float, sd)),
        gamma=gamma,
        incidents=9,
        groups=7,
    )
