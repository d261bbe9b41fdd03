"""Statistics of claims: closed forms, established implementations, and a simulation in which the truth is known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway, equivalence_oneway
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics import (
    Answers,
    Components,
    Estimate,
    combine,
    components,
    design_error,
    difference_error,
    equivalence_power,
    estimate_difference,
    estimate_mean,
    estimate_share_positive,
    group_means,
    group_spread,
    holm,
    paired_factor,
    smallest_detectable,
    smallest_margin,
)
from pretraining_gain.tell.statistics.model import bartlett

ONE, GAIN = {"a": 1.0}, {"a": 1.0, "b": -1.0}


def crossed(rng, arms="ab", n_seeds=3, n_classes=8, n_images=12, *, run=0.0, class_=0.0, run_class=0.0, image=1.0, residual=1.0):
    """Gaussian answers of arms with these standard deviations; `run` may differ by arm. Each arm has its own classes and images."""
    labels = np.repeat(np.arange(n_classes), n_images)
    runs = run if isinstance(run, dict) else dict.fromkeys(arms, run)

    def arm(sd):
        values = sd * rng.standard_normal((n_seeds, 1)) + class_ * rng.standard_normal(n_classes)[labels]
        values = values + (run_class * rng.standard_normal((n_seeds, n_classes)))[:, labels]
        return values + image * rng.standard_normal(len(labels)) + residual * rng.standard_normal((n_seeds, len(labels)))

    return Answers({name: arm(runs[name]) for name in arms}, labels)


def one_run(values, labels) -> Answers:
    return Answers({"a": np.asarray(values, dtype=float)[None]}, np.asarray(labels))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# One run: the closed forms of one sample.


def test_one_class_is_the_binomial():
    found = estimate_mean(one_run([1.0] * 60 + [0.0] * 140, np.zeros(200, int)), ONE)
    assert (found.mean, found.se, found.df) == pytest.approx((0.3, np.sqrt(0.3 * 0.7 / 199), 199))
    assert (found.n_seeds, found.n_classes, found.n_images) == (1, 1, 200)
    half = scipy_stats.t.ppf(0.975, 199) * found.se
    assert found.interval() == pytest.approx((0.3 - half, 0.3 + half))


def test_fixed_classes_are_a_stratified_sample(rng):
    labels = np.repeat([3, 7], [20, 50])
    values = rng.standard_normal(70) + labels
    within = [values[labels == c].var(ddof=1) / (labels == c).sum() for c in (3, 7)]
    wanted = np.sqrt((20 / 70) ** 2 * within[0] + (50 / 70) ** 2 * within[1])
    assert estimate_mean(one_run(values, labels), ONE).se == pytest.approx(wanted)


def test_random_classes_are_a_t_test_of_class_means(rng):
    answers = crossed(rng, "a", n_seeds=1, class_=1)
    found, wanted = estimate_mean(answers, ONE, random_classes=True), scipy_stats.ttest_1samp(answers.means["a"][0], 0.3)
    assert found.interval() == pytest.approx(wanted.confidence_interval())
    assert 2 * min(found.p_above(0.3), found.p_below(0.3)) == pytest.approx(wanted.pvalue)


def test_random_classes_count_once_however_many_images_they_have(rng):
    labels = np.repeat([3, 7, 9], [5, 20, 80])
    values = rng.standard_normal(len(labels)) + labels
    means = [values[labels == one].mean() for one in (3, 7, 9)]
    found = estimate_mean(one_run(values, labels), ONE, random_classes=True)
    assert (found.mean, found.se) == (pytest.approx(np.mean(means)), pytest.approx(np.std(means, ddof=1) / 3**0.5))


def test_a_difference_of_groups_is_a_t_test(rng):
    answers = crossed(rng, "a", n_seeds=1, class_=1)
    found = estimate_difference(answers, ONE, range(5), {5, 6, 7})
    means = answers.means["a"][0]
    wanted = scipy_stats.ttest_ind(means[:5], means[5:])
    assert found.interval() == pytest.approx(wanted.confidence_interval(0.95))
    assert (found.df, found.p_different) == pytest.approx((6, wanted.pvalue))


def test_a_difference_within_families_is_least_squares_with_family_effects(rng):
    answers = crossed(rng, "a", n_seeds=1, n_classes=30, class_=1)
    table = pd.DataFrame({"y": answers.means["a"][0], "x": rng.random(30) < 0.4, "family": np.arange(30) % 11})
    wanted = ols("y ~ C(family) + x", table.astype({"x": int})).fit()
    found = estimate_difference(answers, ONE, table.index[table["x"]], table.index[~table["x"]], table["family"])
    assert (found.mean, found.se, found.df) == pytest.approx((wanted.params["x"], wanted.bse["x"], wanted.df_resid))
    apart = pd.Series(np.where(table["x"], "one", "other"), index=table.index)
    once = apart.mask(table.index == table.index[table["x"]][0], "other")
    for number, families in enumerate([apart, once]):  # one family says nothing of families
        with pytest.raises(InputError, match=f"groups that hold classes of both kinds: {number}; accepted: two or more"):
            estimate_difference(answers, ONE, table.index[table["x"]], table.index[~table["x"]], families)


# Runs: pooled over all arms of a target.


def test_runs_that_dominate_are_an_analysis_of_variance_of_all_arms(rng):
    answers = crossed(rng, "abcdef", run=1000)
    runs = [values.mean(axis=1) for values in answers.correct.values()]
    pooled = np.mean([one.var(ddof=1) for one in runs])
    found = estimate_mean(answers, GAIN)
    assert (found.se, found.df) == pytest.approx((np.sqrt(2 * pooled / 3), 12), rel=1e-3)
    assert (found.run_se, found.homogeneity) == pytest.approx((np.sqrt(2 * pooled / 3), scipy_stats.bartlett(*runs).pvalue))


def test_arms_that_vary_unlike_keep_their_own_variance(rng):
    answers = crossed(rng, "abcdef", n_seeds=10, run={"a": 1000} | dict.fromkeys("bcdef", 1))
    first, second = (answers.correct[arm].mean(axis=1) for arm in "ab")
    wanted = scipy_stats.ttest_ind(first, second, equal_var=False)
    found = estimate_mean(answers, GAIN)
    assert found.homogeneity < 0.01
    error = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 10)
    assert (found.run_se, found.run_df) == pytest.approx((error, wanted.df))


def test_bartletts_test_is_scipys(rng):
    runs = [rng.standard_normal((n, 4)) * scale for n, scale in ((3, 1), (5, 2), (4, 0.5))]
    variances = {str(i): one.var(axis=0, ddof=1) for i, one in enumerate(runs)}
    wanted = [scipy_stats.bartlett(*(one[:, k] for one in runs)).pvalue for k in range(4)]
    assert bartlett(variances, {str(i): len(one) - 1 for i, one in enumerate(runs)}) == pytest.approx(wanted)


def test_what_a_run_does_to_both_groups_cancels(rng):
    answers = crossed(rng, class_=1)
    shifted = Answers({arm: v + np.array([[0.0], [50.0], [-7.0]]) for arm, v in answers.correct.items()}, answers.labels)
    found, wanted = (estimate_difference(one, GAIN, range(4), range(4, 8)) for one in (shifted, answers))
    assert (found.mean, found.se, found.df) == pytest.approx((wanted.mean, wanted.se, wanted.df))


def test_what_runs_and_classes_share_counts_once(rng):
    """Two-way clustering of class means: MS(run)/C + MS(class)/S - MS(run × class), each over S C."""
    answers = crossed(rng, "a", n_seeds=4, run=1, class_=1, run_class=0.5)
    table = answers.means["a"]
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    interaction = (rest**2).sum() / (3 * 7)
    wanted = table.mean(axis=1).var(ddof=1) / 4 + table.mean(axis=0).var(ddof=1) / 8 - interaction / 32
    assert estimate_mean(answers, ONE, random_classes=True).se ** 2 == pytest.approx(wanted)


def test_two_one_sided_tests_are_statsmodels(rng):
    first, second = rng.standard_normal((2, 40)) * 0.3
    wanted, above, below = ttost_paired(first, second, -0.2, 0.2)
    found = estimate_mean(one_run(first - second, np.zeros(40, int)), ONE)
    tests = found.p_equivalent(0.2), found.p_above(-0.2), found.p_below(0.2)
    assert tests == pytest.approx((wanted, above[1], below[1]))
    with pytest.raises(InputError, match="margin must be above 0"):
        found.p_equivalent(0)


def test_nothing_is_claimed_without_spread():
    found = estimate_mean(Answers({"a": np.zeros((3, 20))}, np.repeat([0, 1], 10)), ONE, random_classes=True)
    assert (found.p_above(0), found.p_below(0), found.p_equivalent(0.01), found.p_above(-0.1)) == (0.5,) * 4


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Answers({"a": np.zeros((3, 4))}, np.zeros(5)), "accepted: .seeds, images. with .images,."),
        (lambda: estimate_difference(one_run([1, 0], [0, 1]), ONE, [0], [0, 1]), "class 0 is in both groups"),
        (lambda: estimate_difference(one_run([1, 0], [0, 1]), ONE, [0], [1]), "two groups of at least two classes"),
        (lambda: group_spread(one_run([1, 0], [0, 1]), ONE, pd.Series(["a", "b"]), 0.1), "2 groups of 2 classes"),
        (lambda: components(one_run([1, 0], [0, 1]), ONE), "no variance components"),
    ],
)
def test_what_cannot_be_estimated_is_named(act, said):
    with pytest.raises(InputError, match=said):
        act()


# Share and groups.


def test_a_class_without_a_difference_counts_half():
    values = np.array([[1, 1, 1, 0, 0, 0, -1, -1]] * 3, dtype=float)
    assert estimate_share_positive(Answers({"a": values}, np.repeat(np.arange(4), 2)), ONE).mean == 2.5 / 4


def test_where_no_class_loses_and_most_are_equal_a_majority_is_not_refuted():
    """36 classes of one image and one seed: 7 gain, the others cannot."""
    found = estimate_share_positive(one_run([1] * 7 + [0] * 29, range(36)), ONE)
    assert found.mean == (7 + 29 / 2) / 36
    assert found.p_below(0.5) > 0.5


def test_classes_of_one_image_estimate_one_variance_together(rng):
    """The mean of 6 such classes in one run has the degrees of freedom of 6 numbers, and their standard error."""
    values = rng.standard_normal(6)
    found = estimate_mean(one_run(values, range(6)), ONE)
    assert (found.df, found.se) == (pytest.approx(5), pytest.approx(values.std(ddof=1) / 6**0.5))


def test_a_class_whose_few_images_agree_is_not_certain(rng):
    answers = one_run([1, 1, *rng.integers(0, 2, 40)], [0, 0, *np.repeat([1, 2], 20)])
    table = group_means(answers, ONE, pd.Series([0, 1, 2]), random_classes=False).set_index("group")
    assert (table["high"] - table["low"] > 0.3).all()
    assert table.loc[0, "df"] == 39  # of all images; the others have their own
    assert table.loc[1, "df"] == 19


def test_runs_that_are_equal_but_for_rounding_are_no_reason_to_keep_variances_apart():
    assert bartlett({"a": np.array([1.2e-32]), "b": np.array([1e-4])}, {"a": 1, "b": 2}) == 1


def test_share_of_everything_is_still_uncertain():
    found = estimate_share_positive(Answers({"a": np.ones((3, 40))}, np.repeat(np.arange(20), 2)), ONE)
    low, high = found.interval()
    assert found.mean == high == 1
    assert 0.7 < low < 0.95
    assert found.p_above(0.5) < 0.001


def test_a_shift_by_few_runs_is_no_majority(rng):
    """All classes gain in every run, but runs differ as much as they gain: 3 of 3 runs prove no majority."""
    values = np.array([[0.1], [0.5], [1.2]]) + 0.01 * rng.standard_normal((3, 400))
    found = estimate_share_positive(Answers({"a": values}, np.repeat(np.arange(40), 10)), ONE)
    assert found.mean == 1
    assert found.p_above(0.5) > 0.05


@pytest.mark.parametrize("random_classes", [False, True])
def test_one_group_of_all_classes_is_the_mean(rng, random_classes):
    answers = crossed(rng, n_classes=60, n_images=20, run=0.2, class_=0.5)
    row = group_means(answers, GAIN, pd.Series("g", index=range(60)), random_classes=random_classes).iloc[0]
    found = estimate_mean(answers, GAIN, random_classes=random_classes)
    assert (row["mean"], row["se"], row["df"]) == pytest.approx((found.mean, found.se, found.df))


def test_classes_in_groups_add_the_spread_between_classes():
    """Classes that are always right or always wrong: all uncertainty is between classes."""
    labels = np.repeat(np.arange(100), 20)
    answers, groups = one_run(np.repeat(np.arange(100) % 2, 20), labels), pd.Series("g", index=range(100))
    fixed, random = (group_means(answers, ONE, groups, random_classes=way).iloc[0] for way in (False, True))
    assert (fixed["low"], fixed["high"]) == pytest.approx((0.5, 0.5))
    assert random["high"] - random["low"] == pytest.approx(2 * scipy_stats.t.ppf(0.975, 99) * np.sqrt(0.25 / 99))


def test_group_spread_is_an_analysis_of_variance(rng):
    answers, groups = crossed(rng, "a", n_seeds=1, n_classes=12, class_=1), pd.Series(list("aaaabbbbbccc"))
    means = pd.Series(answers.means["a"][0])
    parts = [means[groups == g] for g in "abc"]
    found, wanted = group_spread(answers, ONE, groups, margin=0.8), anova_oneway(parts, use_var="equal")
    assert found.p_different == pytest.approx(wanted.pvalue)
    error = sum(((part - part.mean()) ** 2).sum() for part in parts) / 9
    equal = equivalence_oneway(parts, 0.8**2 / error, use_var="equal", margin_type="f2")
    assert found.p_equivalent == pytest.approx(equal.pvalue)
    assert found.low <= found.sd <= found.high


def test_groups_without_a_spread_within_have_a_finite_interval():
    answers = Answers({"a": np.repeat([[1.0, 1.0, 0.0, 0.0]], 3, axis=0)}, np.arange(4))
    found = group_spread(answers, ONE, pd.Series(list("aabb")), margin=0.03)
    assert found.low <= found.sd == pytest.approx(0.5, abs=1e-3)
    assert found.sd <= found.high < np.inf


def test_an_estimate_without_an_error_says_nothing_beside_others():
    nothing_right, other = Estimate(0.1, 0, 3, 3, 2, 9), Estimate(0.3, 0.02, 5, 3, 2, 9)
    assert combine([nothing_right, other]) == combine([other])
    assert combine([nothing_right] * 2).mean == pytest.approx(0.1)
    assert combine([nothing_right] * 2, [1, -1]).interval() == pytest.approx((0, 0))


# Components, power, design.


def test_components_are_recovered(rng):
    answers = crossed(rng, "abcdef", 8, 40, 20, run=0.5, class_=0.7, run_class=0.4, image=0.6, residual=1.0)
    found = components(answers, GAIN)
    wanted = Components(2 * 0.25, 2 * 0.49, 2 * 0.16, 2 * 0.36, 2 * 1.0)
    assert astuple(found) == pytest.approx(astuple(wanted), rel=0.35)


def test_the_planned_error_is_that_of_the_estimate(rng):
    sizes = 6, 4, 30, 15
    draws = [crossed(rng, "abcdef", *sizes[1:], run=0.1, class_=0.3, run_class=0.2, image=0.5) for _ in range(30)]
    parts = Components(2 * 0.01, 2 * 0.09, 2 * 0.04, 2 * 0.25, 2 * 1.0)
    mean = np.sqrt(np.mean([estimate_mean(one, GAIN).se ** 2 for one in draws]))
    assert design_error(parts, *sizes)[0] == pytest.approx(mean, rel=0.1)
    alone = [crossed(rng, "abcdef", 4, 30, 1, run=0.1, class_=0.3, run_class=0.2, image=0.5) for _ in range(100)]
    mean = np.sqrt(np.mean([estimate_mean(one, GAIN).se ** 2 for one in alone]))
    assert design_error(parts, 6, 4, 30, 1)[0] == pytest.approx(mean, rel=0.1)
    groups = np.sqrt(np.mean([estimate_difference(one, GAIN, range(10), range(10, 30)).se ** 2 for one in draws]))
    assert difference_error(parts, 6, 4, 10, 20, 15)[0] == pytest.approx(groups, rel=0.1)


def test_one_seed_has_no_degrees_of_freedom():
    assert design_error(Components(0.01, 0, 0, 0, 0), 5, 1, 10, 20) == (0.1, 0)
    assert (smallest_detectable(0.1, 0), smallest_margin(0.1, 0)) == (np.inf, np.inf)


@pytest.mark.parametrize("df", [2, 11, 300])
def test_power_is_statsmodels(df):
    reference, nobs, se = TTestPower(), df + 1, 1 / np.sqrt(df + 1)
    effect = reference.solve_power(nobs=nobs, alpha=0.05, power=0.8, alternative="larger")
    assert smallest_detectable(se, df) == pytest.approx(effect, rel=1e-4)


def test_equivalence_power_is_what_repeated_tests_find(rng):
    margin = smallest_margin(1.0, 5)
    se = np.sqrt(rng.chisquare(5, 20_000) / 5)
    pairs = zip(rng.standard_normal(20_000), se, strict=True)
    found = [Estimate(m, s, 5, 3, 2, 9).p_equivalent(margin) < 0.05 for m, s in pairs]
    assert equivalence_power(margin, 1.0, 5) == pytest.approx(0.8, abs=1e-6)
    assert np.mean(found) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.2], [0.04, 0.01, 0.5, 0.01]])
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_pairing_pays_where_arms_err_on_the_same_images(rng):
    image = rng.standard_normal(3000)
    first, second, alone = (image * shared + rng.standard_normal((3, 3000)) > 0 for shared in (2.0, 2.0, 0.0))
    assert paired_factor(first, second) > 1.5
    assert paired_factor(alone, rng.random((3, 3000)) > 0.5) == pytest.approx(1, abs=0.05)
