import { createCommandProvider } from './command.ts';
import { createLvmProvider } from './lvm/lvm.ts';
import { createNoneProvider } from './none.ts';
import type { SnapshotProvider } from './provider.ts';
import { createReflinkProvider } from './reflink.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import type { SnapshotSize } from './snapshot-size.ts';

/** The ways to hold disks still, by the names that `--snapshot`, manifests and journals have. */
type SnapshotKind = 'reflink' | 'command' | 'lvm' | 'none';

/** What providers are made with. */
export interface ProviderOptions {
  readonly config?: SnapshotConfig | undefined;
  readonly size?: SnapshotSize | undefined;
}

interface Entry<Kind extends SnapshotKind> {
  /** Completes "auto is the first of these that works: …". */
  readonly summary: string;
  readonly create: (options: ProviderOptions) => SnapshotProvider & { readonly name: Kind };
}

/** Every way, in the order in which `auto` prefers them. A new one has a file of its own here and a part of docs/reference/snapshots.md. */
const ENTRIES: { readonly [Kind in SnapshotKind]: Entry<Kind> } = {
  reflink: { summary: 'a clone beside a disk that is a file, on xfs and btrfs', create: createReflinkProvider },
  command: { summary: 'what the commands of --snapshot-config make', create: ({ config }) => createCommandProvider(config) },
  lvm: { summary: 'a snapshot of a logical volume, classic or thin', create: createLvmProvider },
  none: { summary: 'the disk itself', create: createNoneProvider },
};

/** How disks are to be held still: one way for all of them, or for each disk the first that works. */
export type SnapshotMode = 'auto' | SnapshotKind;

/** Every {@link SnapshotMode}, the default first. */
export const SNAPSHOT_MODES: readonly SnapshotMode[] = ['auto', ...Object.keys(ENTRIES).filter(isKind)];

/** What each way is, for help. */
export const SNAPSHOT_SUMMARY: string = Object.entries(ENTRIES)
  .map(([name, { summary }]) => `${name} (${summary})`)
  .join(', ');

/** New providers of every kind: for one run, or to undo what a run has left. */
export function createProviders(options: ProviderOptions = {}): readonly SnapshotProvider[] {
  return Object.values(ENTRIES).map(({ create }) => create(options));
}

function isKind(name: string): name is SnapshotKind {
  return Object.hasOwn(ENTRIES, name);
}
