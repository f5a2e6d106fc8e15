"""Fitting an iteration-time law to a table of steps: a known law comes back, and reads as it was written."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from openqueues.cli import main
from openqueues.models.errors import InputError
from openqueues.models.llm import Hardware, Steps, fit_law, hardware_law, law_text, read_steps
from openqueues.models.llm.fitting import COLUMNS, LINEAR, corrected, law_ms

LAW = Hardware(
    name="known",
    prefill_step_ms=5,
    prefill_token_ms=0.01,
    prefill_token2_ms=1e-6,
    decode_step_ms=8,
    decode_seq_ms=0.02,
    kv_token_ms=1e-4,
)
CURVED = Hardware(
    name="curved", prefill_step_ms=3, decode_step_ms=8, table_tokens=(1, 64, 128, 4096), table_ms=(0, 0.5, 9, 150)
)


def steps_of(law: Hardware, count: int = 300, noise: float = 0.0) -> Steps:
    """Steps of random make-up that take what the law says, up to a relative error."""
    rng = np.random.default_rng(7)
    prefill = np.where(rng.random(count) < 0.5, 0, rng.integers(1, 8192, count)).astype(float)
    decoding = rng.integers(1, 200, count)
    steps = Steps(prefill, prefill**2, decoding, decoding * rng.integers(10, 5000, count), np.ones(count))
    return Steps(*(getattr(steps, name) for name in COLUMNS[:-1]), law_ms(law, steps) * rng.normal(1, noise, count))


def test_the_coefficients_of_a_known_law_come_back():
    fit = fit_law(steps_of(LAW), name="again", source="synthetic", knots=())
    for key in LINEAR:
        assert getattr(fit.law, key) == pytest.approx(getattr(LAW, key), rel=1e-5), key
    assert np.abs(fit.error).max() < 1e-5


def test_a_law_with_a_table_comes_back_in_its_times_at_steps_that_were_not_fitted():
    steps = steps_of(CURVED, 600)
    fit = fit_law(steps.part(np.arange(400)), name="again", source="synthetic", knots=CURVED.table_tokens)
    rest = steps.part(np.arange(400, 600))
    np.testing.assert_allclose(law_ms(fit.law, rest), rest.time_ms, rtol=1e-4)


def test_without_knots_the_table_follows_a_bend_that_nobody_named():
    fit = fit_law(steps_of(CURVED, 600), name="again", source="synthetic")
    assert np.abs(fit.error).max() < 0.03


def test_errors_of_measurement_are_averaged_out():
    fit = fit_law(steps_of(LAW, 4000, noise=0.05), name="again", source="synthetic", knots=())
    steps = steps_of(LAW)
    np.testing.assert_allclose(law_ms(fit.law, steps), steps.time_ms, rtol=0.01)
    assert 0.02 < np.median(np.abs(fit.error)) < 0.05


def test_a_law_reads_as_it_was_written(tmp_path):
    fit = fit_law(steps_of(CURVED), name="a-law", source='of "steps"', kv_tokens=12345, kv_bytes_per_token=131072.0)
    path = tmp_path / "any.toml"
    path.write_text(law_text(fit.law))
    assert hardware_law(str(path)) == fit.law
    assert law_text(fit.law, section=True).startswith('["a-law"]\nsource')


def test_a_law_can_be_slowed_and_given_a_constant():
    slow = corrected(CURVED, scale=2.0, step_ms=3.0)
    for step in ((100, 0, 0, 0), (0, 0, 70, 500)):
        assert slow.step_ms(*step) == pytest.approx(2 * CURVED.step_ms(*step) + 3)
    quick = corrected(CURVED, step_ms=-4.0)
    assert quick.step_ms(0, 0, 70, 500) == pytest.approx(CURVED.step_ms(0, 0, 70, 500) - 4)
    assert quick.prefill_step_ms == 0 and corrected(CURVED, step_ms=-9.0).decode_step_ms == pytest.approx(0.8)


def test_steps_that_make_no_sense_are_named():
    good = {name: [1.0, 2.0, 3.0] for name in COLUMNS}
    with pytest.raises(InputError, match="no column time_ms"):
        read_steps({name: values for name, values in good.items() if name != "time_ms"})
    with pytest.raises(InputError, match="time_ms of step 1 is 0"):
        read_steps(good | {"time_ms": [1.0, 0.0, 1.0]})
    with pytest.raises(InputError, match="not a number"):
        read_steps(good | {"decoding": ["1", "two", "3"]})
    with pytest.raises(InputError, match="step 2 computes nothing"):
        read_steps(good | {"decoding": [1, 1, 0], "prefill_tokens": [1, 1, 0]})
    with pytest.raises(InputError, match="0 of 3 steps only decode"):
        fit_law(read_steps(good), name="x", source="y")


def test_the_command_fits_a_file_of_steps_and_writes_a_law_that_runs(tmp_path, capsys):
    steps, out = tmp_path / "mine.csv", tmp_path / "mine.toml"
    rows = zip(*(getattr(steps_of(CURVED), name) for name in COLUMNS), strict=True)
    with open(steps, "w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    assert main(["hardware", "fit", "--steps", str(steps), "--out", str(out)]) == 0
    assert "Of 300 steps half are within" in out.read_text()
    assert hardware_law(str(out)).name == "mine"
    assert hardware_law(str(out)).step_ms(0, 0, 64, 0) == pytest.approx(8.5, rel=0.03)
    capsys.readouterr()
    assert main(["hardware", "fit", "--steps", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
