import { html } from '@gantry/programs';
import { page } from './layout.ts';

/** A page that says why another one cannot be shown. */
export function problemPage(message: string, hint: string | undefined): string {
  const body = html`<p class="notice" role="alert">${message}</p>
    ${hint === undefined ? '' : html`<p>${hint}</p>`}
    <p><a href="/">The state of the fleet</a></p>`;
  return page('Gantry fleet', body);
}
