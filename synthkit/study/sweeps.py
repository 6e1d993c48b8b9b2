"""Sweeps: studies of the ratio of synthetic to real images, and of the number of real images."""

import pandas as pd

from synthkit.study.arms import Arm

RATIOS = (0.5, 1.0, 2.0, 5.0, 10.0)
REAL_SHARES = (0.25, 0.5, 1.0)


def arms(name, synthesizer, ratios=RATIOS, real_shares=REAL_SHARES):
    """Makes the arms of a sweep: for every fraction of the real images, a baseline and an arm for every ratio.

    Args:
        name: name of the synthetic images.
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`; it gets the same fraction of the real images
            as the classifier.
        ratios: ratios of synthetic to real images.
        real_shares: fractions of the real training images.

    Returns:
        list of study.Arm, for `study.run`.
    """
    result = []
    for fraction in real_shares:
        on = "" if fraction == 1 else f" on {fraction:.0%}"
        result.append(Arm(f"real{on}", real_share=fraction))
        result += [Arm(f"{name} ×{ratio:g}{on}", synthesizer, ratio, real_share=fraction) for ratio in ratios]
    return result


def table(results):
    """Compares every arm of a sweep with the baseline that had the same real images.

    Args:
        results: study.Results of a study of `arms`.

    Returns:
        pandas.DataFrame: the columns of `statistics.summarize`, and `ratio` (0 for a baseline) and `real_share`. Holm's
        correction is over the arms with the same fraction of the real images.
    """
    settings = results.settings["arms"]
    fractions = {arm: settings[arm].get("real_share", 1.0) for arm in results.scores}
    summaries = []
    for fraction in sorted(set(fractions.values())):
        group = [arm for arm in fractions if fractions[arm] == fraction]
        baseline = "real" if fraction == 1 else f"real on {fraction:.0%}"
        summary = results.summary(baseline=baseline, arms=group)
        ratios = [0.0 if arm == baseline else settings[arm]["ratio"] for arm in summary["arm"]]
        summaries.append(summary.assign(ratio=ratios, real_share=fraction))
    return pd.concat(summaries, ignore_index=True)
