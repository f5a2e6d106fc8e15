"""Intervals, paired differences, gaps closed and verdicts, each against an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pandas
import pytest
import scipy.stats
import tiny
from openqueues import boards, printed, registry, results, statistics, verdicts
from openqueues.models.errors import InputError

VALUES = {
    "fcfs": [10.2, 9.9, 10.4, 9.7],
    "sprpt": [5.2, 5.0, 5.3, 4.8],
    "srpt": [3.6, 3.5, 3.7, 3.4],
}


def frame(values=VALUES, point=0, exact=None, status="ok", metric="mean_response", experiment="loads", bound=None):
    """Rows of results made by hand."""
    rows = []
    shared = {"problem": "tiny", "version": 1, "experiment": experiment, "point": point, "metric": metric}
    shared |= {"parameters": f'{{"load":{[0.5, 0.8][point]},"sizes":"exponential"}}'}
    for policy, replications in values.items():
        own = shared | {"policy": policy}
        for number, value in enumerate(replications):
            now = status if isinstance(status, str) else status.get((policy, number), "ok")
            drawn = {
                "replication": number,
                "seed": number,
                "n": 1000,
                "source": "simulation",
                "error": math.nan,
            }
            rows.append(own | drawn | {"value": value, "status": now})
        for source, known in (("analysis", exact or {}), ("bound", bound or {})):
            if policy in known:
                value, error = known[policy]
                plain = {"replication": -1, "seed": -1, "n": 0, "source": source, "error": error}
                rows.append(own | plain | {"value": value, "status": "ok"})
    return pandas.DataFrame(rows, columns=list(results.COLUMNS))


@pytest.fixture
def entry(tmp_path, monkeypatch):
    tiny.write(tmp_path)
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(tmp_path))
    return registry.entry("tiny")


def only(table: pandas.DataFrame, **where) -> pandas.Series:
    chosen = table
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


# --- intervals


def test_summary_has_the_student_interval():
    row = only(statistics.summary(frame()), policy="sprpt")
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(VALUES["sprpt"]), scipy.stats.sem(VALUES["sprpt"]))
    assert row["mean"] == pytest.approx((low + high) / 2, rel=1e-12)
    assert row["halfwidth"] == pytest.approx((high - low) / 2, rel=1e-12)
    assert (row["replications"], row["n"], row["status"]) == (4, 4000, "ok")
    assert math.isnan(row["exact"]) and math.isnan(row["bound"])


def test_the_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(1).standard_normal((20_000, 5))
    covered = [abs(sample.mean()) <= statistics.halfwidth(sample) for sample in draws]
    # Three standard deviations of a proportion of 20,000: 0.0046.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.0046)


def test_one_replication_has_no_interval():
    row = only(statistics.summary(frame({"fcfs": [10.0]})), policy="fcfs")
    assert row["mean"] == 10.0 and math.isnan(row["halfwidth"])


@pytest.mark.parametrize("status", ["unstable", "failed", "timeout"])
def test_one_bad_replication_is_never_averaged(status):
    table = statistics.summary(frame(status={("sprpt", 2): status}))
    bad = only(table, policy="sprpt")
    assert bad["status"] == status and math.isnan(bad["mean"]) and math.isnan(bad["halfwidth"])
    assert only(table, policy="srpt")["mean"] == pytest.approx(3.55)


def test_a_failure_counts_before_instability():
    table = statistics.summary(frame(status={("sprpt", 1): "unstable", ("sprpt", 2): "failed"}))
    assert only(table, policy="sprpt")["status"] == "failed"


def test_summary_keeps_exact_values_and_bounds_even_without_a_simulation():
    both = frame(exact={"fcfs": (10.0, 1e-9)}, bound={"srpt": (3.0, 0.0)})
    table = statistics.summary(both)
    assert only(table, policy="fcfs")[["exact", "exact_error"]].tolist() == [10.0, 1e-9]
    assert only(table, policy="srpt")["bound"] == 3.0
    alone = only(statistics.summary(both[both["source"] == "analysis"]), policy="fcfs")
    assert alone["exact"] == 10.0 and math.isnan(alone["mean"]) and alone["replications"] == 0
    assert alone["parameters"] == '{"load":0.5,"sizes":"exponential"}'


def test_points_and_metrics_are_kept_apart():
    many = pandas.concat([frame(), frame(point=1), frame(metric="p99")])
    table = statistics.summary(many)
    assert len(table) == 9 and not table.duplicated(statistics.CELL).any()


# --- paired differences


def test_paired_differences_use_common_random_numbers():
    row = only(statistics.paired(frame(), "fcfs", "sprpt", "mean_response"), point=0)
    gaps = np.subtract(VALUES["fcfs"], VALUES["sprpt"])
    assert row["difference"] == pytest.approx(gaps.mean())
    low, high = scipy.stats.t.interval(0.95, 3, gaps.mean(), scipy.stats.sem(gaps))
    assert row["halfwidth"] == pytest.approx((high - low) / 2)
    assert row["relative"] == pytest.approx(gaps.mean() / np.mean(VALUES["sprpt"]))
    # Pairing pays: the interval is narrower than that of independent runs.
    apart = math.hypot(statistics.halfwidth(np.array(VALUES["fcfs"])), statistics.halfwidth(np.array(VALUES["sprpt"])))
    assert row["halfwidth"] < 0.75 * apart


def test_pairs_do_not_mix_seeds():
    other = frame()
    other.loc[other["policy"] == "sprpt", "seed"] += 100
    assert statistics.paired(other, "fcfs", "sprpt", "mean_response").empty


def test_paired_is_nan_where_a_replication_is_unstable_and_refuses_unknown_names():
    row = only(statistics.paired(frame(status={("fcfs", 0): "unstable"}), "fcfs", "sprpt", "mean_response"), point=0)
    assert math.isnan(row["difference"]) and math.isnan(row["halfwidth"])
    with pytest.raises(InputError, match="did you mean 'sprpt'"):
        statistics.paired(frame(), "fcfs", "sprtp", "mean_response")


# --- scores


def test_score_is_zero_at_the_floor_and_one_at_the_ceiling(entry):
    table = statistics.score(entry, frame())
    assert table["policy"].tolist() == ["fcfs", "srpt", "sprpt"]
    assert only(table, policy="fcfs")["score"] == 0 and only(table, policy="srpt")["score"] == pytest.approx(1)
    for end in ("fcfs", "srpt"):
        assert only(table, policy=end)["halfwidth"] == pytest.approx(0, abs=1e-12)
    means = {policy: np.mean(values) for policy, values in VALUES.items()}
    closed = (means["fcfs"] - means["sprpt"]) / (means["fcfs"] - means["srpt"])
    assert only(table, policy="sprpt")["score"] == pytest.approx(closed)
    assert set(table["source"]) == {"simulation"}


def test_the_interval_of_a_score_covers_the_truth(entry):
    rng, hits, trials = np.random.default_rng(2), 0, 150
    for _ in range(trials):
        common = rng.normal(0, 0.4, 10)
        values = {
            "fcfs": 10 + 2 * common + rng.normal(0, 0.1, 10),
            "sprpt": 5 + common + rng.normal(0, 0.1, 10),
            "srpt": 3.5 + 0.5 * common + rng.normal(0, 0.1, 10),
        }
        row = only(statistics.score(entry, frame(values)), policy="sprpt")
        hits += abs(row["score"] - 5 / 6.5) <= row["halfwidth"]
    # Three standard deviations of a proportion of 150 around 95%: 5.3%.
    assert hits / trials == pytest.approx(0.95, abs=0.053)


def test_exact_values_give_an_exact_score(entry):
    exact = {"fcfs": (10.0, 1e-6), "sprpt": (5.0, 2e-6), "srpt": (4.0, 3e-6)}
    row = only(statistics.score(entry, frame(exact=exact)), policy="sprpt")
    assert row["score"] == pytest.approx(5 / 6) and row["source"] == "analysis" and row["mean"] == 5.0
    assert row["halfwidth"] == pytest.approx((2e-6 + 1e-6 / 6 + 3e-6 * 5 / 6) / 6)


def test_a_score_is_not_mixed_of_exact_and_simulated_numbers(entry):
    row = only(statistics.score(entry, frame(exact={"fcfs": (10.0, 0.0), "srpt": (3.0, 0.0)})), policy="sprpt")
    assert row["source"] == "simulation" and row["mean"] == pytest.approx(np.mean(VALUES["sprpt"]))


def test_rows_of_one_board_have_one_source(entry):
    exact = {"fcfs": (10.0, 0.0), "srpt": (3.0, 0.0), "sprpt": (5.0, 0.0)}
    assert set(statistics.score(entry, frame(exact=exact))["source"]) == {"analysis"}
    entry.own_policies.append("mine")
    values = VALUES | {"mine": [4.9, 4.8, 5.1, 4.7]}
    table = statistics.score(entry, frame(values, exact=exact))
    assert set(table["source"]) == {"simulation"}
    assert only(table, policy="mine")["score"] > only(table, policy="sprpt")["score"]
    # A policy that failed does not take the exact values from the others.
    failed = {("mine", number): "failed" for number in range(4)}
    table = statistics.score(entry, frame(values, exact=exact, status=failed)).set_index("policy")
    assert table.loc["sprpt", "source"] == "analysis" and math.isnan(table.loc["mine", "score"])


def test_there_is_no_score_without_a_gap_or_with_an_unstable_run(entry):
    flat = frame({policy: VALUES["fcfs"][::sign] for policy, sign in (("fcfs", 1), ("sprpt", 1), ("srpt", -1))})
    assert statistics.score(entry, flat)["score"].isna().all()
    table = statistics.score(entry, frame(status={("sprpt", 0): "unstable"}))
    assert math.isnan(only(table, policy="sprpt")["score"]) and math.isnan(only(table, policy="sprpt")["mean"])
    assert only(table, policy="srpt")["score"] == pytest.approx(1)


def test_boards_rank_within_what_a_policy_sees(entry):
    table = boards.board(entry, frame())
    assert dict(zip(table["policy"], table["information"], strict=True)) == {
        "fcfs": "blind", "sprpt": "predictions", "srpt": "oracle",
    }  # fmt: skip
    assert set(table["place"]) == {1}


# --- verdicts


def judged(entry, **options) -> pandas.DataFrame:
    return verdicts.verdicts(entry, frame(**options))


@pytest.mark.parametrize(
    ("printed", "unit"), [("1.4254", 0.00005), ("10.00", 0.005), ("148.0", 0.05), ("7", 0.5), ("0.5", 0.05)]
)
def test_half_a_unit_of_the_last_digit(printed, unit):
    assert verdicts.half_unit(printed) == pytest.approx(unit, rel=1e-12)


@pytest.mark.parametrize(
    ("exact", "verdict"),
    [(2.0, "agrees"), (2.0005, "agrees"), (1.9995, "agrees"), (2.0006, "differs"), (1.9994, "differs")],
)
def test_a_formula_must_round_to_the_print(entry, exact, verdict):
    row = only(judged(entry, exact={"fcfs": (exact, 1e-9)}), policy="fcfs", row="0.50")
    assert (row["printed"], row["verdict"]) == ("2.000", verdict)
    assert row["deviation"] == pytest.approx((2 - exact) / exact, abs=1e-12)


def test_our_own_error_is_allowed_for(entry):
    assert only(judged(entry, exact={"fcfs": (2.0008, 5e-4)}), policy="fcfs", row="0.50")["verdict"] == "agrees"


def simulated(entry, noise):
    (expected,) = entry.expected
    expected.made_by, expected.noise = "simulation", noise
    return entry


@pytest.mark.parametrize(("noise", "verdict"), [(0.01, "agrees"), ({"0.50": 0.002, "0.80": 0.1}, "differs")])
def test_a_simulated_print_may_miss_by_its_noise(entry, noise, verdict):
    rows = judged(simulated(entry, noise), exact={"fcfs": (2.01, 1e-9)})
    assert only(rows, policy="fcfs", row="0.50")["verdict"] == verdict


@pytest.mark.parametrize(("spread", "verdict"), [(0.0005, "agrees"), (0.05, "cannot tell")], ids=["narrow", "wide"])
def test_without_an_exact_value_our_interval_must_be_narrow(entry, spread, verdict):
    values = {"fcfs": [2 - spread, 2 + spread, 2 - spread, 2 + spread]}
    row = only(judged(simulated(entry, 0.01), values=values), policy="fcfs", row="0.50")
    assert row["verdict"] == verdict and math.isnan(row["exact"]) and row["simulated"] == pytest.approx(2)


def test_far_off_differs_without_an_exact_value(entry):
    row = only(judged(simulated(entry, 0.01), values={"fcfs": [3.0, 3.001, 2.999]}), policy="fcfs", row="0.50")
    assert row["verdict"] == "differs"


def test_what_was_not_run_cannot_be_told(entry):
    rows = judged(entry, values={"fcfs": VALUES["fcfs"]}, exact={"fcfs": (2.0, 0.0)})
    missing = only(rows, policy="sprpt", row="0.80")
    assert missing["verdict"] == "cannot tell" and "no result" in missing["reason"]
    empty = verdicts.verdicts(entry, frame({}))
    assert len(empty) == 4 and set(empty["verdict"]) == {"cannot tell"}
    unstable = judged(entry, values={"fcfs": VALUES["fcfs"]}, status="unstable")
    assert "not stable" in only(unstable, policy="fcfs", row="0.50")["reason"]


@pytest.mark.parametrize(
    ("middle", "said"),
    [(2.0, "agrees"), (2.2, "differs")],
    ids=["our simulation is right", "it is off by 10%"],
)
def test_our_simulation_is_compared_with_our_analysis(entry, middle, said):
    values = {"fcfs": [middle * (1 + x) for x in (-0.002, 0.001, -0.001, 0.002)]}
    row = only(judged(entry, values=values, exact={"fcfs": (2.0, 1e-9)}), policy="fcfs", row="0.50")
    assert row["internal"] == said
    wide = {"fcfs": [1.0, 3.0, 1.5, 2.5]}
    row = only(judged(entry, values=wide, exact={"fcfs": (2.0, 1e-9)}), policy="fcfs", row="0.50")
    assert row["internal"] == "cannot tell"


def test_conflicts_between_printed_sources(entry):
    first = entry.expected[0]
    second = type(first)(
        experiment="loads", metric="mean_response", source="Table 10", made_by="simulation", rows="load",
        columns=["fcfs", "sprpt"], values="0.50 2.004 1.640\n0.80 5.000 3.500", noise=0.002,
    )  # fmt: skip
    entry.expected.append(second)
    rows = judged(entry, exact={"fcfs": (2.0, 1e-9), "sprpt": (1.64, 1e-9)})
    found = verdicts.conflicts(rows)
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["policy"], row["printed_a"], row["printed_b"]) == ("sprpt", "1.600", "1.640")
    assert row["difference"] == pytest.approx(0.04) and row["supported"] == "Table 10"
    assert row["allowed"] == pytest.approx(0.0005 + 0.0005 + 0.002 * 1.64)
    assert row["exact"] == 1.64


# --- ranges and largest values


@pytest.mark.parametrize(
    ("text", "words", "single", "largest"),
    [
        ("1.4254", "1.4254", True, False),
        ("1.66..2.01", "1.66 to 2.01", False, False),
        ("..5.1", "up to 5.1", False, True),
        ("-2..-1", "-2 to -1", False, False),
    ],
)
def test_what_a_print_stands_for(text, words, single, largest):
    found = printed.printed(text)
    assert (found.words, found.single, found.largest) == (words, single, largest)


@pytest.mark.parametrize("text", ["", "..", "1..", "2.01..1.66", "2..2", "1.66...2", "fast", "..fast", "1,2"])
def test_other_texts_are_no_print(text):
    with pytest.raises(InputError):
        printed.printed(text)


def test_gaps_of_ranges():
    found = printed.printed("1.66..2.01")
    assert [found.gap(x) for x in (1.16, 1.66, 1.8, 2.01)] == [0.5, 0, 0, 0]
    assert found.gap(2.51) == pytest.approx(-0.5)
    assert (found.nearest(1.0), found.nearest(1.7), found.nearest(2.0), found.nearest(9)) == ("1.66",) * 2 + (
        "2.01",
    ) * 2
    assert printed.printed("..5.1").gap(7.0) == 0 and printed.printed("..5.1").gap(5.0) == pytest.approx(0.1)
    for a, b, apart in (
        ("1..2", "3..4", 1),
        ("3..4", "1..2", -1),
        ("1..3", "2..4", 0),
        ("..5", "4", -1),
        ("..5", "6", 0),
    ):
        assert printed.apart(printed.printed(a), printed.printed(b)) == apart


def ranged(entry, values, columns=("fcfs",)):
    (expected,) = entry.expected
    expected.made_by, expected.values, expected.columns = "measurement", values, list(columns)
    return entry


@pytest.mark.parametrize(
    ("range_", "verdict", "deviation"),
    [
        ("1.5..2.5", "agrees", 0),
        ("1.98..2.01", "cannot tell", 0),
        ("1.5..1.95", "differs", -0.025),
        ("2.03..2.5", "differs", 0.015),
        ("2.01..2.5", "cannot tell", 0.005),
        ("1..1.95", "differs", -0.025),
        ("3..4", "differs", 0.5),
        ("1.5..2.0", "cannot tell", 0),
    ],
)
def test_a_range_holds_our_interval_or_none_of_it(entry, range_, verdict, deviation):
    values = {"fcfs": [1.99, 2.01, 1.99, 2.01]}  # 2 with a half-width of 0.018
    row = only(judged(ranged(entry, f"0.5 {range_}"), values=values), policy="fcfs")
    assert row["halfwidth"] == pytest.approx(3.182446 * 0.011547 / 2, rel=1e-4)
    assert row["verdict"] == verdict and row["deviation"] == pytest.approx(deviation, abs=1e-12)
    assert row["printed"] == range_ and range_.replace("..", " to ") in row["reason"]


def two_points(first, second, status="ok"):
    return pandas.concat([frame({"fcfs": first}), frame({"fcfs": second}, point=1, status=status)], ignore_index=True)


@pytest.mark.parametrize(
    ("most", "verdict"), [("..3", "agrees"), ("..4.90", "agrees"), ("..5.00", "cannot tell"), ("..5.2", "differs")]
)
def test_up_to_a_value_is_a_claim_about_the_largest(entry, most, verdict):
    rows = verdicts.verdicts(ranged(entry, f"* {most}"), two_points([1.9, 2.1, 2.0], [4.99, 5.0, 5.01]))
    row = only(rows, policy="fcfs")
    assert row["verdict"] == verdict and "of 2 here, at load 0.8, is 5" in row["reason"]
    assert row["simulated"] == pytest.approx(5) and '"load":"all"' in row["parameters"]
    joint = scipy.stats.t.ppf(1 - 0.025 / 2, 2) * 0.01 / math.sqrt(3)
    assert row["halfwidth"] == pytest.approx(joint), "both points' intervals hold with 95% together"


def test_the_largest_of_near_values_has_an_interval_that_holds_both(entry):
    rows = verdicts.verdicts(ranged(entry, "* ..4"), two_points([1.0, 5.0, 8.0], [4.99, 5.0, 5.01]))
    row = only(rows, policy="fcfs")
    assert row["simulated"] == pytest.approx(5) and row["simulated"] + row["halfwidth"] > 8
    assert row["verdict"] == "cannot tell"


def test_a_point_without_a_value_may_be_the_largest(entry):
    for most, verdict in (("..1.5", "agrees"), ("..3", "cannot tell")):
        rows = verdicts.verdicts(
            ranged(entry, f"* {most}"), two_points([1.99, 2.01, 2.0], [9.0, 9.0, 9.0], status="unstable")
        )
        assert only(rows, policy="fcfs")["verdict"] == verdict
    rows = verdicts.verdicts(entry, frame({}))
    assert set(rows["verdict"]) == {"cannot tell"} and "no result" in rows["reason"].iloc[0]


def test_ranges_that_meet_do_not_conflict(entry):
    first = ranged(entry, "0.5 1.5..2.0").expected[0]
    for other, count in (("1.9..2.5", 0), ("2.2..2.5", 1), ("1.7", 0)):
        second = type(first)(
            experiment="loads", metric="mean_response", source="Figure 9", made_by="measurement", rows="load",
            columns=["fcfs"], values=f"0.5 {other}",
        )  # fmt: skip
        entry.expected[1:] = [second]
        found = verdicts.conflicts(judged(entry, exact={"fcfs": (2.3, 1e-9)}))
        assert len(found) == count
        if count:
            assert found.iloc[0]["difference"] == pytest.approx(0.2) and found.iloc[0]["supported"] == "Figure 9"


# --- the page of a reproduction


def test_a_source_may_print_tables_that_share_no_parameter():
    from openqueues.pages import comparison

    row = {"source": "A", "policy": "fcfs", "verdict": "differs", "deviation": 0.1, "exact": 1.0, "printed": "1.1"}
    row |= {"simulated": math.nan, "halfwidth": math.nan}
    rows = [row | {"row": "0.5", "parameters": {"load": 0.5}}, row | {"row": "cut", "parameters": {"name": "cut"}}]
    assert "2 of 2 printed values differ, at row 0.5, cut" in comparison.findings(rows)[1]


def test_a_printed_zero_leaves_the_figure_of_deviations_whole(entry):
    from openqueues.pages import comparison

    rows = verdicts.verdicts(entry, frame(exact={"fcfs": (2.0, 0.0)})).to_dict("records")
    for row in rows:
        row["parameters"] = {"load": float(row["row"])}
    rows[0]["printed"] = "0.0"
    (axis,) = comparison.deviations(entry, rows).axes
    assert len(axis.patches) == sum(math.isfinite(row["deviation"]) for row in rows) - 1
