import { formatBytes, formatDuration, Html, html } from '@gantry/programs';
import { DAY_MS } from '../../days.ts';
import type { AttemptOutput } from '../../queue/form.ts';
import type { FleetJob } from '../../queue/records.ts';
import { KEEP_DAYS } from '../../queue/records.ts';
import { CLASSES, livePart, page, table, text, timeCell } from './layout.ts';

/** The exports of an instance in the last month. @param jobs oldest first */
export function historyPage(instance: string, jobs: readonly FleetJob[], now: Date): string {
  const newestFirst = jobs.filter(({ state }) => state !== 'lost').toReversed();
  const body =
    newestFirst.length === 0
      ? html`<h2>${instance}</h2>
          <p>The fleet has planned no export of it in the last ${KEEP_DAYS} days.</p>`
      : html`${livePart(
          'history',
          instance,
          html`${charts(
            newestFirst.filter(({ work }) => work !== 'restore'),
            now,
          )}
          ${attempts(newestFirst)}`,
        )}`;
  return page(`${instance}: Gantry fleet`, body, { isLive: true });
}

function attempts(jobs: readonly FleetJob[]): Html {
  const rows = jobs.map(({ begin, work, dryRun, state, node, policy, attempts: count, startedOn, endedOn, output }) => [
    begin === undefined ? text('asked for') : timeCell(begin),
    html`<span class="${CLASSES[state]}">${work === 'restore' ? `${dryRun === true ? 'dry run' : 'restore'}: ${state}` : state}</span>`,
    timeCell(startedOn),
    text(startedOn === undefined || endedOn === undefined ? '–' : formatDuration(endedOn.getTime() - startedOn.getTime())),
    text(output.plainBytes === undefined ? '–' : formatBytes(output.plainBytes)),
    text(output.storedBytes === undefined ? '–' : formatBytes(output.storedBytes)),
    text(String(count)),
    text(node),
    text(policy),
    html`<span class="reason">${resultText(output)}</span>`,
  ]);
  const columns = [
    { heading: 'Window (UTC)' },
    { heading: 'State' },
    { heading: 'Began (UTC)' },
    { heading: 'Took', isNumber: true },
    { heading: 'Plain', isNumber: true },
    { heading: 'Stored', isNumber: true },
    { heading: 'Attempts', isNumber: true },
    { heading: 'Node' },
    { heading: 'Policy' },
    { heading: 'Result' },
  ];
  return table('history-table', 'Exports of the last month', columns, rows);
}

function resultText({ code, message = '', reference }: AttemptOutput): string {
  return code === undefined ? [reference?.split('@')[1] ?? '', message].filter((part) => part !== '').join(': ') : `${code}: ${message}`;
}

interface Size {
  readonly width: number;
  /** Between two days that are written. */
  readonly everyDays: number;
}

const SIZES: Readonly<Record<'narrow' | 'wide', Size>> = { narrow: { width: 340, everyDays: 10 }, wide: { width: 1000, everyDays: 5 } };
const HEIGHT = 150;
const BOTTOM = 24;
/** For what a bar that is cut off would lack. */
const TOP = 18;
const LEFT = 8;
/** A short export is seen too. */
const MIN_BAR = 3;

/** How long each export took, a bar for each day; the table has the same. */
function charts(jobs: readonly FleetJob[], now: Date): Html {
  const draw = (name: keyof typeof SIZES): Html => html`<div class="${name}">${chart(jobs, now, SIZES[name])}</div>`;
  return html`${draw('wide')} ${draw('narrow')}`;
}

function chart(jobs: readonly FleetJob[], now: Date, { width, everyDays }: Size): Html {
  const tookMs = ({ startedOn, endedOn }: FleetJob): number =>
    startedOn === undefined ? 0 : Math.max(0, (endedOn ?? now).getTime() - startedOn.getTime());
  const longest = Math.max(1, ...jobs.map(tookMs));
  const slot = (width - LEFT) / (KEEP_DAYS + 1);
  const x = (time: Date): number => LEFT + (KEEP_DAYS - (now.getTime() - time.getTime()) / DAY_MS) * slot;
  const bars = jobs.flatMap((job) => {
    const at = job.startedOn ?? job.begin;
    if (at === undefined || now.getTime() - at.getTime() > KEEP_DAYS * DAY_MS) return [];
    const height = Math.max(MIN_BAR, (tookMs(job) / longest) * (HEIGHT - BOTTOM - TOP));
    const kind = job.state === 'done' || job.state === 'failed' || job.state === 'running' ? job.state : 'other';
    const top = HEIGHT - BOTTOM - height;
    const mark = html`<text class="mark" x="${x(at).toFixed(1)}" y="${(top - 4).toFixed(1)}">✕</text>`;
    return [
      html`<rect
          class="bar-${kind}"
          x="${x(at).toFixed(1)}"
          y="${top.toFixed(1)}"
          width="${(slot * 0.7).toFixed(1)}"
          height="${height.toFixed(1)}"
        />
        ${kind === 'failed' ? mark : ''}`,
    ];
  });
  const days = Array.from(
    { length: Math.floor(KEEP_DAYS / everyDays) },
    (_, index) => new Date(now.getTime() - (index + 1) * everyDays * DAY_MS),
  );
  const labels = days.map(
    (day) => html`<text x="${x(day).toFixed(1)}" y="${HEIGHT - 6}">${day.toISOString().slice('YYYY-'.length, 'YYYY-MM-DD'.length)}</text>`,
  );
  const baseline = HEIGHT - BOTTOM;
  return html`<svg
    class="history"
    viewBox="0 0 ${width} ${HEIGHT}"
    role="img"
    aria-label="How long each export took; the table has the same"
  >
    <line class="line" x1="0" x2="${width}" y1="${baseline}" y2="${baseline}" />
    <text x="${LEFT}" y="12">✕ failed; the longest took ${formatDuration(longest)}</text>
    ${bars} ${labels}
  </svg>`;
}
