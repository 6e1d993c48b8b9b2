"""Results → one HTML page that needs no network and no other file."""

from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np

from synthkit import catalogue, plots
from synthkit._files import replacing
from synthkit.report import answers, clinical, data, figures, methods
from synthkit.statistics import sentences
from synthkit.statistics.verdicts import GAP, TESTED, VERDICTS

HIDDEN = (
    "versions",
    "arms",
    "near_duplicates",
    "near_duplicates_above",
    "protocol",
    "about",
)  # settings shown elsewhere


def write(results, path, summary=None, margin=None):
    """Writes the report page.

    Args:
        results: study.Results.
        path: of the HTML file. The picture `near_duplicates.png` in the same folder, if there is one, is put on the
            page.
        summary: DataFrame of `results.summary()`; None computes it.
        margin: the margin of that summary: a difference smaller than this is too small to matter; None for the
            protocol's.

    Returns:
        pathlib.Path, the path.
    """
    margin = results.protocol["margin"] if margin is None else margin
    summary = results.summary(margin=margin) if summary is None else summary
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    with plt.rc_context(figures.STYLE):
        content = {
            **_verdicts(results, summary, margin),
            **_images(results, summary, Path(path).parent),
            **_patients(results),
            **_settings(results),
        }
    page = environment.get_template("page.html.jinja").render(content)
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")
    return Path(path)


def _verdicts(results, summary, margin):
    """Returns what the page needs for the answer, and for the tables and figures of verdicts."""
    baseline, main = answers.baseline_of(summary), sentences.main_metric(summary)
    second = "sensitivity" if results.thresholds else "balanced_accuracy"
    second = "auc" if main == second else second
    over, rescored = answers.over_augmentation(results, baseline, margin), results.without_near_duplicates()
    later = results.with_later_seeds()
    return {
        "rows": summary.to_dict("records"),
        "tested": lambda row: row["verdict"] in TESTED,
        "chances": [row for row in _of_main(summary) if row["verdict"] in VERDICTS and row["p_gain"] == row["p_gain"]],
        "baseline": baseline,
        "answers": answers.answers(summary, over, margin, answers.assumption(results)),
        "scope": answers.scope(results, baseline),
        "primary": results.protocol["primary"],
        "augmentation": sentences.augmentation(summary),
        "words": sentences.words(summary, margin),
        "first": [_unbroken(sentence) for sentence in answers.first(summary, baseline)],
        "sentences": [
            _unbroken(sentences.sentence(row, margin)) for row in sentences.main_rows(summary).to_dict("records")
        ],
        "notes": [_unbroken(sentence) for sentence in answers.remarks(results, summary, margin)],
        "protocol": answers.protocol(results),
        "over": _of_main(over),
        "included": [] if over is None else [arm for arm in results.scores if arm.endswith(" augmented")],
        "alone": [arm for arm in results.scores if arm != "augmentation" and not arm.endswith(" augmented")],
        "near_duplicates": answers.near_duplicates(results, rescored),
        "others": _of_main(rescored and rescored.summary(margin, baseline)),
        "later": _of_main(later and later.summary(margin, baseline)),
        "later_title": answers.LATER.format(seeds=len(later.all_seeds) if later else 0),
        "main": main,
        "second": second,
        "further": [metric for metric in summary["metric"].unique() if metric not in (main, second, GAP)],
        "overfitting": summary[summary["metric"] == GAP].to_dict("records"),
        "overfits": answers.training_aucs(results),
        "operating_point": answers.operating_point(results, summary),
        "metric_name": sentences.metric_name,
        "label": sentences.label,
        "margin": margin,
        "forests": [found for metric in (main, second) if (found := figures.forest(summary, metric, margin))],
        "forest_over": None if over is None else figures.forest(over, main, margin),
    }


def _of_main(summary):
    return [] if summary is None else sentences.main_rows(summary).to_dict("records")


def _images(results, summary, folder):
    """Returns what the page needs for the section about the images."""
    return {
        "class_names": results.settings["class_names"],
        "flow": data.flow(results),
        "facts": data.facts(results),
        "samples": figures.samples(results),
        "glance": _glance(results, summary),
        "copies": [
            {"text": text, "pairs": figures.pairs(results.pairs[arm])} for arm, text in answers.copies(results).items()
        ],
        "pairs": figures.file(folder / "near_duplicates.png") if results.settings.get("near_duplicates") else None,
        "arms": data.arms(results),
        "generators": data.generators(results),
    }


def _glance(results, summary):
    """Returns the arms whose images are shown beside the answer: the real ones, and those of the main comparison, or of
    the best generator.

    Images without augmentation show more of a generator, if there is such an arm.
    """
    others = {*catalogue.CONTROLS, *catalogue.RIVALS, *catalogue.AUGMENTATIONS}
    rows = sentences.main_rows(summary).sort_values("difference", ascending=False)
    synthetic = [arm for arm in rows["arm"] if arm.split(" ")[0] not in others]
    synthetic.sort(key=lambda arm: arm.endswith(" augmented"))
    main = [arm for arm in rows["arm"] if arm == results.protocol["primary"] and arm in results.samples]
    real = "real" if "real" in results.samples else results.protocol["baseline"]
    shown = [arm for arm in dict.fromkeys((real, *(main or synthetic)[:1])) if arm in results.samples]
    return [arm for arm in shown if not catalogue.makes_features(arm)]


def _patients(results):
    """Returns what the page needs for the sections about how good the classifier is for patients."""
    positive = results.positive
    positive = len(results.settings["class_names"]) - 1 if positive is None else positive
    table = clinical.at_operating_point(results)
    groups, small = clinical.subgroups(results)
    return {
        "positive": results.settings["class_names"][positive],
        "clinical": table,
        "reliability": clinical.reliability(results) if table else [],
        "decision_curves": clinical.decision_curves(results, table["prevalence"], table["at"]) if table else [],
        "recalls": clinical.recalls(results),
        "group_column": results.settings.get("about", {}).get("group_column") or "group",
        "groups": groups,
        "small_groups": small,
        "roc": figures.per_arm(results, figures.curves(plots.roc, results, positive)),
        "precision_recall": figures.per_arm(results, figures.curves(plots.precision_recall, results, positive)),
        "confusion": figures.per_arm(results, figures.confusion(results), tight=True),
        "histories": figures.histories(results) if results.trials["steps"].gt(0).any() else None,
        "grey": results.protocol["baseline"],
    }


def _settings(results):
    """Returns what the page needs to say how the study was made."""
    trials, settings = results.trials, results.settings
    done, failed = trials[trials["status"] == "done"], trials[trials["status"] != "done"]
    facts = methods.known(results)
    hidden = {*HIDDEN, *(() if results.thresholds else ("operating_point",))}  # of more than two classes there is none
    return {
        "settings": {key: value for key, value in settings.items() if key not in hidden},
        "about": settings.get("about", {}),
        "versions": settings.get("versions", {}),
        "methods": methods.paragraphs(facts),
        "checklists": methods.checklists(facts),
        "finished": len(results.scores),
        "seeds": results.all_seeds,
        "trials": trials.to_dict("records"),
        "failed": failed.to_dict("records"),
        "steps": f"{done['steps'].max():.0f}" if len(done) else settings.get("steps"),  # of done trials, if any
        "minutes": trials["seconds"].sum() / 60,
        "images": len(results.labels),
        "patients": len(np.unique(results.patients)),
        "units": answers.units(results),
        "unknown_patients": answers.unknown_patients(results),
        "written": results.protocol["written"],
    }


def _unbroken(sentence):
    """Returns a sentence in which no line ends between a number and its percent sign."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")
