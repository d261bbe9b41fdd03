"""Statistics of claims: closed forms, established implementations, and a simulation in which the truth is known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway, equivalence_oneway
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics import (
    Components,
    Estimate,
    bootstrap_means,
    components,
    design_error,
    difference_error,
    equivalence_power,
    estimate_correlation,
    estimate_difference,
    estimate_mean,
    estimate_share_positive,
    group_means,
    group_spread,
    holm,
    paired_factor,
    power_at,
    smallest_detectable,
    smallest_margin,
)
from pretraining_gain.tell.statistics.variance import Sources


def crossed(rng, n_seeds=3, n_classes=8, n_images=12, *, seed=0.0, class_=0.0, seed_class=0.0, image=1.0, residual=1.0):
    """Gaussian values (S, N) with these standard deviations, and labels."""
    labels = np.repeat(np.arange(n_classes), n_images)
    values = seed * rng.standard_normal((n_seeds, 1)) + class_ * rng.standard_normal(n_classes)[labels]
    values = values + (seed_class * rng.standard_normal((n_seeds, n_classes)))[:, labels]
    values = values + image * rng.standard_normal(len(labels)) + residual * rng.standard_normal((n_seeds, len(labels)))
    return values, labels


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# One seed, or seeds that agree: the closed forms of one sample.


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_one_class_is_the_binomial(n_seeds):
    values = np.tile([1.0] * 3 + [0.0] * 7, (n_seeds, 20))
    found = estimate_mean(values, np.zeros(200, int), classes="fixed")
    assert (found.mean, found.se, found.df) == pytest.approx((0.3, np.sqrt(0.3 * 0.7 / 199), 199))
    assert (found.n_seeds, found.n_classes, found.n_images) == (n_seeds, 1, 200)
    half = scipy_stats.t.ppf(0.975, 199) * found.se
    assert found.interval() == pytest.approx((0.3 - half, 0.3 + half))


def test_fixed_classes_are_a_stratified_sample(rng):
    labels = np.repeat([3, 7], [20, 50])
    values = rng.standard_normal(70) + labels
    within = [values[labels == c].var(ddof=1) / (labels == c).sum() for c in (3, 7)]
    wanted = np.sqrt((20 / 70) ** 2 * within[0] + (50 / 70) ** 2 * within[1])
    assert estimate_mean(values[None], labels, classes="fixed").se == pytest.approx(wanted)


def test_random_classes_are_a_t_test_of_class_means(rng):
    values, labels = crossed(rng, n_seeds=1, class_=1)
    means = values.reshape(8, 12).mean(axis=1)
    found, wanted = estimate_mean(values, labels, classes="random"), scipy_stats.ttest_1samp(means, 0.3)
    assert found.interval() == pytest.approx(wanted.confidence_interval())
    for alternative, p_value in {"greater": found.p_above(0.3), "less": found.p_below(0.3)}.items():
        assert p_value == pytest.approx(scipy_stats.ttest_1samp(means, 0.3, alternative=alternative).pvalue)


def test_seeds_that_dominate_are_a_t_test_of_seed_means(rng):
    values, labels = crossed(rng, seed=1000)
    found, wanted = estimate_mean(values, labels, classes="random"), scipy_stats.ttest_1samp(values.mean(axis=1), 0)
    assert found.interval() == pytest.approx(wanted.confidence_interval(), rel=1e-3)
    assert found.df == pytest.approx(2, rel=1e-3)


def test_difference_is_welchs_test_where_seeds_agree(rng):
    values, labels = crossed(rng, n_seeds=1, class_=1)
    values[:, labels >= 5] *= 3
    values = np.repeat(values, 3, axis=0)
    found = estimate_difference(values, labels, range(5), {5, 6, 7})
    means = values[0].reshape(8, 12).mean(axis=1)
    wanted = scipy_stats.ttest_ind(means[:5], means[5:], equal_var=False)
    assert found.interval() == pytest.approx(wanted.confidence_interval(0.95))
    assert (found.df, 2 * min(found.p_above(), found.p_below())) == pytest.approx((wanted.df, wanted.pvalue))


def test_what_seeds_do_to_both_groups_cancels(rng):
    values, labels = crossed(rng, class_=1)
    shifted = values + np.array([[0.0], [50.0], [-7.0]])
    args = labels, range(4), range(4, 8)
    found, wanted = (astuple(estimate_difference(given, *args)) for given in (shifted, values))
    assert found[:-2] == pytest.approx(wanted[:-2])
    assert found[-2] == pytest.approx(wanted[-2])  # the sources of its variance


def test_balanced_variance_is_cameron_gelbach_and_millers(rng):
    """Two-way clustering of class means: MS(seed)/(C) + MS(class)/S - MS(seed×class), each over S C."""
    values, labels = crossed(rng, n_seeds=4, seed=1, class_=1, seed_class=0.5)
    table = values.reshape(4, 8, 12).mean(axis=2)
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    interaction = (rest**2).sum() / (3 * 7)
    wanted = table.mean(axis=1).var(ddof=1) / 4 + table.mean(axis=0).var(ddof=1) / 8 - interaction / 32
    assert estimate_mean(values, labels, classes="random").se ** 2 == pytest.approx(wanted)


def test_two_one_sided_tests_are_statsmodels(rng):
    first, second = rng.standard_normal((2, 40)) * 0.3
    wanted, above, below = ttost_paired(first, second, -0.2, 0.2)
    found = estimate_mean((first - second)[None], np.zeros(40, int), classes="fixed")
    assert (found.p_equivalent(0.2), found.p_above(-0.2), found.p_below(0.2)) == pytest.approx(
        (wanted, above[1], below[1])
    )
    with pytest.raises(InputError, match="margin must be above 0"):
        found.p_equivalent(0)


def test_nothing_is_claimed_at_the_bound_without_spread():
    found = estimate_mean(np.zeros((3, 20)), np.repeat([0, 1], 10), classes="random")
    assert (found.p_above(0), found.p_below(0), found.p_equivalent(0.01), found.p_above(-0.1)) == (0.5, 0.5, 0, 0)


# Share, correlation, groups.


def test_share_counts_ties_half():
    values = np.array([[1, 1, 1, 0, 0, 0, -1, -1]] * 3, dtype=float)
    # Classes: two right, one right, no difference, and one hurt.
    assert estimate_share_positive(values, np.repeat(np.arange(4), 2)).mean == (1 + 1 + 0.5 + 0) / 4


def test_share_of_everything_is_still_uncertain():
    found = estimate_share_positive(np.ones((3, 40)), np.repeat(np.arange(20), 2))
    low, high = found.interval()
    assert found.mean == high == 1
    assert 0.7 < low < 0.95
    assert found.p_above(0.5) < 0.001


def test_a_shift_by_few_seeds_is_no_majority(rng):
    """All classes gain in every seed, but seeds differ as much as they gain: 3 of 3 seeds prove no majority."""
    values = np.array([[0.1], [0.5], [1.2]]) + 0.01 * rng.standard_normal((3, 400))
    found = estimate_share_positive(values, np.repeat(np.arange(40), 10))
    assert found.mean == 1
    assert found.p_above(0.5) > 0.05


@pytest.mark.parametrize("rank", [False, True])
def test_correlation_is_scipys(rng, rank):
    x, y = rng.standard_normal((2, 30))
    y = y + 0.5 * x
    found = estimate_correlation(np.repeat(y, 2)[None], np.repeat(np.arange(30), 2), pd.Series(x), rank=rank)
    if rank:
        assert found.mean == pytest.approx(scipy_stats.spearmanr(x, y).statistic)
        assert found.z_se == pytest.approx(np.sqrt((1 + found.mean**2 / 2) / 27))
    else:
        wanted = scipy_stats.pearsonr(x, y)
        assert found.mean == pytest.approx(wanted.statistic)
        # scipy's interval takes the normal for the t distribution with 28 degrees of freedom
        assert found.interval() == pytest.approx(wanted.confidence_interval(), abs=0.02)


def test_correlation_leaves_out_classes_without_covariate(rng):
    values, labels = crossed(rng, class_=1)
    covariate = pd.Series(rng.standard_normal(8)).drop(3)
    covariate[5] = np.nan
    found = estimate_correlation(values, labels, covariate)
    kept = ~np.isin(labels, [3, 5])
    assert (found.n_classes, found.n_images) == (6, 72)
    assert found.mean == pytest.approx(estimate_correlation(values[:, kept], labels[kept], covariate).mean)


def test_seeds_that_disagree_on_a_correlation_widen_it(rng):
    x = np.linspace(-1, 1, 40)
    same = np.repeat(0.3 * x + rng.standard_normal(40), 5)[None].repeat(3, axis=0)
    labels, slopes = np.repeat(np.arange(40), 5), np.array([[-2.0], [0.0], [2.0]])
    agree, disagree = (estimate_correlation(v, labels, pd.Series(x)) for v in (same, same + slopes * x[labels]))
    assert disagree.mean == pytest.approx(agree.mean)
    assert disagree.z_se > 2 * agree.z_se
    assert disagree.df < 5


def test_group_spread_is_an_analysis_of_variance(rng):
    values, labels = crossed(rng, n_seeds=1, n_classes=12, class_=1)
    groups = pd.Series(list("aaaabbbbbccc"))
    means = pd.Series(values.reshape(12, 12).mean(axis=1))
    parts = [means[groups == g] for g in "abc"]
    found = group_spread(values, labels, groups, margin=0.8)
    wanted = anova_oneway(parts, use_var="equal")
    assert found.p_different == pytest.approx(wanted.pvalue)
    error = sum(((part - part.mean()) ** 2).sum() for part in parts) / 9
    equal = equivalence_oneway(parts, 0.8**2 / error, use_var="equal", margin_type="f2")
    assert found.p_equivalent == pytest.approx(equal.pvalue)
    assert (found.df_within, found.n_classes) == (9, 12)
    assert found.low <= found.sd <= found.high


# Components, power, design.


def test_components_are_the_textbooks(rng):
    """Expected mean squares of the balanced design, solved by hand."""
    n_seeds, n_classes, n_images = shape = (4, 8, 12)
    values, labels = crossed(rng, *shape, seed=2, class_=1.5, seed_class=1, image=1)
    cube = values.reshape(shape)
    cell, seed, class_ = cube.mean(2), cube.mean((1, 2)), cube.mean((0, 2))
    image = cube.mean(0)
    ms_seed = n_classes * n_images * seed.var(ddof=1)
    ms_class = n_seeds * n_images * class_.var(ddof=1)
    ms_cell = n_images * ((cell - seed[:, None] - class_ + cube.mean()) ** 2).sum() / (3 * 7)
    ms_image = n_seeds * ((image - class_[:, None]) ** 2).sum() / (8 * 11)
    ms_rest = ((cube - cell[..., None] - image + class_[:, None]) ** 2).sum() / (3 * 8 * 11)
    found = components(values, labels)
    assert astuple(found) == pytest.approx(
        (
            (ms_seed - ms_cell) / (n_classes * n_images),
            (ms_class - ms_cell - ms_image + ms_rest) / (n_seeds * n_images),
            (ms_cell - ms_rest) / n_images,
            (ms_image - ms_rest) / n_seeds,
            ms_rest,
        )
    )


def test_components_are_recovered_from_unbalanced_classes(rng):
    labels = np.repeat(np.arange(300), rng.integers(5, 30, 300))
    values = np.stack([rng.standard_normal(len(labels)) + rng.standard_normal(300)[labels] for _ in range(6)])
    values += 0.7 * rng.standard_normal(300)[labels] + 0.5 * rng.standard_normal(len(labels))
    found = components(values, labels)
    assert (found.class_, found.seed_class, found.image, found.residual) == pytest.approx((0.49, 1, 0.25, 1), rel=0.15)


def test_a_design_without_seed_spread_has_the_textbooks_error():
    parts = Components(0, 0.04, 0, 0.09, 0)
    assert design_error(parts, 3, 36, 30, classes="random") == pytest.approx((np.sqrt(0.043 / 36), 35))
    assert design_error(parts, 3, 36, 30, classes="fixed") == pytest.approx((0.3 / np.sqrt(1080), 36 * 29))
    assert difference_error(parts, 3, 10, 10, 30) == pytest.approx((np.sqrt(2 * 0.043 / 10), 18))


def test_a_design_of_seeds_alone_has_a_t_test_of_them():
    se, df = design_error(Components(0.01, 0, 0, 0, 0), 4, 10, 20, classes="random")
    assert (se, df) == pytest.approx((0.05, 3), rel=0.01)
    assert design_error(Components(0.01, 0, 0, 0, 0), 1, 10, 20, classes="fixed") == (0.1, 0)
    assert (smallest_detectable(0.1, 0), smallest_margin(0.1, 0), power_at(9, 0.1, 0)) == (np.inf, np.inf, 0)


@pytest.mark.parametrize("df", [2, 11, 300])
def test_power_is_statsmodels(df):
    reference, nobs, se = TTestPower(), df + 1, 1 / np.sqrt(df + 1)
    effect = reference.solve_power(nobs=nobs, alpha=0.05, power=0.8, alternative="larger")
    assert smallest_detectable(se, df) == pytest.approx(effect, rel=1e-4)
    wanted = reference.power(effect / 2, nobs, 0.05, df=df, alternative="larger")
    assert power_at(effect / 2, se, df) == pytest.approx(wanted, abs=1e-4)


def test_equivalence_power_is_what_repeated_tests_find(rng):
    margin = smallest_margin(1.0, 5)
    se = np.sqrt(rng.chisquare(5, 20_000) / 5)
    found = [
        Estimate(m, s, 5, 3, 2, 9).p_equivalent(margin) < 0.05
        for m, s in zip(rng.standard_normal(20_000), se, strict=True)
    ]
    assert equivalence_power(margin, 1.0, 5) == pytest.approx(0.8, abs=1e-6)
    assert np.mean(found) == pytest.approx(0.8, abs=0.01)
    assert smallest_margin(1.0, 1e6) == pytest.approx(1.645 + 1.2816, abs=0.002)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.2], [0.04, 0.01, 0.5, 0.01]])
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("distance", [2.0, 5.0, 15.0])
def test_the_tail_is_the_t_distributions_where_only_seeds_or_only_images_vary(distance):
    only_seeds = Sources(seeds=1.0, units=1e-12, shared=0.0, n_seeds=3, unit_df=1000)
    assert only_seeds.p(distance) == pytest.approx(scipy_stats.t.sf(distance, 2), rel=1e-3)
    only_images = Sources(seeds=0.0, units=1.0, shared=0.0, n_seeds=3, unit_df=1000)
    assert only_images.p(distance) == pytest.approx(max(scipy_stats.t.sf(distance, 1000), 1e-12), rel=1e-3)


def test_tests_far_out_in_the_tail_err_no_more_often_than_their_level_where_seeds_and_images_vary_alike(rng):
    level, n = 0.005, 20_000
    means, seed_variances = rng.standard_normal(n) * np.sqrt(2), rng.chisquare(2, n) / 2
    wrong = [m > Sources(float(v), 1.0, 0.0, 3, 1000).reach(level) for m, v in zip(means, seed_variances, strict=True)]
    assert np.mean(wrong) <= level + 3 * np.sqrt(level / n)


def test_pairing_pays_where_arms_err_on_the_same_images(rng):
    image = rng.standard_normal(3000)
    first, second, alone = (image * shared + rng.standard_normal((3, 3000)) > 0 for shared in (2.0, 2.0, 0.0))
    assert paired_factor(first, second) > 1.5
    assert paired_factor(alone, rng.random((3, 3000)) > 0.5) == pytest.approx(1, abs=0.05)


# The bootstrap against the closed forms.


@pytest.mark.parametrize("resample_classes", [False, True])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_closed_form_and_the_bootstrap_of_a_group_agree_with_its_estimate(rng, resample_classes, spread):
    values, labels = crossed(rng, n_classes=60, n_images=20, seed=spread, class_=0.5)
    given = values, labels, pd.Series("g", index=range(60))
    closed = group_means(*given, resample_classes=resample_classes).iloc[0]
    drawn = bootstrap_means(*given, resample_classes=resample_classes, draws=8000).iloc[0]
    found = estimate_mean(values, labels, classes="random" if resample_classes else "fixed")
    low, high = found.interval()
    assert closed[["mean", "low", "high", "se", "df"]].tolist() == pytest.approx(
        [found.mean, low, high, found.se, found.df]
    )
    assert drawn[["low", "high"]].tolist() == pytest.approx([low, high], abs=0.06 * (high - low))


def test_the_bootstrap_resamples_images_itself(rng):
    """Without seeds or t distribution its spread is its own, not the closed form's: the standard error of a skewed mean."""
    values = np.repeat([1.0, 0.0], [16, 784])[None]
    row = bootstrap_means(values, np.zeros(800, int), pd.Series({0: "g"}), resample_classes=False, draws=4000).iloc[0]
    p = values.mean()
    exact = scipy_stats.binom.ppf([0.025, 0.975], 800, p) / 800
    assert (row["low"], row["high"]) == pytest.approx(tuple(exact), abs=0.0013)
    assert row["high"] - p > p - row["low"]


def test_small_groups_borrow_how_classes_vary(rng):
    values, labels = crossed(rng, n_classes=30, class_=1, seed_class=0.1)
    groups = pd.Series(np.arange(30) // 2)
    table = bootstrap_means(values, labels, groups, resample_classes=True)
    assert table["se"].nunique() == 1
    assert table["df"].min() > 10
    own = bootstrap_means(values, labels, pd.Series(0, index=[0, 1]), resample_classes=True).iloc[0]
    assert own["df"] < 2.1
    assert own["mean"] == pytest.approx(table["mean"][0])


def test_groups_follow_the_series_and_leave_out_what_has_no_images(rng):
    values, labels = crossed(rng, n_classes=4)
    groups = pd.Series({9: "none", 3: "b", 0: "a", 1: "b", 2: None})
    table = bootstrap_means(values, labels, groups, resample_classes=False)
    assert list(table["group"]) == ["b", "a"]
    assert list(table["n_classes"]) == [2, 1]
    assert list(table["n_images"]) == [24, 12]
    assert table["mean"].tolist() == pytest.approx(
        [values[:, np.isin(labels, [1, 3])].mean(), values[:, labels == 0].mean()]
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: estimate_mean(np.ones(5), np.ones(5), classes="fixed"), r"\(seeds, images\)"),
        (lambda: estimate_mean(np.ones((2, 5)), np.ones(4), classes="fixed"), r"\(2, 5\) with labels of shape \(4,\)"),
        (lambda: estimate_mean(np.full((2, 5), np.nan), np.ones(5), classes="fixed"), "10 of 10 values are missing"),
        (lambda: estimate_mean(np.ones((2, 5)), np.ones(5), classes="random"), "at least two classes, got 1"),
        (lambda: estimate_mean(np.ones((2, 5)), np.arange(5), classes="fixed"), "class with two images"),
        (lambda: estimate_mean(np.ones((2, 5)), np.arange(5), classes="free"), "accepted: fixed, random"),
        (lambda: estimate_difference(np.ones((2, 5)), np.arange(5), [0, 1], [1, 2]), "class 1 is in both"),
        (lambda: estimate_difference(np.ones((2, 5)), np.arange(5), [0, 1], [2]), "got 2 and 1"),
        (lambda: estimate_correlation(np.ones((2, 5)), np.arange(5), pd.Series([1, 2, 3])), "four classes .* got 3"),
        (lambda: estimate_correlation(np.ones((2, 5)), np.arange(5), pd.Series(range(5))), "all equal"),
        (lambda: group_spread(np.ones((2, 5)), np.arange(5), pd.Series(range(5)), 0.1), "5 groups of 5 classes"),
        (lambda: group_spread(np.ones((2, 5)), np.arange(5), pd.Series([0, 0, 0, 1, 1]), 0), "above 0, got 0"),
        (lambda: design_error(Components(0, 0, 0, 0, 1), 0, 5, 5, classes="fixed"), "0 seeds"),
    ],
)
def test_what_cannot_be_estimated_is_named(call, said):
    with pytest.raises(InputError, match=said):
        call()
