"""Studies of how much: synthetic images a real one, and how many real ones there are."""

import pandas as pd

from synthkit.study.arms import Arm

RATIOS = (0.5, 1.0, 2.0, 5.0, 10.0)
REAL_SHARES = (0.25, 0.5, 1.0)


def arms(name, synthesizer, ratios=RATIOS, real_shares=REAL_SHARES):
    """Makes the arms of a sweep: for every share of the real images a baseline of its own and every ratio.

    Args:
        name: what to call the synthetic images.
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`; it sees the same share of the real images
            as the classifier.
        ratios: synthetic images a real one.
        real_shares: of the real training images.

    Returns:
        list of study.Arm, for `study.run`.
    """
    found = []
    for share in real_shares:
        on = "" if share == 1 else f" on {share:.0%}"
        found.append(Arm(f"real{on}", real_share=share))
        found += [Arm(f"{name} ×{ratio:g}{on}", synthesizer, ratio, real_share=share) for ratio in ratios]
    return found


def table(results, draws=2000):
    """Compares every arm of a sweep with the baseline that had the same real images.

    Args:
        results: `results.Results` of a study of `arms`.
        draws: bootstrap samples of the patients.

    Returns:
        pandas.DataFrame: `statistics.summarize`'s columns with `ratio` (0 for a baseline) and `real_share`. Holm's
        correction runs over the arms of one share.
    """
    how = results.settings["arms"]
    shares = {arm: how[arm].get("real_share", 1.0) for arm in results.scores}
    parts = []
    for share in sorted(set(shares.values())):
        group = [arm for arm in shares if shares[arm] == share]
        baseline = "real" if share == 1 else f"real on {share:.0%}"
        part = results.summary(draws, baseline=baseline, arms=group)
        ratios = [0.0 if arm == baseline else how[arm]["ratio"] for arm in part["arm"]]
        parts.append(part.assign(ratio=ratios, real_share=share))
    return pd.concat(parts, ignore_index=True)
