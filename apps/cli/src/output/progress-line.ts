import { formatBytes, formatDuration } from '@gantry/programs';

/** The progress of one disk or of all together. */
export interface ProgressState {
  readonly label: string;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** Plain bytes at the end, if known. */
  readonly expectedBytes: number | undefined;
  /** Plain bytes per second. */
  readonly rate: number;
  /** Ms since the last byte, if it has stalled. */
  readonly stillMs: number | undefined;
  /** Ms that the rest will take, if that can be estimated. */
  readonly leftMs: number | undefined;
  /** More text, shown if there is room. */
  readonly note?: string | undefined;
}

/** What a line shows besides its label, the share and the speed. */
interface Layout {
  /** Characters of the bar; none at 0. */
  readonly bar: number;
  readonly amount: 'with stored' | 'plain' | 'none';
  readonly left: boolean;
  readonly note: boolean;
}

/** From the longest to the shortest: the first that fits is used. */
const LAYOUTS: readonly Layout[] = [
  { bar: 24, amount: 'with stored', left: true, note: true },
  { bar: 12, amount: 'with stored', left: true, note: true },
  { bar: 12, amount: 'plain', left: true, note: true },
  { bar: 12, amount: 'plain', left: true, note: false },
  { bar: 0, amount: 'plain', left: true, note: false },
  { bar: 0, amount: 'none', left: true, note: false },
  { bar: 0, amount: 'none', left: false, note: false },
];

/** For a log, where lines may be long and bars are useless. */
const LOG_LAYOUT: Layout = { bar: 0, amount: 'with stored', left: true, note: true };

/** One line of at most `width` characters, all of them ASCII; without a width, a line of a log. */
export function progressLine(state: ProgressState, width: number | undefined): string {
  if (width === undefined) return compose(state, LOG_LAYOUT);
  for (const layout of LAYOUTS) {
    const line = compose(state, layout);
    if (line.length <= width) return line;
  }
  return compose(state, { bar: 0, amount: 'none', left: false, note: false }).slice(0, width);
}

function compose(state: ProgressState, { bar, amount, left, note }: Layout): string {
  const { label, plainBytes, storedBytes, expectedBytes, rate, stillMs, leftMs } = state;
  const parts = [label];
  if (expectedBytes !== undefined && expectedBytes > 0) {
    // The size that a script announces is an estimate: more than 100 % is shown as 100 %.
    const share = Math.min(1, plainBytes / expectedBytes);
    const percent = Math.floor(share * 100);
    const filled = Math.round(share * bar);
    parts.push(bar === 0 ? `${percent}%` : `[${'#'.repeat(filled)}${'.'.repeat(bar - filled)}] ${String(percent).padStart(3)}%`);
  }
  if (amount !== 'none') parts.push(`${formatBytes(plainBytes)}${amount === 'plain' ? '' : ` (${formatBytes(storedBytes)} stored)`}`);
  parts.push(stillMs === undefined ? `${formatBytes(Math.round(rate))}/s` : `no data for ${formatSeconds(stillMs)}`);
  if (left && leftMs !== undefined) parts.push(`${formatSeconds(leftMs)} left`);
  if (note && state.note !== undefined) parts.push(state.note);
  return parts.join('  ');
}

/** In full seconds, so that it does not change with each redraw. */
function formatSeconds(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds} s` : formatDuration(seconds * 1000);
}
