"""The site: it builds without a network, its links are alive, and a browser shows it without error or overflow."""
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9A]*_*.ipynb"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("myst_nb")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, ROOT / "docs" / "make.py", "--out", folder], capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_chapter_is_a_page_with_words_for_its_figures(site):
    for chapter in CHAPTERS:
        text = (site / f"{chapter}.html").read_text()
        assert not re.search(r'<img(?![^>]* alt="[^"]{3})[^>]*_images', text), chapter
        assert "$$" not in re.sub(r"<(pre|annotation)\b.*?</\1>", "", text, flags=re.S), chapter
        assert "\\" not in "".join(re.findall(r"<math\b.*?</math>", text, re.S)), chapter  # a command that was not read


def test_code_is_as_it_was_written(site):
    code = "".join(re.findall(r"<pre\b.*?</pre>", (site / "results.html").read_text(), re.S))
    assert 'load_weights("pocket")[0](x)' in re.sub("<[^>]+>", "", code).replace("&quot;", '"')


def test_links_are_alive_and_nothing_is_fetched(site):
    pages = {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("*.html")
             if not {"_static", "slides"} & {*path.parts}}  # slides fetch reveal.js
    names = {page: set(re.findall(r' (?:id|name)="([^"]+)"', text)) for page, text in pages.items()}
    for page, text in pages.items():
        for link in re.findall(r'<(?:a|link|script|img)\b[^>]* (?:href|src)="([^"]+)"', text):
            path, place = urldefrag(unquote(link))
            if re.match(r"[a-z]+:|//", path):
                continue  # elsewhere
            target = (site / page).parent / path.partition("?")[0] if path else site / page
            assert target.exists(), f"{page}: {link}"
            if place and target.suffix == ".html" and page not in ("genindex.html", "search.html"):
                assert place in names[target.resolve().relative_to(site.resolve()).as_posix()], f"{page}: {link}"
        fetched = re.findall(r'<(?:img|script|link rel="stylesheet")\b[^>]* (?:href|src)="(https?://[^"]+)"', text)
        assert not fetched, page


def test_every_chapter_has_slides(site):
    for chapter in CHAPTERS:
        text = (site / "slides" / f"{chapter}.html").read_text()
        assert text.count("<section") > 12 and "passed = check" not in text, chapter


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not BROWSER:
        pytest.skip("no Chromium at hand")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


CONTRAST = """() => {
  const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(
      x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c } return "rgb(255, 255, 255)" };
  return Math.min(...[...document.querySelectorAll("article p, article li, article td, article summary, article pre")]
    .filter(e => e.innerText.trim() && e.offsetParent).map(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05) }))
}"""


@pytest.mark.parametrize("width", [1100, 400])
def test_a_browser_shows_it(site, browser, width):
    """No error in its console, no page wider than the window, formulas drawn, words legible on a dark page."""
    view = browser.new_page(viewport={"width": width, "height": 900})
    said = []
    view.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: said.append(str(error)))
    for page in ["index", *CHAPTERS, "results", "project", "teaching", "api", "faults"]:
        view.goto(f"file://{site}/{page}.html")
        assert view.evaluate("document.documentElement.scrollWidth") <= width, page
        if "<math" in (site / f"{page}.html").read_text():
            assert view.evaluate("document.querySelector('article math').getBoundingClientRect().height") > 5, page
        view.evaluate("document.documentElement.dataset.theme = 'dark'")
        assert view.evaluate(CONTRAST) >= 4.5, page
    assert not [words for words in said if "theme mode" not in words]
