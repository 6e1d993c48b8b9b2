"""The page's text for a paper's methods section, and two reporting checklists with what the study knows filled in."""

import csv
from pathlib import Path

import jinja2
import numpy as np

from synthkit.report import answers, data
from synthkit.statistics import sentences
from synthkit.statistics.verdicts import patients_needed

FOLDER = Path(__file__).parent
TEXTS = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), trim_blocks=True, lstrip_blocks=True)  # not HTML


def known(results):
    """Returns what is known about a study, as a dict, for `methods.txt.jinja` and the checklists."""
    settings, about = results.settings, results.settings.get("about", {})
    plan, labels = results.protocol, results.labels
    totals = {row["name"].removesuffix(" set"): row["counts"][-1] for row in data.flow(results)}
    names = settings["class_names"]
    return {
        "settings": settings,
        "about": about,
        "totals": totals,
        "facts": data.facts(results),
        "split": data.split(results),
        "classes": " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0],
        "arms": data.arms(results),
        "generators": data.generators(results),
        "seeds": plan["seeds"],
        "protocol": plan,
        "unknown": answers.patients_unknown(results),
        "units": answers.units(results),
        "counted_alone": answers.counted_alone(results),
        "second_family": "augmentation" in results.scores and plan["baseline"] != "augmentation",
        "enough": round(patients_needed(0, plan["margin"])),
        "metric": sentences.metric_name(plan["metric"]),
        "operating_point": answers.operating_point(results),
        "thresholds": results.thresholds is not None,
        "validation": results.validation is not None,
        "images": len(labels),
        "patients": len(np.unique(results.patients)),
        "steps": results.trials["steps"].max() if len(results.trials) else None,
        "versions": ", ".join(f"{name} {version}" for name, version in settings.get("versions", {}).items()),
        "groups": about.get("group_column"),
    }


def paragraphs(facts):
    """Returns the text for a methods section, as a list of paragraphs; `facts` as `known` returns them."""
    text = TEXTS.get_template("methods.txt.jinja").render(facts)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def checklists(facts):
    """Returns the reporting checklists, their items with what the study knows.

    CLAIM: Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology:
    Artificial Intelligence 6, 2024. TRIPOD+AI: Collins et al., BMJ 385, 2024. Items are paraphrased.

    Args:
        facts: dict of `known`.

    Returns:
        dict from a checklist's name to a list of dict: `item` (its number), `topic`, `text` ("" where the author has to
        say it).
    """
    lists = {}
    with open(FOLDER / "checklists.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            text = " ".join(TEXTS.from_string(row["text"]).render(facts).split())
            lists.setdefault(row["checklist"], []).append({**row, "text": text})
    return lists
