"""What is compiled is what is written."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from paxcast.core.prophet_map import kernels, lasso, segments


def test_the_compiled_files_change_together():
    """numba keeps what it has compiled of kernels.py until kernels.py changes, and that calls lasso.py."""
    digest = hashlib.sha256(Path(lasso.__file__).read_bytes()).hexdigest()[:16]
    assert digest == kernels.LASSO, f'lasso.py has changed: write LASSO = "{digest}" into kernels.py'


def test_the_compiled_functions_do_what_the_written_ones_do(made):
    data = made.window(3)
    prior = made.prior(3, data)
    w = np.column_stack([np.ones(len(data.y)), data.x, data.y])
    running = segments.running_moments.py_func(data.t, w, 7)
    np.testing.assert_array_equal(segments.running_moments(data.t, w, 7), running)
    first = np.searchsorted(data.t, prior.changepoints, side="left")
    of_segments = segments.segment_moments(running, data.t, w, 7, first)
    np.testing.assert_allclose(of_segments, segments.segment_moments.py_func(running, data.t, w, 7, first))
    phi = np.random.default_rng(1).normal(size=2 + data.x.shape[1] + len(prior.changepoints))
    rest = (prior.multiplicative, prior.changepoints)
    compiled, written = (f(of_segments, phi, *rest) for f in (kernels.contract, kernels.contract.py_func))
    for one, other in zip(compiled, written, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    b, v, r, _, _ = compiled
    h, rhs = kernels.gram(of_segments, phi, *rest, b, v), kernels.gradient(phi, *rest, b, r)
    np.testing.assert_allclose(h, kernels.gram.py_func(of_segments, phi, *rest, b, v), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rhs, kernels.gradient.py_func(phi, *rest, b, r), rtol=1e-12, atol=1e-12)
    asked = (h, rhs, 0.01, np.full(2 + data.x.shape[1], 0.1), prior.tau, False, phi)
    np.testing.assert_allclose(kernels.step(*asked), kernels.step.py_func(*asked), rtol=1e-9, atol=1e-9)


def test_a_process_tells_whether_it_had_to_compile(tmp_path: Path) -> None:
    call = "import numpy as np; from paxcast.core import prophet_map; from paxcast.core.prophet_map import segments; "
    call += "segments.running_moments(np.arange(3.0), np.ones((3, 2)), 2); print(prophet_map.compiled_here())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def answer() -> str:
        command = [sys.executable, "-c", call]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert [answer(), answer()] == ["True", "False"]
