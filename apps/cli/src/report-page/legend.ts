import type { Html } from '@gantry/programs';
import { html } from '@gantry/programs';
import type { Mark } from './model.ts';
import { MARKS } from './model.ts';

/** What each mark means; shapes as in the charts. */
export const MEANINGS: Readonly<Record<Mark, string>> = {
  verified: 'complete, verified',
  unverified: 'complete, never verified',
  damaged: 'damaged',
  unfinished: 'unfinished',
};

/** Drawn in a box of 26 by 14. */
const SHAPES: Readonly<Record<Mark, Html>> = {
  verified: html`<circle cx="13" cy="7" r="5" fill="var(--verified)" />`,
  unverified: html`<circle cx="13" cy="7" r="4" fill="none" stroke="var(--unverified)" stroke-width="2" />`,
  damaged: html`<path d="M13 1 L19 13 L7 13 Z" fill="var(--damaged)" />`,
  unfinished: html`<rect x="9" y="3" width="8" height="8" fill="none" stroke="var(--unfinished)" stroke-width="2" />`,
};

export function legend(): Html {
  return html`<ul class="legend">
    ${MARKS.map((mark) => html`<li>${picture(SHAPES[mark])} ${MEANINGS[mark]}</li>`)}
  </ul>`;
}

const DASHES = ['none', '5 3', '2 2', '8 3 2 3'];

/** Which line is which store's. */
export function lines(names: readonly string[]): Html {
  const items = names.map((name, index) => {
    const [color, dash] = [`var(--series${index % 4})`, DASHES[index % 4] ?? 'none'];
    const line = html`<line x1="0" y1="7" x2="26" y2="7" stroke="${color}" stroke-width="2" stroke-dasharray="${dash}" />`;
    return html`<li>${picture(line)} ${name}</li>`;
  });
  return html`<ul class="legend">
    ${items}
  </ul>`;
}

function picture(shape: Html): Html {
  return html`<svg viewBox="0 0 26 14" aria-hidden="true">${shape}</svg>`;
}
