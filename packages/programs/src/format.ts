const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes in a readable unit: `512 B`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${UNITS[unit] ?? ''}`;
}

/** Milliseconds in readable units: `0.4 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** Rows as columns, each as wide as its widest cell; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How long ago, roughly: `3 min`, `5 h`, `12 d`. A time in the future is `0 min`. */
export function formatAge(ms: number): string {
  if (ms < 2 * HOUR_MS) return `${Math.max(0, Math.floor(ms / MINUTE_MS))} min`;
  return ms < 2 * DAY_MS ? `${Math.floor(ms / HOUR_MS)} h` : `${Math.floor(ms / DAY_MS)} d`;
}

/** A column of a table whose rows are made from `T`. */
export interface TableColumn<T> {
  readonly heading: string;
  readonly cell: (row: T) => string;
  /** How much it matters where there is too little room for all: the lowest goes first. Absent for one that always stays. */
  readonly optional?: number;
}

/** A table of at most `width` characters, as far as its columns are optional. */
export function fittingTable<T>(columns: readonly TableColumn<T>[], rows: readonly T[], width: number): readonly string[] {
  const lines = formatTable([columns.map(({ heading }) => heading), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]);
  const [least] = columns.filter(({ optional }) => optional !== undefined).toSorted((a, b) => (a.optional ?? 0) - (b.optional ?? 0));
  if (least === undefined || lines.every((line) => line.length <= width)) return lines;
  return fittingTable(
    columns.filter((column) => column !== least),
    rows,
    width,
  );
}
