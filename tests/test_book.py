"""The book as a reader meets it: every page opened in a real browser, on a desk and on a phone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np
import pandas
import pytest
import reader_checks
import small_entries
from matplotlib.colors import to_rgba
from openqueues import book, registry, runner
from openqueues.entry import Experiment, Metric
from openqueues.models.errors import InputError
from openqueues.pages import figures, markdown, style, unstable
from test_keeping import cut, flip

ROOT = Path(__file__).parents[1]
WIDTHS = (1400, 390)  # pixels: a desk, a phone
LARGEST = 1_000_000  # bytes of a page without its figures


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A book of two made-up entries: (its folder, the folder of the tier's results)."""
    folder = tmp_path_factory.mktemp("book")
    small_entries.write(folder / "problems")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENQUEUES_PROBLEMS", str(folder / "problems"))
        patch.chdir(ROOT)
        for entry in registry.entries():
            for experiment in entry.experiments:
                for policy in entry.policies_of(experiment):
                    runner.run_cell(entry, experiment, policy, "smoke", folder / "results")
            book.pages(entry, "smoke", folder / "results")
        book.build(folder / "results" / "smoke", Path("book"), registry.entries())
    return folder / "results" / "smoke" / "book", folder / "results" / "smoke"


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's package chromium to have the pages opened")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def faults(browser, folder: Path, width: int) -> list[str]:
    """What is wrong with the pages below `folder`, a line each: console errors, requests to other hosts,
    failed loads, dead links, missing anchors, empty images, formulas not set, pages wider than the window or heavier
    than LARGEST, and what reader_checks finds: on a phone of sizes, on a desk of structure and contrast."""
    found = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(120_000)  # a busy machine
    name = ""
    page.on("console", lambda said: said.type in ("error", "warning") and found.append(f"{name}: {said.text}"))
    page.on("pageerror", lambda error: found.append(f"{name}: {error}"))
    page.on(
        "request",
        lambda asked: (
            asked.url.startswith(("file:", "data:", "blob:")) or found.append(f"{name}: asks for {asked.url}")
        ),
    )
    page.on("requestfailed", lambda asked: found.append(f"{name}: cannot load {asked.url}"))
    anchors: dict[Path, set[str]] = {}
    links: list[tuple[str, str]] = []
    for file in sorted(folder.rglob("*.html")):
        name = file.relative_to(folder).as_posix()
        if name == "print.html" and width < 600:
            continue  # all pages in one, for paper
        page.goto(file.as_uri(), wait_until="load")
        if page.locator(".math").count():
            page.wait_for_function("document.querySelectorAll('mjx-container').length > 0", timeout=10_000)
        anchors[file.resolve()] = set(page.eval_on_selector_all("[id]", "all => all.map(one => one.id)"))
        links += [(name, link) for link in page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")]
        for image in page.eval_on_selector_all(
            "img", "all => all.filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"
        ):
            found.append(f"{name}: the image {image} is empty")
        if page.locator("mjx-merror").count():
            found.append(f"{name}: a formula cannot be set")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{name}: wider than {width} pixels")
        if name == "print.html":
            continue
        if file.stat().st_size > LARGEST:
            found.append(f"{name}: {file.stat().st_size} bytes, more than {LARGEST}")
        said = reader_checks.touch(page) if width < 600 else reader_checks.contrast(page)
        if width >= 600 and name != "search.html":  # which has no text of its own
            said += reader_checks.structure(page)
        found += [f"{name}: {one}" for one in said]
    page.close()
    for name, link in sorted(set(links)):
        parts = urlsplit(link)
        if parts.scheme != "file":
            continue
        target = Path(unquote(parts.path)).resolve()
        if not target.exists():
            found.append(f"{name}: dead link {link}")
        elif parts.fragment and unquote(parts.fragment) not in anchors.get(target, {unquote(parts.fragment)}):
            found.append(f"{name}: no such place {link}")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_sound(browser, made, width):
    assert faults(browser, made[0], width) == []


@pytest.mark.skipif("OPENQUEUES_BOOK" not in os.environ, reason="OPENQUEUES_BOOK names no built book")
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_of_the_given_book_is_sound(browser, width):
    folder = Path(os.environ["OPENQUEUES_BOOK"])
    assert (folder / "index.html").is_file()
    assert faults(browser, folder, width) == []


def test_faults_are_found(browser, made, tmp_path):
    """The check itself can fail: a copy of the book is spoilt in each way that it looks for."""
    shutil.copytree(made[0], tmp_path / "book")
    file = tmp_path / "book" / "reading.html"
    spoilt = (
        "<img src='none.svg'><a href='gone.html'>gone</a><a href='paper.html#nowhere'>nowhere</a>"
        "<script>undefinedFunction()</script><script src='https://example.org/a.js'></script>"
        "<div style='width: 3000px'>wide</div><p style='color: #999; background: #aaa'>pale</p><h5>deep</h5>"
        "<figure>alone</figure><button style='width: 9px'></button><p style='font-size: 9px'>tiny</p>"
        f"<p>openqueues –help</p></article><!-- {'heavy' * 200_000} -->"
    )
    text = file.read_text().replace("</article>", spoilt).replace('name="description"', "")
    file.write_text(text)
    said = "\n".join(faults(browser, tmp_path / "book", 1400))
    for fault in (
        "none.svg is empty",
        "dead link",
        "no such place",
        "undefinedFunction",
        "asks for https",
        "wider",
        "more than 1000000",
        "light: p. 'pale' has contrast",
        "dark: p. 'pale' has contrast",
        "'deep' skips a level",
        "no words for the image",
        "no words in <button",
        "no data beside the figure 'alone'",
        "has no description",
        "'–help'",
    ):
        assert fault in said
    said = "\n".join(faults(browser, tmp_path / "book", 390))
    assert "'tiny' is 9 pixels" in said and "pixels to tap" in said


def test_figures_and_data_are_there(browser, made):
    page = browser.new_page()
    page.goto((made[0] / "entries" / "made-up-question" / "index.html").as_uri())
    drawn = page.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert len(drawn) == 5  # two experiments, two metrics, and the printed ranges
    assert page.locator("a.download").count() == 7  # and all verdicts, and what is to be cited
    page.goto((made[0] / "entries" / "made-up-tables" / "index.html").as_uri())
    shown = page.locator("td .differs, td .agrees, td .unclear")
    texts = shown.all_inner_texts()
    assert any("4.5000" in text and "✗" in text for text in texts)
    assert any("10.0000" in text and "✓" in text for text in texts)
    page.close()


def test_the_landing_page_shows_every_question(browser, made):
    """A tile for each question: those with an entry lead there and say how far it is."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((made[0] / "index.html").as_uri())
    assert page.locator(".tiles .tile").count() == len(registry.questions())
    linked = page.eval_on_selector_all(".tiles a.tile", "all => all.map(one => [one.innerText, one.title, one.href])")
    assert [text.split()[0] for text, _, _ in linked] == ["2.1-a", "2.2-c"]
    text, title, href = linked[0]
    assert "◐" in text and text.split()[-1].endswith("%") and "Best so far: SPRPT: " in title
    assert href.endswith("entries/made-up-question/index.html")
    inside = page.eval_on_selector_all(
        ".tiles .tile", "all => all.every(one => one.scrollWidth <= one.clientWidth + 1)"
    )
    assert inside
    assert "Of 13 printed values" in page.inner_text("article")
    page.close()


def test_search_works_without_a_network(browser, made):
    page = browser.new_page()
    page.goto((made[0] / "search.html").as_uri() + "?q=grow+with+the+load")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    assert any("entries/made-up-" in one for one in page.eval_on_selector_all(
        "#search-results li a", "all => all.map(one => one.href)"
    ))  # fmt: skip
    page.close()


def test_the_whole_book_prints(browser, made):
    """One page holds every page once, in the order of the contents, with the first metric of each experiment."""
    page = browser.new_page()
    page.goto((made[0] / "print.html").as_uri())
    page.wait_for_function("document.querySelectorAll('mjx-container').length > 0", timeout=10_000)
    shown = page.eval_on_selector_all("section.page", "all => all.map(one => one.id)")
    tables, question = "entries-made-up-tables-index", "entries-made-up-question-index"
    assert shown[:6] == ["index", "reading", "paper", tables, question, "coverage"]
    assert shown[6:] == ["hardware", "machines", "performance", "contributing"]
    assert page.locator(f"#{question} figure img").count() == 3  # two experiments and the printed ranges
    assert page.locator("details, .headerlink").count() == 0
    assert page.title() == "openqueues: the whole book"
    assert page.pdf().startswith(b"%PDF")
    page.goto((made[0] / "entries" / "made-up-question" / "index.html").as_uri())
    page.emulate_media(media="print")
    assert page.locator("#load .sd-tab-content:visible").count() == 2
    assert page.locator(".bd-sidebar-primary:visible, .bd-header-article:visible").count() == 0
    page.close()


def test_every_entry_says_how_to_cite_it(made):
    source = made[1] / "book_source" / "entries" / "made-up-question"
    text, file = (source / "index.md").read_text(), (source / "cite.bib").read_text()
    own = text.partition("## How to cite")[2]
    for line in (
        "@software{openqueues-made-up-question,",
        "  title = {{A question}},",
        "  version = {0.1.0, version 1 of the entry},",
        "  note = {Entry made-up-question of openqueues, question 2.1-a and 2.2-c of the survey},",
        "  year = {2026},",
        "@article{mitzenmacher2025,",
        "  author = {Mitzenmacher, Michael and Shahout, Rana},",
        "  pages = {195--219},",
    ):
        assert f"\n{line}\n" in own and f"{line}\n" in file
    assert "@misc{none,\n  note = {No source},\n}" in file


def test_pages_say_what_the_results_say(made):
    source = made[1] / "book_source"
    tables = (source / "entries" / "made-up-tables" / "index.md").read_text()
    # SRPT at load 0.9 is 4.6 exactly; Table 1 prints 4.5000, Table 2 4.602.
    assert "[4.5000 ✗ −2.17%]{.differs}" in tables
    assert "**Table 1, SRPT.** One of 3 printed values differs: 4.5000 is printed at load 0.9" in tables
    assert "[1.5 to 2.5 ✓]{.agrees}" in tables and "[up to 9.0 ✓]{.agrees}" in tables
    assert "**Figure 3, FCFS.** One of 3 printed values differs: 6 to 7 is printed at load 0.8" in tables
    assert "FCFS by measurement" in tables and "Assumed: Sizes are exponential." in tables
    assert (source / "entries" / "made-up-tables" / "ranges.svg").is_file()
    paper = (source / "paper.md").read_text()
    assert "Printed values that contradict each other" in paper
    assert "| Table 1: 4.5000 | Table 2: 4.602 | 4.6000 | Table 2 |" in paper
    question = (source / "entries" / "made-up-question" / "index.md").read_text()
    assert "## Published numbers\n\nOf 2 printed values, **1** agrees and **1** differs." in question
    assert "[1.5 to 2.5 ✓]{.agrees}" in question and "Assumed: Loads are ours." in question
    assert "**Somebody, abstract, SPRPT.** One of 2 printed values differs: 4 to 5 is printed at load 0.8" in question
    assert (source / "entries" / "made-up-question" / "verdicts.csv").is_file()
    assert "| [A question](entries/made-up-question/index.md) | [1 ✓]{.agrees} | [1 ✗]{.differs} | – |" in paper
    assert "[failed]{.failed}" in question
    assert "| 1 | SRPT |" in question and "100.0%" in question


def test_same_results_same_bytes(made, tmp_path, monkeypatch):
    results, problems = made[1].parent, made[1].parents[1] / "problems"
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(problems))
    shutil.copytree(results, tmp_path / "results", ignore=shutil.ignore_patterns("book*"))
    for slug in registry.slugs():
        again = book.pages(registry.entry(slug), "smoke", tmp_path / "results")
        first = results / "smoke" / "book_pages" / slug
        names = sorted(path.name for path in first.iterdir())
        assert names == sorted(path.name for path in again.iterdir())
        assert [name for name in names if (first / name).read_bytes() != (again / name).read_bytes()] == []


def test_a_warning_stops_the_book_and_keeps_the_old_one(made, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(made[1].parents[1] / "problems"))
    shutil.copytree(ROOT / "book", tmp_path / "book")
    with (tmp_path / "book" / "reading.md").open("a") as chapter:
        chapter.write("\n[nothing](nowhere.md)\n")
    before = (made[0] / "reading.html").read_bytes()
    with pytest.raises(InputError, match="does not accept the pages.*nowhere"):
        book.build(made[1], tmp_path / "book", registry.entries())
    assert (made[0] / "reading.html").read_bytes() == before
    assert [path.name for path in made[1].iterdir() if path.name.startswith(".")] == []


def test_pages_that_are_damaged_or_lack_a_file_are_made_again_for_the_book(made, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENQUEUES_PROBLEMS", str(made[1].parents[1] / "problems"))
    monkeypatch.setattr(
        book, "_jupyter_book", lambda source, scratch: (scratch / "_build/html/_static").mkdir(parents=True)
    )
    folder = tmp_path / "results" / "smoke"
    shutil.copytree(made[1], folder, ignore=shutil.ignore_patterns("book", "book_source"))
    pages = folder / "book_pages" / "made-up-question"
    whole = {path.name: path.read_bytes() for path in pages.iterdir()}
    damages = {
        "loads-p99.svg": Path.unlink,
        "kinds-p99.csv": lambda path: path.write_bytes(flip(path.read_bytes())),
        "index.md": lambda path: path.write_bytes(cut(path.read_bytes())),
        "summary.json": lambda path: path.write_bytes(cut(path.read_bytes())),
    }
    for name, damage in damages.items():
        damage(pages / name)
        book.build(folder, ROOT / "book", registry.entries())
        assert {path.name: path.read_bytes() for path in pages.iterdir()} == whole
        assert (folder / "book_source" / "entries" / "made-up-question" / "loads-p99.svg").is_file()


def test_nothing_is_replaced_by_a_block_that_fails(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_text("old")
    with pytest.raises(RuntimeError), book.replaced(tmp_path / "made") as folder:
        (folder / "file").write_text("new")
        raise RuntimeError
    assert (tmp_path / "made" / "file").read_text() == "old"
    with book.replaced(tmp_path / "made") as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "made" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_policy_looks_the_same_everywhere():
    code = "from openqueues.pages import style; print([style.look(p) for p in ('mine', 'srpt', 'kbit:bits=3')])"
    looks = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(looks) == 1 and "Look" in looks.pop()
    fixed = [style.look(policy)[:2] for policy in style.FIXED]
    assert len(set(fixed)) == len(fixed)
    preemptive, other = style.look("onebit"), style.look("onebit:preemptive=false")
    assert (preemptive.colour, preemptive.dashed, other.dashed) == (other.colour, False, True)


def test_no_two_policies_of_an_entry_look_alike():
    policies = ["srpt", "sprpt", "sprpt:memory=swap", "onebit", "onebit:preemptive=false"]
    policies += [*(f"mine:c={k}" for k in range(20)), "age", "memory", "other"]
    try:
        style.distinguish(policies)
        chosen = {policy: style.look(policy) for policy in policies}
        assert len(set(chosen.values())) == len(policies)
        assert chosen["sprpt"][:2] == style.FIXED["sprpt"] != chosen["sprpt:memory=swap"][:2]
        assert chosen["onebit"].colour == chosen["onebit:preemptive=false"].colour
        thirteen = policies[5:18]
        style.distinguish(thirteen)
        assert len({style.look(policy).colour for policy in thirteen}) == len(thirteen)
        style.distinguish(policies[::-1])
        assert {policy: style.look(policy) for policy in policies} == chosen
    finally:
        style.distinguish([])


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("key", ["servers", "law"])
def test_a_policy_that_is_unstable_somewhere_is_shown_at_the_edge_apart_from_all_values(key, direction):
    values = [2, 4, 8] if key == "servers" else ["short", "long", "heavy"]
    experiment = Experiment(name="x", title="X", grid={key: values}, x=key)
    rows = pandas.DataFrame({
        "policy": ["fcfs"] * 3 + ["srpt"] * 3, key: values * 2, "mean": [1.0, 2.0, np.nan, 1.0, 1.5, 9.0],
        "halfwidth": 0.1, "exact": np.nan, "status": ["ok", "ok", "unstable", "ok", "ok", "ok"],
    })  # fmt: skip
    metric = Metric(name="t", unit="s", direction=direction)
    (drawing,) = figures.draw(experiment, metric, rows, ["fcfs", "srpt"])
    assert drawing.caption.endswith("In the band at the edge: policies that are unstable there.")
    axis = drawing.figure.axes[0]
    upright = key == "servers"
    aside = axis.get_xaxis_transform() if upright else axis.get_yaxis_transform()
    (mark,) = [line for line in axis.get_lines() if line.get_transform() == aside]
    assert mark.get_color() == style.look("fcfs").colour
    far, place = (mark.get_ydata(), mark.get_xdata()) if upright else (mark.get_xdata(), mark.get_ydata())
    assert round(place[0]) == (8 if upright else 2)
    ends = axis.get_ylim() if upright else axis.get_xlim()
    scale = (axis.yaxis if upright else axis.xaxis).get_transform().transform
    low, high, least, most = scale(np.array([*ends, 1 - 0.1, 9 + 0.1]))
    beyond = (most - low) / (high - low) < far[0] if direction == "min" else far[0] < (least - low) / (high - low)
    assert beyond
    (band,) = [patch for patch in axis.patches if patch.get_facecolor() == to_rgba(unstable.SHADE)]
    start, size = (band.get_y(), band.get_height()) if upright else (band.get_x(), band.get_width())
    assert start < far[0] < start + size
    clear = (most - low) / (high - low) < start if direction == "min" else start + size < (least - low) / (high - low)
    assert clear
    (whole,) = figures.draw(experiment, metric, rows.assign(mean=1.0, status="ok"), ["fcfs", "srpt"])
    assert "unstable" not in whole.caption


def test_titles_of_panels_do_not_reach_into_their_neighbours():
    grid = {"size": ["weibull:shape=0.5"], "law": ["confusion:threshold=1.5,miss=0.2,false_alarm=0.1"]}
    grid |= {"servers": [1, 2, 3], "load": [0.5, 0.9]}
    experiment = Experiment(name="x", title="X", grid=grid, x="load")
    rows = [{"size": grid["size"][0], "law": law, "servers": n, "load": load, "mean": 1.0 + load}
            for law in (*grid["law"], "exact") for n in grid["servers"] for load in grid["load"]]  # fmt: skip
    experiment = msgspec.structs.replace(experiment, grid=grid | {"law": [*grid["law"], "exact"]})
    data = pandas.DataFrame(rows).assign(policy="fcfs", halfwidth=0.1, exact=np.nan, status="ok")
    (drawing,) = figures.draw(experiment, Metric(name="t", unit="s"), data, ["fcfs"])
    titles = [axis.get_title(loc="left") for axis in drawing.figure.axes]
    assert titles[0] == "confusion:threshold=1.5,\nmiss=0.2, false_alarm=0.1,\nservers\u00a01"
    drawing.figure.canvas.draw()
    boxes = [axis._left_title.get_window_extent() for axis in drawing.figure.axes]
    assert all(one.x1 < two.x0 for one, two in zip(boxes[:2], boxes[1:3], strict=True))


def test_a_load_of_one_and_more_is_drawn():
    """A queue that loses or refuses work may have it; below 1 the axis is logarithmic in 1/(1 - load)."""
    for loads, name in (([0.5, 0.9], "load (logarithmic in 1/(1 − load))"), ([0.5, 1.0, 1.5], "load")):
        experiment = Experiment(name="loads", title="Load", grid={"load": loads}, x="load")
        rows = {"policy": "fcfs", "load": loads, "mean": [1.0] * len(loads), "halfwidth": 0.1, "exact": np.nan}
        rows["status"] = "ok"
        (drawing,) = figures.draw(experiment, Metric(name="t", unit="s"), pandas.DataFrame(rows), ["fcfs"])
        assert drawing.figure.axes[0].get_xlabel() == name
        ticks = drawing.figure.axes[0].get_xticks()
        assert np.allclose(ticks, 1 / (1 - np.array(loads)) if max(loads) < 1 else loads)


@pytest.mark.parametrize("grid", [{"clients": [5, 9]}, {"work": ["code", "talk"]}], ids=["lines", "rows"])
@pytest.mark.parametrize(
    ("name", "unit", "scale"),
    [
        ("mean_latency_s", "s", "log"),
        ("latency_ratio", "of the large server's", "log"),
        ("slo_share", "of requests within their objectives", "linear"),
        ("misjudged", "share of arrivals", "linear"),
        ("accuracy", "% right", "linear"),
    ],
)
def test_values_far_apart_are_on_a_logarithmic_axis_but_shares_of_a_whole_on_a_linear_one(grid, name, unit, scale):
    (x,) = grid
    experiment = Experiment(name="one", title="One", grid=grid, x=x)
    rows = {"policy": "fcfs", x: grid[x], "mean": [0.1, 0.9], "halfwidth": 0.01, "exact": np.nan, "status": "ok"}
    (drawing,) = figures.draw(experiment, Metric(name=name, unit=unit), pandas.DataFrame(rows), ["fcfs"])
    axis = drawing.figure.axes[0]
    assert (axis.get_yscale() if x == "clients" else axis.get_xscale()) == scale


@pytest.mark.parametrize(
    ("name", "unit", "title"),
    [
        ("mean_ttft_s", "s", "mean TTFT"),
        ("mean_latency_s", "s a program", "mean latency"),
        ("slo_share", "", "SLO share"),
        ("p99_tpot_ms", "s", "p99 TPOT ms"),
        ("s", "s", "s"),
    ],
)
def test_a_metric_is_named_in_words_without_the_unit_that_stands_beside_it(name, unit, title):
    assert Metric(name=name, unit=unit).title == title


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("srpt", "SRPT"),
        ("onebit:preemptive=false", "one bit, non-preemptive"),
        ("onebit:threshold=1.5", "one bit, threshold 1.5"),
        ("kbit:bits=3,thresholds=equal", "3 bits, equal thresholds"),
        ("my-own", "my-own"),
    ],
)
def test_names_of_policies(policy, words):
    assert style.name(policy) == words


@pytest.mark.parametrize(
    ("value", "halfwidth", "text"),
    [
        (2.35281, 0.0041, "2.3528\u00a0±\u00a00.0041"),
        (123.4, 5.0, "123.4\u00a0±\u00a05.0"),
        (1234.5, 56.0, "1234\u00a0±\u00a056"),
        (2.0, float("nan"), "2.0000"),
        (float("nan"), 1.0, "–"),
    ],
)
def test_intervals_in_words(value, halfwidth, text):
    assert markdown.interval(value, halfwidth) == text


def test_code_in_a_docstring_keeps_the_spaces_around_it():
    assert markdown.prose("until  `limit`\n is *met*") == r"until `limit` is \*met\*"


def test_percentages_have_a_sign_and_no_negative_zero():
    assert markdown.percent(0.0123) == "+1.23%"
    assert markdown.percent(-0.0123) == "−1.23%"
    assert markdown.percent(-0.000012) == "−0.0012%"
    assert markdown.percent(0.0) == "0.00%"
    assert markdown.percent(-1e-12) == "0.0000%"


def test_contents_list_the_entries(made):
    contents = (made[1] / "book_source" / "_toc.yml").read_text()
    assert contents.index("entries/made-up-tables/index") < contents.index("entries/made-up-question/index")
    assert "# questions" not in contents
