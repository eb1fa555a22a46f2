"""The explorer in a browser: what it shows is what the labels say."""

from __future__ import annotations

import csv
import io
import os
import re

import numpy as np
import pytest
from shown import contents

from otlabel.explore.near import near
from otlabel.explore.page import write_page
from otlabel.explore.sheet import Part, sheet


@pytest.fixture(params=["folder", "file"])
def where(request, tmp_path):
    return tmp_path / ("page" if request.param == "folder" else "page.html")


def cards(page):
    """Numbers of the clusters, in the order in which they stand."""
    return [int(re.match(r"#(\d+)", text)[1]) for text in page.locator(".card b").all_inner_texts()]


def card(j):
    return f'a.card[href^="#/cluster/{j}?"], a.card[href="#/cluster/{j}"]'


def expected_order(shown, by, head=0):
    labels, k = shown.labels[:, head], shown.k
    sizes = np.bincount(labels, minlength=k)
    if by == "size":
        keys = -sizes
    elif by == "confidence":
        keys = -np.bincount(labels, np.rint(65534 * shown.confidence[:, head]), minlength=k) / sizes
    elif by == "purity":
        keys = -np.array([np.bincount(shown.classes[labels == j]).max() for j in range(k)]) / sizes
    elif by == "similarity":
        return near(shown.centres[head]).order.tolist()
    else:
        keys = np.arange(k)
    return np.argsort(keys, kind="stable").tolist()


def test_clusters_in_every_order_of_every_head(rng, where, visit):
    shown = contents(rng)
    page = visit(write_page(shown, where))
    page.wait_for_selector(".card")
    for head in (0, 1):
        page.select_option("#head", str(head))
        for by in ("size", "confidence", "purity", "similarity", "number"):
            page.select_option("#sort", by)
            expected = expected_order(shown, by, head)
            page.wait_for_function(f"document.querySelector('.card b')?.textContent.startsWith('#{expected[0]}')")
            assert cards(page) == expected, by
    sizes = np.bincount(shown.labels[:, 1], minlength=shown.k)
    facts = page.locator(".card").first.inner_text()
    assert f"{sizes[0]} images" in facts


def test_a_cluster_and_its_images(rng, where, visit):
    shown = contents(rng, n=360)  # 30 a cluster, whatever the seed: only what can be seen is in the page, some 60
    labels, sure = shown.labels[:, 0], shown.confidence[:, 0]
    page = visit(write_page(shown, where))
    page.click(card(7))
    page.wait_for_selector(".item")
    members = np.flatnonzero(labels == 7)
    members = members[np.argsort(-sure[members])]
    page.wait_for_function(f"document.querySelectorAll('.item .name')[{len(members) - 1}]?.textContent")
    assert page.locator(".item .name").all_inner_texts() == [f"{i:06d}.png" for i in members]
    page.get_by_label("Order").select_option("1")
    page.wait_for_function(f"document.querySelector('.item .name')?.textContent === '{members[-1]:06d}.png'")
    counts = np.bincount(shown.classes[members], minlength=5)
    most = shown.class_names[counts.argmax()]
    assert f"{most}: {round(100 * counts.max() / len(members))} %" in page.locator(".panel").inner_text()
    neighbours = page.locator("section", has_text="Nearest clusters").locator("a").all_inner_texts()
    assert neighbours == [f"#{j}" for j in near(shown.centres[0]).nearest[7]]
    # The picture of an item is its own: its colours are its number.
    box = page.locator(".item .thumb").first.bounding_box()
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    middle = pixels[round(box["y"] + box["height"] / 2), round(box["x"] + box["width"] / 2)]
    assert np.abs(middle.astype(int) - [members[-1] % 256, members[-1] // 256, 128]).max() <= 2


def test_the_slider_goes_through_the_relabellings(rng, where, visit):
    shown = contents(rng)
    page = visit(write_page(shown, where))
    page.wait_for_selector(".card")
    assert page.locator("#when").inner_text() == "after 9 epochs"
    page.fill("#history", "1")
    page.wait_for_function("document.getElementById('when').textContent === 'after 1 epochs'")
    page.select_option("#sort", "number")
    (_, before), (_, now), (_, after) = shown.history[:3]
    page.wait_for_function(f"document.querySelector('.card')?.textContent.includes('{(now == 0).sum()} images')")
    page.locator(".card").first.click()
    for heading, other in (("Came from", before), ("Went to", after)):
        counts = np.bincount(other[now == 0], minlength=shown.k)
        first = np.lexsort((np.arange(shown.k), -counts))[0]
        text = page.locator("section", has_text=heading).locator("li").first.inner_text()
        assert text == f"#{first}: {round(100 * counts[first] / (now == 0).sum() + 1e-9)} %"
    page.select_option("#head", "1")
    page.wait_for_function("document.getElementById('history-label').hidden")  # of the first head only


def test_search_by_file_class_and_cluster(rng, where, visit):
    shown = contents(rng, cluster_names={"0/3": "Striped things"})
    page = visit(write_page(shown, where))
    page.wait_for_selector(".card")
    page.fill("#search", "000123")
    page.wait_for_selector("h3:has-text('1 image')")
    page.get_by_role("link", name="class/000123.png").click()
    page.wait_for_selector(".item")
    assert page.locator("h2").inner_text().startswith(f"Cluster {shown.labels[123, 0]}")
    page.wait_for_function("document.activeElement.title === 'class/000123.png'")  # it is shown, and has the focus
    page.fill("#search", "STRIPED")
    page.wait_for_selector("a:has-text('#3 Striped things')")
    page.fill("#search", "eel")
    page.wait_for_selector("h3:has-text('Class eel, in clusters')")
    most = np.bincount(shown.labels[shown.classes == 4, 0], minlength=shown.k).argmax()
    assert page.locator("section", has_text="Class eel").locator("a").first.inner_text().startswith(f"#{most}:")
    page.fill("#search", "nobody is called that")
    page.wait_for_selector("text=Nothing is called that")
    page.fill("#search", "")
    page.wait_for_selector(".card, .item")


def saved(page):
    """The two tables that the page saves."""
    files = []
    page.on("download", lambda file: files.append(file))
    page.click("#save")
    page.wait_for_function("document.getElementById('said').textContent.startsWith('Saved')")
    page.wait_for_timeout(200)
    return {file.suggested_filename: file.path().read_text(encoding="utf-8") for file in files}


def test_names_and_corrections_are_kept_and_saved(rng, where, visit):
    names = [f'i{i}, "quoted" {i}.png' for i in range(300)]
    shown = contents(rng, n=300, names=names)
    path = write_page(shown, where)
    page = visit(path)
    page.goto(f"{path.as_uri()}#/cluster/5")
    page.wait_for_selector(".item")
    page.get_by_label("Name").fill('Cats, "grey"')
    wrong = page.locator(".item").nth(2)
    title = wrong.get_attribute("title")
    wrong.click()
    assert page.locator(".item").nth(2).get_attribute("aria-pressed") == "true"
    page.reload()  # the browser keeps what is not saved yet
    page.wait_for_selector(".item")
    assert page.locator("h2").inner_text() == 'Cluster 5: Cats, "grey"'
    assert page.locator(".item").nth(2).get_attribute("aria-pressed") == "true"
    page.fill("#history", "0")  # what is shown of the past is not what is saved
    tables = saved(page)
    assert list(csv.reader(io.StringIO(tables["names.csv"]))) == [["head", "label", "name"], ["0", "5", 'Cats, "grey"']]
    rows = list(csv.DictReader(io.StringIO(tables["corrected.csv"])))
    assert [row["path"] for row in rows] == names
    assert [int(row["index"]) for row in rows] == list(range(300))
    assert [row["head_1"] for row in rows] == [str(label) for label in shown.labels[:, 1]]
    labels = [
        "" if name == title else str(label) for name, label in zip(names, shown.labels[:, 0].tolist(), strict=True)
    ]
    assert [row["head_0"] for row in rows] == labels
    assert labels.count("") == 1


def test_names_may_hold_anything(rng, where, visit):
    """What a name says is shown, and never done."""
    evil = '<img src=x onerror="document.title=1">.png'
    more = ["</script><script>alert(1)</script>", "<!--", "\u2028\u2029", "'\"`${alert(1)}", os.fsdecode(b"latin\xe9")]
    shown = contents(
        rng, n=300, names=[evil, *more, *map(str, range(294))], title=evil, class_names=[evil, "b", "c", "d", "e"]
    )
    shown.labels[:6] = 0
    shown.cluster_names["0/0"] = evil
    page = visit(write_page(shown, where))
    page.wait_for_selector(".card")
    assert page.title() == evil
    page.click(card(0))
    page.wait_for_selector(".item")
    titles = page.locator(".item").evaluate_all("(all) => all.map((one) => one.title)")
    assert {evil, *more[:4], "latin\\xe9"} <= set(titles)
    page.fill("#search", "<img")
    page.wait_for_selector("h3:has-text('1 image')")
    assert page.locator("img").count() == 0
    assert page.locator("h2").inner_text() == "What is called “<img”"


def test_keys_are_enough(rng, visit, tmp_path):
    shown = contents(rng, k=60)
    page = visit(write_page(shown, tmp_path / "page"))
    page.wait_for_selector(".card")
    page.select_option("#sort", "number")
    page.locator(".card").first.focus()
    focused = "document.activeElement.querySelector('b')?.textContent.trim()"
    for key, expected in (
        ("ArrowRight", "#1"),
        ("ArrowRight", "#2"),
        ("ArrowLeft", "#1"),
        ("End", "#59"),
        ("Home", "#0"),
    ):
        page.keyboard.press(key)
        page.wait_for_function(f"{focused} === '{expected}'")
    page.keyboard.press("ArrowDown")
    columns = int(page.evaluate(focused).removeprefix("#"))
    assert columns > 1
    page.keyboard.press("Enter")
    page.wait_for_selector(".item")
    assert page.locator("h2").inner_text() == f"Cluster {columns}"
    page.locator(".item").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator(".item").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement === document.querySelectorAll('.item')[1]")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("images", [True, False])
def test_nobody_is_shut_out(rng, visit, violations, tmp_path, images, dark):
    path = write_page(contents(rng, images=images), tmp_path / "page.html")  # axe-core reads style sheets beside a page
    page = visit(path, dark=dark)
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert violations(page) == []
    page.locator(".card").first.click()
    page.wait_for_selector(".item .name:not(:empty)")
    page.locator(".item").first.click()
    assert violations(page) == []
    page.fill("#search", "0001")
    page.wait_for_selector("h3")
    assert violations(page) == []
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == ("light" if dark else "dark")
    assert violations(page) == []


def test_on_a_phone_nothing_runs_out_of_the_page(rng, visit, tmp_path):
    page = visit(write_page(contents(rng), tmp_path / "page"), width=360, height=700)
    page.wait_for_selector(".card")
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "document.getElementById('main').scrollWidth <= document.getElementById('main').clientWidth"
        )
        page.locator(".card, .item").first.click()
        page.wait_for_selector(".item")


def test_a_hundred_thousand_images(rng, visit, tmp_path):
    """What is in the page is what can be seen, and what is read is what it needs."""
    page = visit(write_page(contents(rng, n=100_000, k=3_000), tmp_path / "page"))
    page.wait_for_selector(".card")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 2_000, "milliseconds; 0.1 s where this was written"
    for _ in range(12):
        assert page.locator(".cell").count() < 120
        page.evaluate("document.getElementById('main').scrollTop += 20000")
        page.wait_for_timeout(30)
    read = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert not [name for name in read if "names-" in name]
    page.fill("#search", "099999")
    page.wait_for_selector("h3:has-text('1 image')")
    page.get_by_role("link", name="class/099999.png").click()
    page.wait_for_function("document.activeElement.title === 'class/099999.png'")


def test_a_part_that_is_missing_is_named(rng, browser, tmp_path):
    path = write_page(contents(rng), tmp_path / "page")
    (tmp_path / "page" / "data" / "labels-0.js").unlink()
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("text=data/labels-0.js is not there: copy the whole folder")
    page.close()


def test_nothing_else_is_replaced(rng, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no page of an explorer"):
        write_page(contents(rng), tmp_path / "mine")
    for _ in range(2):  # a page is
        write_page(contents(rng), tmp_path / "page")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "page"]
    with pytest.raises(ZeroDivisionError):
        write_page(contents(rng), tmp_path / "other", tick=lambda items: 1 / 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "page"]


def test_a_page_of_pictures_shuts_nobody_out(visit, violations, tmp_path):
    rows = [("name", "value"), ("sizes", "12"), ("labels", "a, b")]
    picture = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (400, 300)).save(picture, "png")
    text = sheet("a run", [Part("Loss", "It falls.", picture.getvalue(), "the loss"), Part("Facts", rows=rows)])
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    for dark in (False, True):
        page = visit(tmp_path / "report.html", width=360, dark=dark)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_address_says_all(rng, visit, tmp_path):
    """Back, forward and reload show what was shown: head, order, time, search, place."""
    shown = contents(rng, k=60)
    page = visit(write_page(shown, tmp_path / "page"))
    page.wait_for_selector(".card")
    page.select_option("#sort", "confidence")
    page.select_option("#head", "1")
    page.wait_for_function("location.hash.includes('head=1')")
    page.evaluate("document.getElementById('main').scrollTop = 700")
    page.wait_for_timeout(100)
    order = expected_order(shown, "confidence", 1)
    page.click(card(order[21]))
    page.wait_for_selector(".item")
    page.reload()
    page.wait_for_selector(".item")
    assert page.locator("h2").inner_text() == f"Cluster {order[21]}"
    assert page.locator("#head").input_value() == "1"
    page.go_back()
    page.wait_for_function(f"document.activeElement.matches('{card(order[21])}')")  # where one came from
    assert page.locator("#sort").input_value() == "confidence"
    page.fill("#search", "000007")
    page.get_by_role("link", name="class/000007.png").click()
    page.wait_for_selector(".item")
    page.go_back()
    page.wait_for_selector("h3:has-text('1 image')")
    assert page.locator("#search").input_value() == "000007"
    page.get_by_role("link", name="All clusters").click()
    page.wait_for_selector(".card")
    for odd in ("#/%", "#/cluster/1.5", "#/cluster/999", "#/cluster/2?head=9&time=x&sort=none", "#nonsense"):
        page.goto(f"{page.url.split('#')[0]}{odd}")
        page.wait_for_selector(".card, .item")


def test_tools_keep_the_focus_and_the_order(rng, visit, tmp_path):
    page = visit(write_page(contents(rng), tmp_path / "page"))
    page.wait_for_selector(".card")
    page.select_option("#sort", "confidence")
    page.focus("#history")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.getElementById('when').textContent === 'after 2 epochs'")
    assert page.locator("#sort").input_value() == "size"  # of then there is no confidence
    assert page.evaluate("document.activeElement.id") == "history"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('sort').value === 'confidence'")
    page.focus("#head")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("location.hash.includes('head=1')")
    page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.id") == "head"
    page.click(".card >> nth=0")
    page.focus("#order")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    assert page.locator("#order").input_value() == "1"
    assert page.evaluate("document.activeElement.id") == "order"


def test_the_past_is_looked_at_only(rng, visit, tmp_path):
    """A mark there would be of today's label, which is another."""
    page = visit(write_page(contents(rng), tmp_path / "page"))
    page.wait_for_selector(".card")
    page.fill("#history", "0")
    page.wait_for_function("document.getElementById('when').textContent === 'after 0 epochs'")
    page.locator(".card").first.click()
    page.wait_for_selector(".item")
    page.locator(".item").first.click(force=True)  # it says that it cannot be pressed
    assert page.locator(".item").first.get_attribute("aria-pressed") == "false"
    assert page.get_by_label("Name").is_disabled()


def test_two_windows_keep_what_each_of_them_adds(rng, browser, tmp_path):
    path = write_page(contents(rng, cluster_names={"0/4": "given"}), tmp_path / "page")
    context = browser.new_context()
    one, two = context.new_page(), context.new_page()
    for page, number, name in ((one, 2, "two"), (two, 1, "one"), (one, 4, "")):
        page.goto(f"{path.as_uri()}#/cluster/{number}")
        page.wait_for_selector(".item")
        page.get_by_label("Name").fill(name)
    for page in (one, two):
        page.goto(f"{path.as_uri()}#/")
        page.reload()
        page.wait_for_selector(".card")
        page.select_option("#sort", "number")
        titles = page.locator(".card b").all_inner_texts()
        assert titles[1:5] == ["#1 one", "#2 two", "#3", "#4"]  # the name that was given is gone for good
    context.close()


def test_items_without_a_label_have_none_in_the_tables(rng, visit, tmp_path):
    shown = contents(rng, n=100, k=6, heads=1, times=0, no_label=5, values=[["x", "y,z", "7", "12", "w"]])
    page = visit(write_page(shown, tmp_path / "page"))
    page.wait_for_selector(".card")
    assert "5 clusters" in page.locator("#facts").inner_text()
    assert cards(page)[-1] == 5
    tables = saved(page)
    labels = [row["label"] for row in csv.DictReader(io.StringIO(tables["corrected.csv"]))]
    assert labels == [["x", "y,z", "7", "12", "w", ""][label] for label in shown.labels[:, 0]]


def test_little_room_is_shared(rng, visit, tmp_path):
    page = visit(write_page(contents(rng), tmp_path / "page"), width=320, height=256)
    page.wait_for_selector(".card")
    assert page.locator("main").evaluate("(main) => main.clientHeight") > 140
