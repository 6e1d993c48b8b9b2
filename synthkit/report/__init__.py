"""Results → text for the terminal, and one HTML page that needs no network and no other file.

- `terminal`: the text, and its `table`; `page`: the page, from `page.html.jinja` and the templates that it includes.
- `answers`: the sentences that both say.
- `figures`: the pictures on the page.
- `data`, `clinical`, `methods`: the page's sections about the images, about patients, and for a paper.
"""

from synthkit.report.answers import over_augmentation, undertrained
from synthkit.report.page import write
from synthkit.report.terminal import table, text

__all__ = ["over_augmentation", "table", "text", "undertrained", "write"]
