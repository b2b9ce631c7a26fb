"""The HTML page in a real browser: search, folding, copying, light and dark; nothing is asked of any network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sgldoctor import pipeline
from sgldoctor.facts import Facts
from sgldoctor.report.as_html import render
from sgldoctor.report.model import Report
from tests.fleet.nodes import fleet, planted
from tests.fleet.test_drift import report as fleet_report
from tests.fleet.test_drift import started
from tests.report.browser import Page, needs_browser
from tests.rules.make import exceptions, log_rule

pytestmark = needs_browser

COMMAND = "pip install 'a==1' && echo \"$HOME\" # <b>&amp;"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


def facts() -> Facts:
    found = Facts()
    packages = [{"name": f"package-{number}", "version": f"{number}.0"} for number in range(150)]
    found.put("packages", [*packages, {"name": HOSTILE, "version": "1"}], "probe")
    found.put("gpus", [{"index": index, "name": "NVIDIA H100", "numa": index // 2} for index in range(4)], "probe")
    found.put("gpu.links", {"first": 0, "second": 1, "p2p": True, "nvlinks": 4, "path": "NODE"}, "probe")
    found.put("interfaces", {"name": "eth0", "up": True, "addresses": ["192.0.2.1"], "mtu": 9000, "numa": 1}, "probe")
    return found


def report() -> Report:
    fix = [{"title": "Put it back", "safety": "manual", "action": [{"do": "manual", "text": "x", "command": COMMAND}]}]
    rules = [
        log_rule("real", "real-fault", explains=["echo"], fix=fix),
        log_rule("echo", "echo-line", role="symptom"),
    ]
    texts = exceptions(f"real-fault {HOSTILE}", "echo-line\nsecond line")
    return pipeline.conclude("explain", facts(), texts, rules, pipeline.Options())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(render(report()), encoding="utf-8")
    opened = Page(file, folder / "profile")
    yield opened
    opened.close()


def test_it_loads_alone_and_without_a_complaint(page: Page) -> None:
    assert page.run("document.querySelector('h1').textContent").startswith("PROBLEM real")
    assert page.run("window.hacked") is None
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_facts_are_searched(page: Page) -> None:
    shown = "Array.from(document.querySelectorAll('#facts tbody tr')).filter((row) => row.checkVisibility()).length"
    assert page.run(shown) == 0
    type_it = """(text) => {
      const field = document.getElementById('search');
      field.value = text;
      field.dispatchEvent(new Event('input')); }"""
    page.run(f"({type_it})('PACKAGE-77')")
    assert page.run(shown) == 1
    assert page.run("document.getElementById('count').textContent") == "1 row"
    page.run(f"({type_it})('no such thing')")
    assert page.run(shown) == 0
    page.run(f"({type_it})('eth0 9000')")
    assert page.run(shown) == 1
    page.run(f"({type_it})('')")
    assert page.run(shown) == 0


def test_symptoms_are_folded_and_unfold(page: Page) -> None:
    echo = "Array.from(document.querySelectorAll('article article pre'))[0].checkVisibility()"
    assert page.run(echo) is False
    page.run("document.querySelector('article details summary').click()")
    assert page.run(echo) is True
    page.run("document.getElementById('fold').click()")
    assert page.run("Array.from(document.querySelectorAll('main details')).every((entry) => entry.open)") is True
    page.run("document.getElementById('fold').click()")
    assert page.run(echo) is False


def test_a_command_is_copied_as_it_is(page: Page) -> None:
    page.session, held = "", page.session
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.session = held
    page.call("Page.bringToFront")
    page.run("document.querySelector('button.copy').click()")
    page.run("new Promise((done) => setTimeout(done, 200))")
    assert page.run("document.querySelector('button.copy').textContent") == "Copied"
    assert page.run("navigator.clipboard.readText()") == COMMAND


def test_light_and_dark_can_be_read(page: Page) -> None:
    """WCAG 2: a contrast of at least 4.5 for everything that is text, in both themes."""
    contrast = """(() => {
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      const linear = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
      const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
      const back = (node) => {
        for (; node; node = node.parentElement) {
          const colour = parse(getComputedStyle(node).backgroundColor);
          if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
      };
      const own = (node) => Array.from(node.childNodes).some((child) => child.nodeType === 3 && child.data.trim());
      const ink = (node) => node.closest('svg') ? getComputedStyle(node).fill : getComputedStyle(node).color;
      const box = (node) => node.closest('svg') && node.parentElement.querySelector(':scope > rect');
      const under = (node) => box(node) ? parse(getComputedStyle(box(node)).fill) : back(node);
      return Math.min(...Array.from(document.querySelectorAll('body *:not(script, title)'))
        .filter((node) => node.checkVisibility() && own(node))
        .map((node) => [light(parse(ink(node))), light(node.matches('g *') ? under(node) : back(node))])
        .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)));
    })()"""
    page.run("document.getElementById('fold').click()")
    assert page.run(contrast) >= 4.5
    before = page.run("getComputedStyle(document.body).backgroundColor")
    page.run("document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") != before
    assert page.run(contrast) >= 4.5
    page.run("document.getElementById('theme').click()")
    page.run("document.getElementById('fold').click()")


STRUCTURE = """(() => {
  const all = (query) => Array.from(document.querySelectorAll(query));
  const levels = all('h1, h2, h3, h4, h5, h6').map((node) => Number(node.tagName[1]));
  const ids = all('[id]').map((node) => node.id);
  const refs = all('[aria-labelledby], [for]').map((n) => n.getAttribute('aria-labelledby') || n.getAttribute('for'));
  const wrong = [];
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) wrong.push('not one h1 in front');
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push(`a jump to h${level}`); });
  if (new Set(ids).size !== ids.length) wrong.push('an id twice');
  for (const id of refs) if (!document.getElementById(id)) wrong.push(`no ${id}`);
  for (const link of all('a[href^="#"]')) if (!document.querySelector(link.hash)) wrong.push(`no ${link.hash}`);
  for (const name of ['main', 'header', 'footer', 'nav']) if (all(name).length !== 1) wrong.push(`not one ${name}`);
  for (const cell of all('th')) if (!cell.scope) wrong.push('th without scope');
  for (const node of all('svg, [role=img]')) if (!node.getAttribute('aria-label')) wrong.push('a picture, no words');
  if (all('ul > :not(li), details > summary:not(:first-child)').length) wrong.push('something else in a list');
  for (const node of all('details')) if (!node.querySelector(':scope > summary')) wrong.push('details, no summary');
  for (const node of all('[tabindex]')) if (node.tabIndex > 0) wrong.push('an order of its own');
  for (const node of all('button')) if (node.type !== 'button') wrong.push('a button that sends');
  for (const node of all('button, input, summary')) {
    const { width, height } = node.getBoundingClientRect();
    if (node.checkVisibility() && Math.min(width, height) < 24) wrong.push(`${node.tagName} of ${height} pixels`);
  }
  return wrong.join('; ');
})()"""


def test_it_is_built_as_readers_of_screens_want_it(page: Page) -> None:
    """Headings in order, one landmark of each kind, words for pictures, targets that can be hit (WCAG 2.2, 2.5.8)."""
    assert page.run(STRUCTURE) == ""


def emulate(page: Page, width: int, media: str = "") -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
    page.call("Emulation.setEmulatedMedia", media=media)


def test_nothing_is_wider_than_a_telephone(page: Page) -> None:
    emulate(page, 360)
    page.run("document.getElementById('fold').click()")
    assert page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    page.run("document.getElementById('fold').click()")
    emulate(page, 1100)


def test_what_is_printed(page: Page) -> None:
    """Evidence and symptoms unfolded, on white; no controls, and no list of facts that are folded."""
    emulate(page, 800, "print")
    page.run("dispatchEvent(new Event('beforeprint'))")
    shown = "(query) => Array.from(document.querySelectorAll(query)).filter((node) => node.checkVisibility()).length"
    assert page.run(f"({shown})('.bar button, .find, .copy, #facts')") == 0
    assert page.run(f"({shown})('article article pre')") == 1
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.run("dispatchEvent(new Event('afterprint'))")
    emulate(page, 1100)
    assert page.call("Page.printToPDF")["data"].startswith("JVBERi")
    assert page.run(f"({shown})('article article pre')") == 0


def test_the_page_of_a_fleet(tmp_path: Path) -> None:
    nodes = list(fleet(20, planted(20)))
    for place, data in enumerate(nodes):
        data["facts"].update(started("--tp 160 --nnodes 20", 3 if place == 4 else place))
    file = tmp_path / "fleet.html"
    file.write_text(render(fleet_report(nodes)), encoding="utf-8")
    opened = Page(file, tmp_path / "profile")
    try:
        assert opened.run(STRUCTURE) == ""
        emulate(opened, 360)
        assert opened.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        opened.run(
            "{ const f = document.getElementById('node-search'); f.value = '--node-rank 3';"
            " f.dispatchEvent(new Event('input')); }"
        )
        assert opened.run("document.getElementById('node-count').textContent") == "2 of 20 nodes"
        assert opened.run("document.querySelectorAll('.grid li:not(.off)').length") == 2
        assert (opened.said, [url for url in opened.asked if not url.startswith(("file:", "data:"))]) == ([], [])
    finally:
        opened.close()


def test_the_drawing_says_what_it_shows(page: Page) -> None:
    assert page.run("document.querySelectorAll('svg.map .gpu').length") == 4
    assert page.run("document.querySelectorAll('svg.map .nic').length") == 1
    assert "1 pair joined by NVLink" in page.run("document.querySelector('svg.map').getAttribute('aria-label')")
    assert page.picture().startswith(b"\x89PNG")


def test_every_control_has_a_name(page: Page) -> None:
    nameless = """Array.from(document.querySelectorAll('button, input, a, section')).filter((node) => !(
      node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length
      || document.getElementById(node.getAttribute('aria-labelledby'))?.textContent)).length"""
    assert page.run(nameless) == 0
    assert page.run("document.documentElement.lang") == "en"


def test_nothing_was_said_on_the_console_at_the_end(page: Page) -> None:
    assert page.said == []
