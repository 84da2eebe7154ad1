import { MIB } from './data-sets.ts';
import type { Result } from './contest.ts';
import type { Summary } from './statistics.ts';

/** One contest with what it was held on. */
export interface Contest {
  readonly title: string;
  /** Such as `dense`. */
  readonly key: string;
  readonly bytes: number;
  readonly results: readonly Result[];
}

/** Whom the ratios count from: the first of Gantry's own. */
function reference(contest: Contest): Result | undefined {
  return contest.results.find(({ name }) => name.startsWith('gantry'));
}

/** A table in Markdown; ratios above 1 mean that Gantry is that much faster. */
export function table(contest: Contest): string {
  const ours = reference(contest);
  const withImports = contest.results.some((result) => result.import !== undefined);
  const head = ['', 'export', 'gantry ×', 'CPU', 'memory', 'stored', ...(withImports ? ['import', 'gantry ×', 'CPU', 'memory'] : [])];
  const rows = contest.results.map((result) => {
    const label = result.note === undefined ? `**${result.name}**` : `**${result.name}**: ${result.note}`;
    if (result.failure !== undefined) return [label, `could not run: ${result.failure.split('\n')[0]?.slice(0, 120) ?? ''}`];
    const stored = result.storedBytes === undefined ? '' : `${Math.round((100 * result.storedBytes) / contest.bytes)} %`;
    return [
      label,
      ...cells(result.export, ours?.export, contest.bytes, stored),
      ...(withImports ? cells(result.import, ours?.import, contest.bytes) : []),
    ];
  });
  return [head, head.map((_, index) => (index === 0 ? '---' : '--:')), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`)
    .join('\n');
}

function cells(summary: Summary | undefined, ours: Summary | undefined, bytes: number, stored?: string): readonly string[] {
  if (summary === undefined) return Array.from({ length: stored === undefined ? 4 : 5 }, () => '');
  const rate = `${(bytes / MIB / summary.wall).toFixed(0)} MiB/s ±${Math.round(summary.spread * 50)} %`;
  const ratio = ours === undefined ? '' : ratioOf(summary, ours).toFixed(2);
  const cpu = summary.cpu === undefined ? 'not measured' : `${(summary.cpu / (bytes / MIB / 1024)).toFixed(1)} s/GiB`;
  const memory = summary.peakBytes === undefined ? 'not measured' : `${Math.round(summary.peakBytes / MIB)} MiB`;
  return [rate, ratio, cpu, memory, ...(stored === undefined ? [] : [stored])];
}

/** How many times as long as Gantry another takes. */
export function ratioOf(other: Summary, ours: Summary): number {
  return other.wall / ours.wall;
}
