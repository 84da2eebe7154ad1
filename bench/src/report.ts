import { MIB } from './data-sets.ts';
import type { Result } from './contest.ts';
import type { Added, Summary } from './statistics.ts';

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

/**
 * A table in Markdown, narrow enough for a page of 120 columns. Rates are MiB/s of the plain stream, `×` how many times as long as Gantry
 * a tool takes, then seconds of processor time for each GiB, the most memory in MiB, and the share of the plain stream that is stored.
 */
export function table(contest: Contest): string {
  const ours = reference(contest);
  const withImports = contest.results.some((result) => result.import !== undefined);
  const head = ['', 'export MiB/s', '×', 's/GiB', 'MiB', 'stored', ...(withImports ? ['import MiB/s', '×', 's/GiB', 'MiB'] : [])];
  const rows = contest.results.map((result) => {
    const label = result === ours ? `**${result.name}**` : result.name;
    if (result.failure !== undefined) return [label, 'could not run'];
    const stored = result.storedBytes === undefined ? '' : `${Math.round((100 * result.storedBytes) / contest.bytes)} %`;
    return [
      label,
      ...cells(result.export, ours?.export, contest.bytes, stored),
      ...(withImports ? cells(result.import, ours?.import, contest.bytes) : []),
    ];
  });
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '--:')), ...rows].map((row) => `| ${row.map(escaped).join(' | ')} |`);
  return [...lines, ...failures(contest)].join('\n');
}

/** What contestants cost above others, seconds of processor time for each GiB: medians and ranges of pairs of runs. Empty if none does. */
export function tableOfAdded({ results, bytes }: Contest): string {
  const rows = results.flatMap(({ name, above }) =>
    above === undefined ? [] : [[name, above.name, addedCell(above.export, bytes), addedCell(above.import, bytes)]],
  );
  if (rows.length === 0) return '';
  const head = [['', 'above', 'export, s/GiB', 'import, s/GiB'], ['---', '---', '--:', '--:'], ...rows];
  return head.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function addedCell(added: Added | undefined, bytes: number): string {
  if (added === undefined) return '';
  const [median, lowest, highest] = [added.median, added.lowest, added.highest].map((seconds) =>
    (seconds / (bytes / MIB / 1024)).toFixed(2),
  );
  return `${median} (${lowest} to ${highest})`;
}

/** A list of what is behind the names of the tables; each remark once. */
export function remarks(contests: readonly Contest[]): string {
  const results = contests.flatMap((contest) => contest.results);
  const lines = results.flatMap(({ name, note }) => (note === undefined ? [] : [`- ${escaped(name)}: ${note}`]));
  return [...new Set(lines)].join('\n');
}

function failures(contest: Contest): readonly string[] {
  const failed = contest.results.filter(({ failure }) => failure !== undefined);
  return failed.map(({ name, failure }) => `\n${escaped(name)} could not run: ${failure?.split('\n')[0]?.slice(0, 120) ?? ''}`);
}

function escaped(text: string): string {
  return text.replaceAll('|', String.raw`\|`);
}

function cells(summary: Summary | undefined, ours: Summary | undefined, bytes: number, stored?: string): readonly string[] {
  if (summary === undefined) return Array.from({ length: stored === undefined ? 4 : 5 }, () => '');
  const rate = `${(bytes / MIB / summary.wall).toFixed(0)} ±${Math.round(summary.spread * 50)} %`;
  const ratio = ours === undefined ? '' : ratioOf(summary, ours).toFixed(2);
  const cpu = summary.cpu === undefined ? '?' : (summary.cpu / (bytes / MIB / 1024)).toFixed(1);
  const memory = summary.peakBytes === undefined ? '?' : String(Math.round(summary.peakBytes / MIB));
  return [rate, ratio, cpu, memory, ...(stored === undefined ? [] : [stored])];
}

/** How many times as long as Gantry another takes. */
export function ratioOf(other: Summary, ours: Summary): number {
  return other.wall / ours.wall;
}
