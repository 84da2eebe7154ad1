import { Html, html } from '@gantry/programs';
import type { Subject } from '../../planner/job.ts';
import { subjectText } from '../../planner/job.ts';
import type { FleetJob } from '../../queue/records.ts';

interface PageOptions {
  /** Whether parts of it are kept up to date. */
  readonly isLive?: boolean;
  readonly isLoggedIn?: boolean;
}

/** A whole page. @param body what is within its `main` */
export function page(title: string, body: Html, { isLive = false, isLoggedIn = true }: PageOptions = {}): string {
  const leave = html`<form method="post" action="/logout"><button>Log out</button></form>`;
  const live = html`<p class="quiet" id="live-state" role="status"></p>
    <script src="/live.js" defer></script>`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="stylesheet" href="/style.css" />
        <link rel="icon" href="data:," />
      </head>
      <body>
        <a class="skip" href="#main">Skip to the contents</a>
        <header>
          <h1><a href="/">Gantry fleet</a></h1>
          ${isLoggedIn ? leave : ''}
        </header>
        <main id="main" tabindex="-1">${body} ${isLive ? live : ''}</main>
      </body>
    </html> `.text;
}

/** A part of a page that is kept up to date. */
export function livePart(id: string, heading: string, body: Html): Html {
  return html`<section aria-labelledby="${id}-heading">
    <h2 id="${id}-heading">${heading}</h2>
    <div id="${id}" data-live>${body}</div>
  </section>`;
}

/** A column; numbers are at the right. */
export interface Column {
  readonly heading: string;
  readonly isNumber?: boolean;
}

/** A table that scrolls sideways where it does not fit. @param rows of cells; the first one of each is its heading */
export function table(id: string, label: string, columns: readonly Column[], rows: readonly (readonly Html[])[]): Html {
  const headings = columns.map(
    ({ heading, isNumber = false }) => html`<th scope="col" class="${isNumber ? 'number' : ''}">${heading}</th>`,
  );
  const cellOf = (cell: Html, column: number): Html => {
    if (column === 0) return html`<th scope="row" class="name">${cell}</th>`;
    return html`<td class="${columns[column]?.isNumber === true ? 'number' : ''}">${cell}</td>`;
  };
  return html`<div class="scroll" id="${id}" tabindex="0" role="region" aria-label="${label}">
    <table>
      <thead>
        <tr>
          ${headings}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map(cellOf)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Plain text as a part of a page. */
export function text(value: string): Html {
  return html`${value}`;
}

/** To the history of an instance, or of what was done at a store. */
export function subjectLink(subject: Pick<Subject, 'instance' | 'work'>, id: string): Html {
  return html`<a class="row" id="${id}" href="/instances/${encodeURIComponent(subject.instance)}">${subjectText(subject)}</a>`;
}

/** `2026-11-28 01:00`, UTC. */
export function timeCell(time: Date | undefined): Html {
  if (time === undefined) return text('–');
  return html`<time datetime="${time.toISOString()}">${time.toISOString().slice(0, 16).replace('T', ' ')}</time>`;
}

/** What a list leaves out, if it does. */
export function more(count: number, shown: number): Html {
  return count > shown ? html`<p class="quiet">and ${count - shown} more</p>` : new Html('');
}

/** How states look; they are written, too. */
export const CLASSES: Readonly<Record<FleetJob['state'], string>> = {
  waiting: 'quiet',
  running: 'busy',
  done: 'good',
  failed: 'bad',
  cancelled: 'doubtful',
  left: 'doubtful',
  elsewhere: 'doubtful',
  lost: 'doubtful',
};
