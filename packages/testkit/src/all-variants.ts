import process from 'node:process';

/**
 * Whether tests also do what differs little from what they do anyway, or takes long and seldom breaks, with `GANTRY_ALL_VARIANTS=1`:
 * `scripts/variants.sh` runs all of that.
 */
export const ALL_VARIANTS: boolean = process.env['GANTRY_ALL_VARIANTS'] === '1';

/**
 * How long what writes to disks all the while rests after each write, ms: 50, or `GANTRY_WRITER_PAUSE_MS`. An emulated guest that never
 * rests takes a processor of the host. With 0, as in `scripts/variants.sh` and `scripts/kills.sh`, writes come so close to each other that
 * snapshots which are not of one moment can hardly look as if they were.
 */
export const WRITER_PAUSE_MS: number = Number(process.env['GANTRY_WRITER_PAUSE_MS'] ?? 50);

/** One of each `count` of them, from that number on, for what goes the same way for all; all of them with all variants. */
export function oneIn<T>(count: number, all: readonly T[], first = 0): readonly T[] {
  return ALL_VARIANTS ? all : all.filter((_, index) => index % count === first % count);
}
