import { createCommandProvider } from './command.ts';
import { createNoneProvider } from './none.ts';
import type { SnapshotProvider } from './provider.ts';
import { createReflinkProvider } from './reflink.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/** One way to hold disks still. */
interface Entry<Name extends string> {
  /** As `--snapshot`, manifests and journals have it. */
  readonly name: Name;
  /** Completes "auto is the first of these that works: …". */
  readonly summary: string;
  readonly create: (config?: SnapshotConfig) => SnapshotProvider & { readonly name: Name };
}

function entry<Name extends string>(name: Name, summary: string, create: Entry<Name>['create']): Entry<Name> {
  return { name, summary, create };
}

/** Every way, in the order in which `auto` prefers them. A new one has a file of its own here and a part of docs/reference/snapshots.md. */
const ENTRIES = [
  entry('reflink', 'a clone beside a disk that is a file, on xfs and btrfs', createReflinkProvider),
  entry('command', 'what the commands of --snapshot-config make', createCommandProvider),
  entry('none', 'the disk itself', createNoneProvider),
] as const;

/** How disks are to be held still: one way for all of them, or for each disk the first that works. */
export type SnapshotMode = 'auto' | (typeof ENTRIES)[number]['name'];

/** Every {@link SnapshotMode}, the default first. */
export const SNAPSHOT_MODES: readonly SnapshotMode[] = ['auto', ...ENTRIES.map(({ name }) => name)];

/** What each way is, for help. */
export const SNAPSHOT_SUMMARY: string = ENTRIES.map(({ name, summary }) => `${name} (${summary})`).join(', ');

/** New providers of every kind: for one run, or to undo what a run has left. */
export function createProviders(config?: SnapshotConfig): readonly SnapshotProvider[] {
  return ENTRIES.map(({ create }) => create(config));
}
