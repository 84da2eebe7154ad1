import type { ListedExport } from '@gantry/core';
import { formatAge, formatBytes, html, Html } from '@gantry/programs';
import { MEANINGS } from './legend.ts';
import type { Report, ReportedInstance } from './model.ts';
import { markOf } from './model.ts';

/** Exports of one instance that the page lists; older ones are only counted. */
const MAX_LISTED = 200;

/** One row for each instance. What a phone shows without scrolling says whether all is well. */
export function instanceTable(instances: readonly ReportedInstance[], { now, stores }: Report): Html {
  const isSeveral = stores.length > 1;
  const rows = instances.map(
    ({ name, store, exports, newest, storedBytes }) =>
      html`<tr>
        <th scope="row" class="name">${breakable(name)}</th>
        <td class="number">${newest?.started === undefined ? '–' : age(newest.started, now)}</td>
        <td>${damagedText(exports)}</td>
        ${isSeveral ? html`<td>${store}</td>` : ''}
        <td>${newest?.started === undefined ? html`<span class="damaged">none</span>` : timeCell(newest.started)}</td>
        <td class="number">${exports.length}</td>
        <td class="number">${bytes(newest?.plainBytes)}</td>
        <td class="number">${formatBytes(storedBytes)}</td>
        <td>${newest === undefined ? '–' : verifiedText(newest, now)}</td>
        <td>${protectedText(exports, now)}</td>
      </tr>`,
  );
  const store = isSeveral ? html`<th scope="col">Store</th>` : '';
  return html`<section aria-labelledby="instances">
    <h2 id="instances">Instances</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="instances">
      <table>
        <thead>
          <tr>
            <th scope="col">Instance</th>
            <th scope="col" class="number">Age</th>
            <th scope="col">Problems</th>
            ${store}
            <th scope="col">Newest complete (UTC)</th>
            <th scope="col" class="number">Exports</th>
            <th scope="col" class="number">Plain</th>
            <th scope="col" class="number">Stored</th>
            <th scope="col">Verified</th>
            <th scope="col">Protected until</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>
  </section>`;
}

/** Every export, below a line for each instance that opens. */
export function exportDetails(instances: readonly ReportedInstance[], { now, stores }: Report): Html {
  const all = instances.map(({ name, store, exports }) => {
    const where = stores.length > 1 ? ` in ${store}` : '';
    const more = exports.length > MAX_LISTED ? html`<p class="quiet">and ${exports.length - MAX_LISTED} older ones</p>` : '';
    return html`<details>
      <summary>${name}${where}: ${exports.length} ${exports.length === 1 ? 'export' : 'exports'}</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Exports of ${name}${where}">
        <table>
          <thead>
            <tr>
              <th scope="col">Export</th>
              <th scope="col">State</th>
              <th scope="col" class="number">Age</th>
              <th scope="col" class="number">Plain</th>
              <th scope="col" class="number">Stored</th>
              <th scope="col">Verified</th>
              <th scope="col">Protected until</th>
              <th scope="col">Tags</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            ${exports.slice(0, MAX_LISTED).map((each) => exportRow(each, now))}
          </tbody>
        </table>
      </div>
      ${more}
    </details>`;
  });
  return html`<section aria-labelledby="exports">
    <h2 id="exports">Exports</h2>
    ${all}
  </section>`;
}

function exportRow(each: ListedExport, now: Date): Html {
  const { id, started, plainBytes, storedBytes, reason, warning, tags = [], protectedUntil } = each;
  const mark = markOf(each);
  return html`<tr>
    <th scope="row">${id}</th>
    <td class="${mark}">${mark === 'damaged' ? 'damaged' : MEANINGS[mark].replace(/,.*/, '')}</td>
    <td class="number">${started === undefined ? '–' : age(started, now)}</td>
    <td class="number">${bytes(plainBytes)}</td>
    <td class="number">${bytes(storedBytes)}</td>
    <td>${verifiedText(each, now)}</td>
    <td>${protectedUntil === undefined ? '–' : day(protectedUntil)}</td>
    <td>${tags.join(', ')}</td>
    <td class="reason">${[reason, warning].filter((text) => text !== undefined).join('; ')}</td>
  </tr>`;
}

/** Where there is too little room, after its dots. */
function breakable(name: string): Html {
  const labels = name.split(/(?<=\.)/).map((label) => html`${label}`.text);
  return new Html(labels.join('<wbr />'));
}

function verifiedText({ verified, state }: ListedExport, now: Date): string {
  if (verified === undefined) return state === 'complete' ? 'never' : '–';
  return `${age(verified.at, now)} ago (${verified.depth})`;
}

/** The longest protection that any of them has. */
function protectedText(exports: readonly ListedExport[], now: Date): string {
  const times = exports.flatMap(({ protectedUntil }) => (protectedUntil !== undefined && protectedUntil > now ? protectedUntil : []));
  const last = times.toSorted((a, b) => b.getTime() - a.getTime())[0];
  return last === undefined ? '–' : `${day(last)} (${times.length} of ${exports.length})`;
}

function damagedText(exports: readonly ListedExport[]): Html {
  const damaged = exports.filter(({ state }) => state === 'damaged').length;
  return damaged === 0 ? html`–` : html`<span class="damaged">${damaged} damaged</span>`;
}

function timeCell(time: Date): Html {
  return html`<time datetime="${time.toISOString()}">${time.toISOString().slice(0, 16).replace('T', ' ')}</time>`;
}

function day(time: Date): string {
  return time.toISOString().slice(0, 10);
}

function age(time: Date, now: Date): string {
  return formatAge(now.getTime() - time.getTime());
}

function bytes(value: number | undefined): string {
  return value === undefined ? '–' : formatBytes(value);
}
