"""The page in a real browser: no request, no error, sorting, switches, themes, widths, axe."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import chromium
from helpers.synthetic_study import (
    ABLATION,
    COMBINE,
    FACTORIAL,
    RECIPE,
    SENSITIVITY,
    make_study,
    predictions,
)
from playwright.sync_api import Browser, Page, expect

from cifar_tricks.report.write import write_report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with everything: holes, a factorial, settings."""
    root = tmp_path_factory.mktemp("a page")
    with make_study(
        root,
        seeds=(0, 1, 2),
        combine=COMBINE,
        factorial=FACTORIAL,
        sensitivity=SENSITIVITY,
        improve=RECIPE,
        ablation=ABLATION,
        recorded={"ablation-silu": 3, "ablation-without_leaky_relu": 2, "narrow-gelu": 3},
        diverged={("narrow-augment", 1)},
        missing={"narrow-leaky_relu"},
    ) as study:
        write_report(study, predictions(), Path("reports/small"))
    return (root / "reports/small/index.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened as a file; it fails the test on any error or request."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:"))
            else complaints.append(f"request: {request.url}")
        ),
    )
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    page.close()
    assert complaints == []


def column(page: Page, head: str) -> list[str]:
    heads = [text.strip() for text in page.locator("#t-overview th").all_inner_texts()]
    place = heads.index(head) + 1
    return page.locator(f"#t-overview tbody td:nth-child({place})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    signed = [text.replace("\N{MINUS SIGN}", "-") for text in texts]
    return [float(text.split()[0]) for text in signed if text and text != "—"]


def test_charts_are_drawn_and_described(page: Page) -> None:
    charts = page.locator("[data-chart]")
    assert charts.count() == 12
    for chart in charts.all():
        assert chart.locator("svg").count() == 1
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label") or "") > 20
        box = chart.bounding_box()
        assert box is not None and box["height"] > 60
    assert "leaky_relu: missing" in (
        page.locator('[data-chart="effects-narrow"]').get_attribute("aria-label") or ""
    )


def test_sorting_by_mouse(page: Page) -> None:
    button = page.locator("#t-overview th button", has_text="test accuracy")
    button.click()
    up = column(page, "test accuracy")
    found = numbers(up[:4])
    assert found == sorted(found)
    assert page.locator("#t-overview th[aria-sort=ascending]").count() == 1
    button.click()
    down = column(page, "test accuracy")
    assert numbers(down[:4]) == sorted(found, reverse=True)
    # Those without a result are last either way.
    assert sorted(up[4:]) == sorted(down[4:]) == ["diverged (1 of 3 seeds)", "missing"]


def test_sorting_by_keyboard_puts_what_is_missing_last(page: Page) -> None:
    page.locator("#t-overview th button", has_text="difference").focus()
    for key in ("Enter", "Space"):
        page.keyboard.press(key)
        texts = column(page, "difference")
        filled = [bool(text) and text != "—" for text in texts]
        assert filled == sorted(filled, reverse=True)
    found = numbers(texts)
    assert found == sorted(found, reverse=True) and len(found) == 2


def lines(page: Page) -> int:
    """Curves that are drawn, single seeds among them."""
    return page.locator("#curve-chart .mark-line path").count()


def test_curves_switch_on_and_off(page: Page) -> None:
    # The mean and three seeds each.
    assert lines(page) == 3 * 4
    page.get_by_label("augment", exact=True).uncheck()
    page.wait_for_function("document.querySelectorAll('#curve-chart .mark-line path').length === 8")
    page.get_by_role("button", name="none").click()
    page.wait_for_function("document.querySelectorAll('#curve-chart .mark-line path').length === 0")
    assert "0 curves" in page.locator("#curve-status").inner_text()
    page.get_by_role("button", name="all").click()
    page.get_by_label("accuracy", exact=True).check()
    page.get_by_label("narrow", exact=True).check()
    page.get_by_label("training", exact=True).check()
    # One variant of this net is missing.
    page.wait_for_function("document.querySelectorAll('#curve-chart .mark-line path').length === 8")
    assert page.locator("#curve-status").inner_text() == "narrow, training accuracy: 2 curves"
    assert "training accuracy" in page.locator("#curve-chart").inner_text()


def colours(page: Page) -> tuple[str, str, str]:
    return (
        page.evaluate("getComputedStyle(document.body).backgroundColor"),
        page.evaluate("getComputedStyle(document.body).color"),
        page.locator('[data-chart="ladder"] .role-axis-label text').first.evaluate(
            "text => getComputedStyle(text).fill"
        ),
    )


def test_dark_mode_by_system_and_by_button(page: Page) -> None:
    light = colours(page)
    page.emulate_media(color_scheme="dark")
    dark = colours(page)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.emulate_media(media="print", color_scheme="dark")
    assert colours(page) == light, "a dark page prints dark on white"
    page.emulate_media(media="screen", color_scheme="dark")
    page.get_by_role("button", name="Switch to the light theme").click()
    assert colours(page) == light
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert colours(page) == light


@pytest.mark.parametrize("width", [320, 400, 768, 1920])
def test_no_window_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_name_opens_its_runs(page: Page) -> None:
    page.locator("#t-overview a", has_text="leaky_relu").first.click()
    card = page.locator("#run-model1-leaky_relu")
    expect(card).to_have_attribute("open", "")  # the browser tells of the new hash a moment later
    # Shut again, the same link opens it again.
    card.locator("summary").click()
    expect(card).not_to_have_attribute("open", "")
    page.locator("#t-overview a", has_text="leaky_relu").first.click()
    expect(card).to_have_attribute("open", "")
    assert "model1-leaky_relu seed=2" in card.inner_text()


def test_the_keyboard_reaches_the_answer_and_the_controls(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName + document.activeElement.className"))
    assert {"A", "BUTTON", "DIVtable sortable", "INPUT"} <= seen


def test_print_shows_all_and_no_controls(page: Page) -> None:
    page.get_by_label("leaky_relu", exact=True).uncheck()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("header").is_hidden()
    # Of the switches the key of the curves remains.
    controls = page.locator("#curve-controls")
    assert not any(box.is_visible() for box in controls.locator("input, button").all())
    shown = [label.inner_text() for label in controls.locator("label").all() if label.is_visible()]
    assert shown == ["baseline", "augment"]
    assert page.locator("#run-model1-baseline table").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#run-model1-baseline").get_attribute("open") is None
    assert len(page.pdf()) > 50_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_axe_finds_nothing(page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.wait_for_timeout(400)
    found = Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


def test_without_scripts_it_still_reads(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert "Which training tricks really help" in page.locator("h1").inner_text()
    assert page.locator("#t-overview tbody tr").count() == 6
    assert page.locator("#curve-controls").is_hidden()
    context.close()
