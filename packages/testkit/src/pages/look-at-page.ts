/** What {@link LOOK_AT_PAGE} gives. */
export interface PageLook {
  /** Of all that is in the page, pixels. */
  readonly width: number;
  /** Visible texts with too little contrast (WCAG 2.2, 1.4.3), each with its contrast. */
  readonly unreadable: readonly string[];
}

/** To be evaluated in a page: whether it fits, and can be read. */
export const LOOK_AT_PAGE: string = `(() => {
  const rgb = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (color) => {
    const [r, g, b] = rgb(color).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgb(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const unreadable = [];
  for (const element of document.querySelectorAll('h1, h2, p, a, button, label, dt, dd, li, th, td, summary, span, text')) {
    if (element.getClientRects().length === 0 || element.textContent.trim() === '') continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(element.tagName === 'text' ? style.fill : style.color), light(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) unreadable.push(element.tagName + ' ' + element.textContent.trim() + ' ' + contrast.toFixed(1));
  }
  return { width: document.documentElement.scrollWidth, unreadable };
})()`;
