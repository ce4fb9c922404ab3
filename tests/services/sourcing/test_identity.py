"""Which article is meant: on the goods of a real catalogue file, asked for as suppliers write."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

import flipsync
from flipsync.services.adoption import DOUBTFUL, SURE
from flipsync.services.sourcing.identity import Article, Articles

CATALOGUE = Path(flipsync.__file__).parent / "catalogues" / "default.csv"


def goods() -> list[Article]:
    with CATALOGUE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    titles: dict[str, str] = {}
    for row in rows:
        titles.setdefault(row["handle"], row["title"])
    return [
        Article(
            row["sku"],
            " / ".join(filter(None, (titles[row["handle"]], row["size"], row["colour"]))),
            (row["barcode"].zfill(14),) if row["barcode"] else (),
        )
        for row in rows
    ]


def test_every_barcode_finds_its_goods_and_a_strangers_none() -> None:
    known = Articles(goods())
    coded = [article for article in goods() if article.codes]
    assert len(coded) > 20
    for article in coded:
        found = known.identify(article.codes[0], "")
        assert found.article == article and found.confidence >= SURE
    assert known.identify("00036000291452", coded[0].title).article is None, "a code of others rules a title out"


def test_titles_as_suppliers_write_them_are_asked_about_and_seldom_wrong() -> None:
    """Words in another order, one left out, some added: what is claimed at all is right nine times in ten at least."""
    shelf = goods()
    known, rng = Articles([Article(each.key, each.title) for each in shelf]), Random(5)
    claimed = right = asked = 0
    for article in shelf:
        for _ in range(10):
            words = article.title.replace("/", " ").split()
            rng.shuffle(words)
            if len(words) > 3:
                words.pop()
            words += rng.sample(["NEW", "wholesale", "lot", "boxed"], 1)
            found = known.identify(None, " ".join(words))
            asked += 1
            claimed += found.confidence > DOUBTFUL
            right += found.confidence > DOUBTFUL and found.article is not None and found.article.key == article.key
            assert found.confidence < SURE, "a title alone never settles it"
    assert right / claimed >= 0.9
    assert claimed / asked >= 0.3


def test_the_same_code_under_another_title_is_doubted() -> None:
    lamp = Article("1", "Desk lamp brass", ("04006381333931",))
    known = Articles([lamp, Article("2", "Garden hose green")])
    assert known.identify("04006381333931", "brass desk lamp").confidence >= SURE
    assert known.identify("04006381333931", "Garden hose 20 m").confidence <= DOUBTFUL
    twice = Articles([lamp, Article("3", "Desk lamp steel", lamp.codes)])
    assert twice.identify("04006381333931", "").confidence <= DOUBTFUL
