"""What a page must be for everybody's eyes and fingers, measured in the browser."""

from __future__ import annotations

from playwright.async_api import Page

# Whatever can be pressed and is smaller than 24 by 24 (WCAG 2.2, 2.5.8); on phones, than what a thumb hits.
_SMALL = """(least) => [...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, summary")]
    .filter((one) => one.checkVisibility() && !one.closest(".skip"))
    .map((one) => [one.textContent.trim() || one.name, one.getBoundingClientRect()])
    .filter(([, box]) => box.height < least || box.width < 24)
    .map(([name, box]) => `${name}: ${Math.round(box.width)} x ${Math.round(box.height)}`)"""

# Text that stands out from its ground by less than 4.5 to 1 (WCAG 2, 1.4.3). A canvas reads every notation of colours.
_FAINT = """() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const over = (colours) => {
    pen.clearRect(0, 0, 1, 1)
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1) }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
  }
  const light = (rgb) => rgb.map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0)
  const page = document.body.appendChild(document.createElement("i"))
  page.style.backgroundColor = "Canvas" // by day and by night: a canvas knows only the first
  const paper = getComputedStyle(page).backgroundColor
  page.remove()
  const faint = []
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (words.nextNode()) {
    const text = words.currentNode.data.trim(), inside = words.currentNode.parentElement
    if (!text || !inside.checkVisibility() || inside.closest(".hidden, .skip, script")) continue
    const grounds = [paper]
    for (let one = inside; one; one = one.parentElement) grounds.splice(1, 0, getComputedStyle(one).backgroundColor)
    const [a, b] = [light(over(grounds)), light(over([...grounds, getComputedStyle(inside).color]))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (ratio < 4.5) faint.push(`${text.slice(0, 40)}: ${ratio.toFixed(1)}`)
  }
  return faint
}"""


async def flaws(page: Page, *, phone: bool) -> list[str]:
    """What is too wide, too faint or too small."""
    found = [f"small: {one}" for one in await page.evaluate(_SMALL, 40 if phone else 24)]
    found += [f"faint: {one}" for one in await page.evaluate(_FAINT)]
    if not await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
        found.append("wider than the window")
    return found
