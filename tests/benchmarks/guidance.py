"""How the guidance of a fitted diffusion model changes its images.

`python -m tests.benchmarks.guidance mass_crops_224 OUT --patients '([a-z]+)/(\\d*)\\d\\.jpg' --guidance 2,0,1 5,0.4,1`

OUT is a folder of `generator_quality`, run with the same options, whose `diffusion_1.keras` is read. Each `--guidance`
is a scale and the two times between which it acts; a fourth number is that of the solver's steps. Images are drawn with
another seed than there, and compared with the half of the test images that was the row `real` there, so that a scale
that was chosen there is tested on others here.
`label_auc` depends on no test image but in the row `real`, which has all of them. Seconds are those of two cores.
"""

import time

import keras
import numpy as np
import pandas as pd

from synthkit import pretrained
from synthkit.generators import adapter
from synthkit.imageset import concatenate
from synthkit.statistics import auc
from tests.benchmarks.generator_quality import CORES, DRAWN, load, measure, options

SEED = 12


def main():
    parser = options()
    parser.add_argument("--guidance", nargs="+", default=["1,0,1", "2,0,1", "4,0,1"], metavar="SCALE,FROM,TO[,STEPS]")
    arguments = parser.parse_args()
    train, for_judge, first, second = load(arguments)
    judge = pretrained.frozen.trainer(train.image_shape, len(train.class_names))
    judge.train(for_judge, seed=0)
    real = concatenate([first, second])
    rows = [{"label_auc": auc(real.labels, judge.predict(real.images))}]
    print(f"{len(real)} real test images: {rows[0]}", flush=True)
    model = keras.saving.load_model(arguments.out / "diffusion_1.keras")
    labels = np.repeat(np.arange(len(train.class_names)), DRAWN)
    for text in arguments.guidance:
        scale, first, last, *steps = map(float, text.split(","))
        guided = model.with_guidance(scale, (first, last))
        guided.sampling_steps = int(steps[0]) if steps else model.sampling_steps
        adapter.draw(guided, train.class_names, labels[:2], 0)  # traces it
        began = time.process_time()
        images = adapter.draw(guided, train.class_names, labels, SEED)
        seconds = (time.process_time() - began) / CORES
        row = {"guidance": scale, "first": first, "last": last, "steps": guided.sampling_steps}
        row |= {"sampling_seconds": seconds}
        rows.append(row | measure(judge, train, second, images))
        print(rows[-1], flush=True)
    pd.DataFrame(rows).round(4).to_csv(arguments.out / "guidance.csv", index=False)


if __name__ == "__main__":
    main()
