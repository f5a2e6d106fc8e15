"""What makes a page easy to read, as one script that runs in the page: a line for each fault that it finds."""

from __future__ import annotations

SMALLEST_TEXT = 14  # CSS pixels
SMALLEST_BODY = 15.5  # paragraphs
SMALLEST_TAP = 24  # WCAG 2.2, target size (minimum); links inside a line of text are exempt there
CONTRAST, CONTRAST_LARGE = 4.5, 3.0  # WCAG 2.2, contrast (minimum); large is 24 pixels, or 18.66 and bold

STRUCTURE = """() => {
  const said = [];
  if (document.title.trim().length < 4) said.push('has no title');
  const about = document.querySelector('meta[name=description]');
  if (!about || about.content.trim().length < 20) said.push('has no description');
  if (!document.documentElement.lang) said.push('names no language');
  const main = document.querySelector('article') || document.body;
  const levels = [...main.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(one => [+one.tagName[1], one.innerText.trim()]);
  if (levels.filter(one => one[0] === 1).length !== 1) said.push('has not one heading of the first level');
  levels.forEach(([level, text], k) => {
    if (level > (k ? levels[k - 1][0] : 0) + 1) said.push(`the heading '${text}' skips a level`);
  });
  for (const image of document.images)
    if ((image.getAttribute('alt') || '').trim().length < 5) said.push(`no words for the image ${image.src}`);
  for (const figure of main.querySelectorAll('figure')) {
    const next = figure.nextElementSibling;
    if (!next || !next.querySelector('a.download, a[download]'))
      said.push(`no data beside the figure '${(figure.innerText || '').trim().slice(0, 40)}'`);
  }
  const dashed = main.innerText.match(/\\s[–—][a-z][a-z-]*/);
  if (dashed) said.push(`a dash stands for the hyphens of an option: '${dashed[0].trim()}'`);
  for (const one of document.querySelectorAll('a[href], button')) {
    const name = one.textContent.trim() || one.getAttribute('aria-label') || one.title || '';
    if (!name.trim() && !one.querySelector('img[alt]') && one.offsetParent)
      said.push(`no words in ${one.outerHTML.slice(0, 80)}`);
  }
  return said;
}"""

# Every text that is shown: its colour over the colours behind it, transparent ones mixed. Images are not looked into.
CONTRAST_OF_TEXT = """([enough, large]) => {
  const parse = text => {
    const numbers = text.match(/[0-9.]+/g).map(Number);
    if (text.startsWith('color(srgb')) return [...numbers.slice(0, 3).map(x => 255 * x), numbers[3] ?? 1];
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3]));
  const light = rgb => {
    const [r, g, b] = rgb.map(x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = new Map();
  const ground = one => {  // opaque colour behind an element's text
    if (!one) return [255, 255, 255];
    if (!behind.has(one)) {
      const own = parse(getComputedStyle(one).backgroundColor);
      behind.set(one, own[3] === 0 ? ground(one.parentElement) : over(own, ground(one.parentElement)));
    }
    return behind.get(one);
  };
  const faint = one => one ? parseFloat(getComputedStyle(one).opacity) * faint(one.parentElement) : 1;
  const said = new Map(), seen = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || seen.has(one)) continue;
    seen.add(one);
    if (!one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    if (one.closest('mjx-assistive-mml, [aria-hidden=true], :disabled')) continue;
    const style = getComputedStyle(one), back = ground(one), ink = parse(style.color);
    ink[3] *= faint(one);
    const [a, b] = [light(over(ink, back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? large : enough;
    if (ratio < needed - 0.01) {
      const name = `${one.tagName.toLowerCase()}.${one.className}`;
      const text = walk.currentNode.data.trim().slice(0, 30);
      if (!said.has(name)) said.set(name, `${name} '${text}' has contrast ${ratio.toFixed(2)}, not ${needed}`);
    }
  }
  return [...said.values()];
}"""

# On a phone: sizes of text, and of what is tapped; links inside a line of text are as tall as the line.
TOUCH = """([text, body, tap]) => {
  const said = new Map();
  const main = document.querySelector('article') || document.body;
  const shown = one =>
    one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && one.getClientRects().length;
  const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const one = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !shown(one) || one.closest('mjx-container, sup, sub')) continue;
    const size = parseFloat(getComputedStyle(one).fontSize), name = `${one.tagName.toLowerCase()}.${one.className}`;
    const least = one.tagName === 'P' && one.parentElement.tagName === 'SECTION' ? body : text;
    const start = walk.currentNode.data.trim().slice(0, 30);
    if (size && size < least && !said.has(name)) said.set(name, `${name} '${start}' is ${size} pixels, not ${least}`);
  }
  for (const one of document.querySelectorAll('a[href], button, summary, label')) {
    if (!shown(one) || getComputedStyle(one).display === 'inline') continue;
    const {width, height} = one.getBoundingClientRect();
    const name = `${one.tagName.toLowerCase()}.${one.className}`;
    const size = `${width.toFixed(0)} by ${height.toFixed(0)}`;
    if (width && height && (width < tap || height < tap) && !said.has(name))
      said.set(name, `${name} '${one.innerText.trim().slice(0, 30)}' is ${size} pixels to tap`);
  }
  return [...said.values()];
}"""


def structure(page) -> list[str]:
    """Title, description, language, order of headings, texts of images and links, data beside figures."""
    return page.evaluate(STRUCTURE)


def contrast(page) -> list[str]:
    """Texts that are too pale, in the light and in the dark."""
    found = []
    page.add_style_tag(content="* { transition: none !important }")  # colours are looked at as soon as they change
    before = page.evaluate("document.documentElement.dataset.theme")
    for mode in ("light", "dark"):
        page.evaluate("mode => document.documentElement.dataset.theme = mode", mode)
        found += [f"{mode}: {one}" for one in page.evaluate(CONTRAST_OF_TEXT, [CONTRAST, CONTRAST_LARGE])]
    page.evaluate("mode => document.documentElement.dataset.theme = mode", before)
    return found


def touch(page) -> list[str]:
    """Text that is too small to read and targets that are too small to tap, on a phone."""
    return page.evaluate(TOUCH, [SMALLEST_TEXT, SMALLEST_BODY, SMALLEST_TAP])
