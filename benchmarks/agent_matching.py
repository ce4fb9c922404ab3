"""Whether SourcingAgent recognises goods by title as suppliers write it, on the catalogue that ships, size by size.

Titles are asked for reordered, with words left out and others added, or misspelt; the disturbances are ours, twenty of
each title, and the intervals take them for independent. Precision is that of claims above the threshold at which a
person is asked "is it this?": a title alone never passes for sure. The same is asked with the article taken off the
shelf, where its siblings of other sizes are left to be mistaken for it.
"""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

import flipsync
from benchmarks.intervals import wilson
from benchmarks.measuring import Report
from flipsync.services.adoption import DOUBTFUL
from flipsync.services.sourcing.identity import Article, Articles

_CATALOGUE = Path(flipsync.__file__).parent / "catalogues" / "default.csv"
_STYLES = ("reordered", "one word left out", "two left out, three added", "misspelt")
_NOISE = ("NEW", "wholesale", "lot", "boxed", "2026", "genuine")


def shelf() -> list[Article]:
    with _CATALOGUE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    titles: dict[str, str] = {}
    for row in rows:
        titles.setdefault(row["handle"], row["title"])
    return [
        Article(row["sku"], " / ".join(filter(None, (titles[row["handle"]], row["size"], row["colour"]))))
        for row in rows
    ]


def disturbed(title: str, style: str, rng: Random) -> str:
    words = title.replace("/", " ").split()
    rng.shuffle(words)
    if style == "misspelt":
        longest = max(range(len(words)), key=lambda place: len(words[place]))
        gone = rng.randrange(len(words[longest]))
        words[longest] = words[longest][:gone] + words[longest][gone + 1 :]
    for _ in range({"one word left out": 1, "two left out, three added": 2}.get(style, 0)):
        words = words[:-1] if len(words) > 2 else words
    return " ".join([*words, *(rng.sample(_NOISE, 3) if style.startswith("two") else [])])


def run(report: Report, *, quick: bool) -> None:
    articles = shelf()
    known, times = Articles(articles), 2 if quick else 20
    without = {each.key: Articles(x for x in articles if x.key != each.key) for each in articles}
    result = {}
    for style in _STYLES:
        rng = Random(f"{style} 7")
        right, mistaken = [], 0
        for article in articles:
            for _ in range(times):
                asked = disturbed(article.title, style, rng)
                found = known.identify(None, asked)
                if found.confidence > DOUBTFUL and found.article is not None:
                    right.append(found.article.title == article.title)
                mistaken += without[article.key].identify(None, asked).confidence > DOUBTFUL
        of = len(articles) * times
        precision, recall, wrong = wilson(sum(right), len(right)), wilson(sum(right), of), wilson(mistaken, of)
        result[style] = {"precision": precision, "recall": recall, "claimed when it is not there": wrong}
        report.row(
            f"sourcing: titles {style}",
            f"precision {precision['share']:.3f} [{precision['low']:.3f}, {precision['high']:.3f}]",
            f"recall {recall['share']:.3f}; a sibling is claimed of {wrong['share']:.3f} that are not there",
        )
    report.result["matching"] = {"threshold": DOUBTFUL, **result}
