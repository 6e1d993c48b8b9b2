"""Progress of a study: bars, lines, or calls of a function."""

import sys

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook


class Bars:
    """A progress bar for the study and one for the current trial, or one line per trial where there is no terminal."""

    def __init__(self, trials, finished, progress):
        self.say, progress = (progress, False) if callable(progress) else (None, progress)
        drawable = issubclass(tqdm, tqdm_notebook) or sys.stderr.isatty()
        self.lines = progress and not drawable
        self.trials, self.done = trials, finished
        off = not (progress and drawable)
        self.study = tqdm(total=trials, initial=finished, desc="study", unit="trial", disable=off)
        self.trial = tqdm(unit="step", leave=False, position=1, disable=off)
        if finished and self.lines:
            print(f"{finished} of {trials} trials were finished before", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.trial.close()
        self.study.close()

    def begin(self, arm, seed, steps):
        self.name, self.steps = f"{arm}, seed {seed}", steps

    def stage(self, name):
        self.trial.reset(self.steps)
        self.trial.set_description(f"{self.name}: {name}")
        if self.say:
            self.say(f"trial {self.done + 1} of {self.trials}, {self.name}: {name}")

    def step(self):
        self.trial.update()

    def end(self, row):
        self.done += 1
        self.study.update()
        if self.say:
            self.say(f"{self.done} of {self.trials} trials")
        if self.lines or row["status"] != "done":
            outcome = f"AUC {row['auc']:.3f}, {row['seconds']:.1f} s" if row["status"] == "done" else row["status"]
            name = f"{row['arm']}, seed {row['seed']}"
            tqdm.write(f"[{self.done}/{self.trials}] {name}: {outcome}", file=sys.stderr)
