import type { ListedExport } from '@gantry/core';

/** A store and what is in it. */
export interface ReportedStore {
  /** Its name in gantry.yaml, if it was named so; otherwise its address. */
  readonly name: string;
  readonly address: string;
  /** Ordered by instance and age. */
  readonly exports: readonly ListedExport[];
}

/** What a report is about. */
export interface Report {
  readonly stores: readonly ReportedStore[];
  /** Name of the machine that made it. */
  readonly host: string;
  readonly now: Date;
}

/** How an export is marked: by a shape, so that nobody needs to see colours. */
export type Mark = 'verified' | 'unverified' | 'damaged' | 'unfinished';

export const MARKS: readonly Mark[] = ['verified', 'unverified', 'damaged', 'unfinished'];

export function markOf({ state, verified }: ListedExport): Mark {
  if (state !== 'complete') return state;
  return verified === undefined ? 'unverified' : 'verified';
}

/** An instance in one store. */
export interface ReportedInstance {
  readonly name: string;
  /** Name of the store. */
  readonly store: string;
  /** Newest first. */
  readonly exports: readonly ListedExport[];
  /** The newest complete one. */
  readonly newest: ListedExport | undefined;
  readonly storedBytes: number;
}

/** Every instance of every store, by name. */
export function instancesOf({ stores }: Report): readonly ReportedInstance[] {
  const all = stores.flatMap(({ name: store, exports }) =>
    [...Map.groupBy(exports, ({ instance }) => instance)].map(([name, own]) => {
      const newestFirst = own.toReversed();
      const newest = newestFirst.find(({ state }) => state === 'complete');
      return { name, store, exports: newestFirst, newest, storedBytes: sumOf(own) };
    }),
  );
  return all.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** What exports take in a store, bytes. */
export function sumOf(exports: readonly ListedExport[]): number {
  return exports.reduce((sum, { storedBytes = 0 }) => sum + storedBytes, 0);
}
