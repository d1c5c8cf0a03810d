"""Which hypotheses are the truth, and what the hash of a data set sees."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bayesrca.config import Settings
from bayesrca.errors import InvalidSettingsError, NoEvidenceError
from bayesrca.evaluation.cases import Labels, find_data_sets
from bayesrca.evaluation.learn import FEWEST_GROUPS, learn_prior
from bayesrca.evaluation.learn_incidents import (
    find_truth,
    hash_incidents,
    prepare_incidents,
)
from bayesrca.kernels.propagation import KINDS
from tests.integration.kit import ROOT
from tests.unit.model.test_prior_file import MEAN, SD, make_learned

EXAMPLE = ROOT / "examples" / "search_delay"
NAMES = ("a", "b", "c", "d")
K = len(KINDS)


def copy(to: Path, cause: str | None = None, fault: str | None = None) -> Path:
    shutil.copytree(EXAMPLE, to)
    file = to / "truth.json"
    truth = json.loads(file.read_text())
    if cause is not None:
        truth["root_causes"] = [{"component": cause, "metric": None}]
    if fault is not None:
        truth["fault_type"] = fault
    file.write_text(json.dumps(truth))
    return to


def test_a_single_cause_is_all_its_kinds() -> None:
    assert find_truth(Labels(("b",), None), NAMES, ()) == (tuple(range(K, 2 * K)), 1)


def test_several_causes_are_the_column_of_their_set() -> None:
    sets = ((0, 2), (0, 1, 3))
    assert find_truth(Labels(("d", "a", "b"), None), NAMES, sets) == ((4 * K + 1,), 5)
    found = find_truth(Labels(("a", "b"), None), NAMES, sets)
    assert found == "its 2 causes together are not among the hypotheses"


def test_a_cause_that_is_no_component_is_said() -> None:
    found = find_truth(Labels(("a", "x"), None), NAMES, ())
    assert isinstance(found, str)
    assert "'x'" in found


def test_outcomes_sum_the_kinds_out(tmp_path: Path) -> None:
    copy(tmp_path / "set" / "one")
    with ExitStack() as stack:
        (incident,), left_out = prepare_incidents(
            find_data_sets([tmp_path / "set"]), Settings(), stack
        )
        assert not left_out
        log_root, _ = incident.likelihood.compute_root_log_posterior(MEAN[None])
        outcomes = incident.log_outcomes(log_root)
        np.testing.assert_allclose(np.exp(outcomes).sum(), 1.0)
        np.testing.assert_allclose(incident.log_truth(log_root), outcomes[:, incident.outcome])
        assert incident.group[0] == "set"


def test_the_hash_sees_names_and_contents_but_no_order(tmp_path: Path) -> None:
    copy(tmp_path / "set" / "one")
    copy(tmp_path / "set" / "two", fault="other")
    with ExitStack() as stack:
        kept, _ = prepare_incidents(find_data_sets([tmp_path / "set"]), Settings(), stack)
        first = hash_incidents(kept)
        assert hash_incidents(reversed(kept)) == first
        assert hash_incidents(kept[:1]) != first
    copy(tmp_path / "other" / "set" / "one")
    copy(tmp_path / "other" / "set" / "two", fault="other")
    copy(tmp_path / "changed" / "set" / "one")
    copy(tmp_path / "changed" / "set" / "two", fault="another")
    with ExitStack() as stack:
        hashes = [
            hash_incidents(prepare_incidents(find_data_sets([p / "set"]), Settings(), stack)[0])
            for p in (tmp_path / "other", tmp_path / "changed")
        ]
    assert hashes[0] == first
    assert hashes[1] != first


def test_repeats_of_one_fault_teach_nothing(tmp_path: Path) -> None:
    """Seven copies of one (root, fault) and a cause nobody lists: one group."""
    for i in range(FEWEST_GROUPS + 1):
        copy(tmp_path / "set" / f"case{i}")
    copy(tmp_path / "set" / "unknown", cause="no such component")
    with pytest.raises(NoEvidenceError, match="at least 6 distinct pairs") as error:
        learn_prior(find_data_sets([tmp_path / "set"]), seed=0, settings=Settings())
    said = str(error.value)
    assert "these 7 incidents (1 more cannot be learned from) have 1:" in said
    assert "'no such component'" in said


def test_learning_starts_from_the_built_in_prior(tmp_path: Path) -> None:
    copy(tmp_path / "set" / "one")
    settings = Settings(prior=make_learned(MEAN, SD))
    with pytest.raises(InvalidSettingsError, match="built-in prior"):
        learn_prior(find_data_sets([tmp_path / "set"]), seed=0, settings=settings)
