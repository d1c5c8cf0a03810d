"""The likelihood as a PyTensor operation: values and gradients in Python and compiled code."""

import ctypes
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.errors import KernelError
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior
from tests.oracle.incidents import random_evidence, random_theta

pytestmark = pytest.mark.pymc

Floats = NDArray[np.float64]
MEAN, SD = unconstrained_prior()
MODES = ("py", "NUMBA")


def prepare(seed: int, max_components: int = 7) -> PreparedLikelihood:
    evidence = random_evidence(np.random.default_rng(seed), max_components=max_components)
    return PreparedLikelihood(evidence, none_prior=0.05, max_width=14)


def mode_of(name: str) -> Any:  # noqa: ANN401
    from pytensor.compile.mode import Mode, get_mode

    if name == "py":
        return Mode(linker="py", optimizer="fast_compile")
    return get_mode(name)


def apply(handle: Any, theta: Any) -> Any:  # noqa: ANN401
    """The log likelihood as a symbolic variable."""
    from bayesrca.model.ops import PropagationLogp

    outputs: Any = PropagationLogp()(handle, theta)
    return outputs[0]


@pytest.fixture(scope="module")
def functions(compiled_module: ModuleType) -> dict[str, Any]:
    """(handle, theta) -> (logp, gradient by autodiff), one function per mode."""
    import pytensor.tensor as pt
    from pytensor.compile.maker import function
    from pytensor.gradient import grad

    handle, theta = pt.lvector("handle"), pt.dvector("theta")
    logp = apply(handle, theta)
    outputs: list[Any] = [logp, grad(logp, theta)]
    # Warnings are errors here: falling back to numba's object mode would fail.
    return {m: function([handle, theta], outputs, mode=mode_of(m)) for m in MODES}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_cores_bits(functions: dict[str, Any], mode: str) -> None:
    for seed in range(4):
        theta = random_theta(np.random.default_rng(seed), width=1.0)
        with prepare(seed) as likelihood:
            wanted, wanted_gradient = likelihood.compute_logp_grad(theta)
            logp, gradient = functions[mode](np.array([likelihood.handle]), theta)
        assert logp == wanted
        np.testing.assert_array_equal(gradient, wanted_gradient)


@pytest.mark.parametrize("mode", MODES)
def test_gradient_by_pytensors_own_check(compiled_module: ModuleType, mode: str) -> None:
    import pytensor.tensor as pt
    from pytensor.gradient import verify_grad

    with prepare(5) as likelihood:
        handle = pt.constant(np.array([likelihood.handle]))
        verify_grad(
            lambda theta: apply(handle, theta),
            [MEAN],
            rng=np.random.default_rng(0),
            mode=mode_of(mode),
        )


def test_strided_theta_is_read_right(functions: dict[str, Any]) -> None:
    theta = random_theta(np.random.default_rng(1))
    wide = np.repeat(theta, 2)
    with prepare(1) as likelihood:
        wanted = likelihood.compute_logp_grad(theta)[0]
        handle = np.array([likelihood.handle])
        for function in functions.values():
            assert function(handle, wide[::2])[0] == wanted


def test_a_stale_handle_is_nan_in_compiled_code(functions: dict[str, Any]) -> None:
    with prepare(2) as likelihood:
        stale = likelihood.handle
    for handle in (stale, 0, -7, 2**31 - 1, 2**62):
        logp, gradient = functions["NUMBA"](np.array([handle]), MEAN)
        assert np.isnan(logp)
        assert np.isnan(gradient).all()
        with pytest.raises(KernelError):
            functions["py"](np.array([handle]), MEAN)


def test_wild_theta_never_crashes_compiled_code(functions: dict[str, Any]) -> None:
    with prepare(3) as likelihood:
        handle = np.array([likelihood.handle])
        for theta in (np.full_like(MEAN, np.nan), np.full_like(MEAN, np.inf), MEAN + 1e300):
            functions["NUMBA"](handle, theta)


def evaluate(compiled: Any, theta: Floats) -> tuple[int, float, Floats]:  # noqa: ANN401
    """Call the sampler's C function: its error code, log density and gradient."""
    double_p = ctypes.POINTER(ctypes.c_double)
    signature = (ctypes.c_uint64, double_p, double_p, double_p, ctypes.c_void_p)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *signature)(compiled.compiled_logp_func.address)
    x, gradient, logp = theta.copy(), np.full_like(theta, np.nan), np.full(1, np.nan)
    code = function(
        len(theta),
        x.ctypes.data_as(double_p),
        gradient.ctypes.data_as(double_p),
        logp.ctypes.data_as(double_p),
        compiled.user_data.ctypes.data,
    )
    return int(code), float(logp[0]), gradient


def test_one_compiled_model_serves_incidents_of_any_size(compiled_module: ModuleType) -> None:
    theta = random_theta(np.random.default_rng(0), width=0.7)
    standard = (theta - MEAN) / SD
    log_prior = -0.5 * (standard**2 + np.log(2 * np.pi)).sum() - np.log(SD).sum()
    with prepare(10, 3) as small, prepare(11, 7) as large:
        assert small.n_hypotheses != large.n_hypotheses
        models = [compiled_module.compiled_for(x.handle) for x in (small, large)]
        for likelihood, model in [*zip((small, large), models, strict=True)] * 2:
            logp, gradient = likelihood.compute_logp_grad(theta)
            code, value, slope = evaluate(model, theta)
            assert code == 0
            # PyTensor folds the prior's log(sd) in single precision: a constant off by 1e-8.
            np.testing.assert_allclose(value, logp + log_prior, atol=1e-7)
            np.testing.assert_allclose(slope, gradient - standard / SD, rtol=1e-9, atol=1e-9)
    code, value, _ = evaluate(models[0], theta)  # both released by now
    assert code != 0
    assert np.isnan(value)


def test_the_model_knows_its_parameters(compiled_module: ModuleType) -> None:
    from bayesrca.model.build import build_model
    from bayesrca.model.parameters import PRIORS

    model = build_model()
    assert [v.name for v in model.free_RVs] == list(PRIORS)
    point = model.initial_point()
    assert sum(np.size(v) for v in point.values()) == len(MEAN)
    assert compiled_module.is_warm()
    assert compiled_module.compiled_for(0).n_dim == len(MEAN)
