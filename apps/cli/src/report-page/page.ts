import { figureList, formatAge, formatBytes, html, Html } from '@gantry/programs';
import { growth, rangeOf, sizes, SIZES, timeline } from './charts.ts';
import type { ChartSize } from './charts.ts';
import { legend, lines } from './legend.ts';
import type { Report, ReportedInstance } from './model.ts';
import { instancesOf, markOf, sumOf } from './model.ts';
import { STYLE } from './style.ts';
import { exportDetails, instanceTable } from './tables.ts';

/** More rows are no longer a picture. The tables have all of them. */
const MAX_ROWS = 60;
/** Of the largest instances. */
const MAX_BARS = 20;

/** The report as one HTML page that needs nothing else, and may load nothing. */
export function renderPage(report: Report): string {
  const instances = instancesOf(report);
  const body = html`<a class="skip" href="#instances">Skip the charts</a>
    <header>
      <h1>Gantry report</h1>
      <p class="quiet">
        Made on ${report.host} at ${timeText(report.now)}, of
        ${report.stores.map(({ name, address }) => (name === address ? address : `${name} (${address})`)).join(' and ')}
      </p>
    </header>
    <main>
      ${figures(report, instances)} ${charts(report, instances)} ${instanceTable(instances, report)} ${exportDetails(instances, report)}
    </main>`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>Gantry report</title>
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `.text;
}

function figures({ stores, now }: Report, instances: readonly ReportedInstance[]): Html {
  const exports = stores.flatMap((store) => store.exports);
  const count = (mark: ReturnType<typeof markOf>): string => String(exports.filter((each) => markOf(each) === mark).length);
  const oldest = instances.flatMap(({ newest }) => newest?.started ?? []).toSorted((a, b) => a.getTime() - b.getTime())[0];
  const without = instances.filter(({ newest }) => newest === undefined).length;
  const all: readonly (readonly [string, string])[] = [
    ['Instances', String(new Set(instances.map(({ name }) => name)).size)],
    ['Exports', String(exports.length)],
    ['Stored', formatBytes(sumOf(exports))],
    ['Damaged', count('damaged')],
    ['Unfinished', count('unfinished')],
    ['Never verified', count('unverified')],
    ['Without a complete export', String(without)],
    ['Oldest last export', oldest === undefined ? '–' : formatAge(now.getTime() - oldest.getTime())],
  ];
  return figureList(all);
}

function charts(report: Report, instances: readonly ReportedInstance[]): Html {
  if (instances.length === 0) return html`<p>There are no exports.</p>`;
  const range = rangeOf(report);
  const rows = instances.slice(0, MAX_ROWS);
  const largest = instances.toSorted((a, b) => b.storedBytes - a.storedBytes).slice(0, MAX_BARS);
  const more = instances.length > MAX_ROWS ? ` The first ${MAX_ROWS} of ${instances.length} instances.` : '';
  return html`<section aria-labelledby="timeline">
      <h2 id="timeline">Exports on a time line</h2>
      <p class="quiet">Each export at the time it began, UTC.${more}</p>
      ${legend()} ${figure('Every export, by instance and time; the tables below have the same', (size) => timeline(rows, range, size))}
    </section>
    <section aria-labelledby="growth">
      <h2 id="growth">Growth</h2>
      <p class="quiet">What the exports that are there now have stored, by the time they began.</p>
      ${lines(report.stores.map(({ name }) => name))} ${figure('Stored bytes by time', (size) => growth(report.stores, range, size))}
    </section>
    <section aria-labelledby="sizes">
      <h2 id="sizes">Sizes</h2>
      <p class="quiet">
        What the exports of each instance take in the store${instances.length > MAX_BARS ? `: the largest ${MAX_BARS}` : ''}.
      </p>
      ${figure('Stored bytes of each instance; the tables below have the same', (size) => sizes(largest, size))}
    </section>`;
}

/** The same chart for a phone and for larger screens. */
function figure(label: string, draw: (size: ChartSize) => Html): Html {
  const of = (name: keyof typeof SIZES): Html =>
    html`<figure class="${name}" role="img" aria-label="${label}">${draw(SIZES[name])}</figure>`;
  return html`${of('wide')} ${of('narrow')}`;
}

function timeText(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
