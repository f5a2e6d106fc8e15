"""The measured law: the shipped histogram against the full file (where OPENQUEUES_DATA has it)."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law, make_ssjf_histogram, size_law, ssjf

FILE = Path(os.environ.get("OPENQUEUES_DATA", "."), ssjf.FULL)
needs_full = pytest.mark.skipif(not FILE.is_file(), reason=f"OPENQUEUES_DATA has no {ssjf.FULL}")


@pytest.fixture(scope="module")
def rows():
    """(length, announced of 3, announced of 5), read here with nothing of the package."""
    with open(FILE, newline="") as stream:
        next(stream)
        return np.array([[int(cell) for cell in row[:3]] for row in csv.reader(stream)])


@needs_full
def test_the_command_makes_the_shipped_file(tmp_path):
    made = tmp_path / "made.csv"
    assert make_ssjf_histogram.main([str(FILE), str(made)]) == 0
    assert made.read_bytes() == ssjf.HISTOGRAM.read_bytes()


@needs_full
def test_histogram_and_full_file_agree(rows, monkeypatch):
    """Mean exactly, second moment within 0.01%, third within 0.03%, confusion tables exactly."""
    monkeypatch.setenv("OPENQUEUES_DATA", str(FILE.parent))
    length = rows[:, 0]
    full, binned = size_law("ssjf"), size_law("ssjf:data=histogram")
    assert (full.spec, binned.spec) == ("ssjf:data=full", "ssjf:data=histogram")
    assert full.source == ssjf.FULL and full != binned
    assert 1 / binned.scale == pytest.approx(length.mean(), rel=1e-14)
    scaled = length / length.mean()
    for k, slack in ((2, 1e-4), (3, 3e-4)):
        assert full.moment(k) == pytest.approx(np.mean(scaled**k), rel=1e-12)
        assert binned.moment(k) == pytest.approx(np.mean(scaled**k), rel=slack)
    for place, count in ((1, 3), (2, 5)):
        true = sum((length >= cut).astype(int) for cut in ssjf.CUTS[count])
        table = np.zeros((count, count), dtype=int)
        np.add.at(table, (true, rows[:, place]), 1)
        values = np.array([scaled[true == i].mean() for i in range(count)])
        for law in (full, binned):
            assert law.counts.confusion(count).tolist() == table.tolist()
            classes = joint_law(law, f"ssjf:classes={count}").classes
            np.testing.assert_allclose(classes.values, values, rtol=1e-12)
    announced = np.array([np.mean(rows[length == 40, 1] == i) for i in range(3)])
    classes = joint_law("ssjf", "ssjf").classes
    np.testing.assert_allclose(classes.probability([40 / length.mean()])[0], announced)


@needs_full
def test_the_full_file_is_drawn_from(monkeypatch):
    monkeypatch.setenv("OPENQUEUES_DATA", str(FILE.parent))
    joint = joint_law("ssjf", "ssjf:classes=5")
    sizes, predictions = joint.sample(np.random.default_rng(1), np.random.default_rng(2), 400_000)
    probability = joint.classes.probability(joint.sizes.atoms[0])
    for index, value in enumerate(joint.classes.values):
        share = joint.sizes.atoms[1] @ probability[:, index]
        assert abs(np.mean(predictions == value) - share) < 4 * np.sqrt(share * (1 - share) / 400_000)
    lengths = sizes / joint.sizes.scale
    np.testing.assert_allclose(lengths, np.round(lengths), atol=1e-9)


def test_without_the_file_the_histogram_is_used(monkeypatch, tmp_path):
    for folder in (None, str(tmp_path)):
        if folder is None:
            monkeypatch.delenv("OPENQUEUES_DATA", raising=False)
        else:
            monkeypatch.setenv("OPENQUEUES_DATA", folder)
        law = size_law("ssjf")
        assert (law.spec, law.source) == ("ssjf:data=histogram", "ssjf_histogram.csv")
        with pytest.raises(InputError, match="data=full.*OPENQUEUES_DATA.*data=histogram"):
            size_law("ssjf:data=full")


def test_the_shipped_histogram_is_whole():
    counts = ssjf.histogram()
    assert counts.jobs.sum() == 85_482 == counts.announced[5].sum()
    assert np.array_equal(counts.announced[5].sum(axis=1), counts.jobs)
    assert np.all(counts.first <= counts.length) and np.all(counts.length <= counts.last)
    assert np.all(counts.last[:-1] < counts.first[1:]) and counts.first[0] == 2 and counts.last[-1] == 511
    for cuts in ssjf.CUTS.values():
        assert set(cuts) <= set(counts.first)


def test_a_wrong_file_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OPENQUEUES_DATA", str(tmp_path))
    for content in ("", "1,2\n", "x,y,z\n", "5,7,1\n", "0,1,1\n", "5,-1,0\n", "5.5,1,0\n"):
        (tmp_path / ssjf.FULL).write_text("a,b,c\n" + content)
        ssjf.full.cache_clear()
        with pytest.raises(InputError, match=ssjf.FULL):
            size_law("ssjf")
        assert make_ssjf_histogram.main([str(tmp_path / ssjf.FULL), str(tmp_path / "out.csv")]) == 2
        assert not (tmp_path / "out.csv").exists()
    ssjf.full.cache_clear()
    assert make_ssjf_histogram.main([]) == 2 and "FILE OUT" in capsys.readouterr().err
