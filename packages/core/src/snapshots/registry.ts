import { createCommandProvider } from './command.ts';
import { createDrbdProvider } from './drbd/drbd.ts';
import { createImageProvider } from './image.ts';
import { createLibvirtProvider } from './libvirt/libvirt.ts';
import { createLvmProvider } from './lvm/lvm.ts';
import { createNoneProvider } from './none.ts';
import type { ProviderOptions, SnapshotProvider } from './provider.ts';
import { createQemuProvider } from './qemu.ts';
import { createRbdProvider } from './rbd.ts';
import { createReflinkProvider } from './reflink.ts';
import { createZfsProvider } from './zfs/zfs.ts';

/** The kinds of snapshots, by their names in `--snapshot`, manifests and journals. */
type SnapshotKind = 'libvirt' | 'reflink' | 'qemu' | 'command' | 'drbd' | 'lvm' | 'zfs' | 'rbd' | 'image' | 'none';

interface Entry<Kind extends SnapshotKind> {
  /** Completes "auto is the first of these that works: …". */
  readonly summary: string;
  readonly create: (options: ProviderOptions) => SnapshotProvider & { readonly name: Kind };
}

/** Every kind, in the order in which `auto` prefers them. A new one gets its own file here and a section in docs/reference/snapshots.md. */
const ENTRIES: { readonly [Kind in SnapshotKind]: Entry<Kind> } = {
  libvirt: { summary: 'a running guest of libvirt, by a backup of all its disks at one moment', create: createLibvirtProvider },
  reflink: { summary: 'a clone beside a disk that is a file, on xfs and btrfs', create: createReflinkProvider },
  qemu: { summary: 'a running guest, by its own QEMU and scratch files', create: createQemuProvider },
  command: { summary: 'what the commands of --snapshot-config make', create: ({ config }) => createCommandProvider(config) },
  drbd: { summary: 'a snapshot of the logical volume below a primary of DRBD', create: createDrbdProvider },
  lvm: { summary: 'a snapshot of a logical volume, classic or thin', create: createLvmProvider },
  zfs: { summary: 'a snapshot of a volume or a file system of ZFS', create: () => createZfsProvider() },
  rbd: { summary: 'a snapshot of an image in a Ceph cluster', create: () => createRbdProvider() },
  image: { summary: 'an image in qcow2, vmdk or vhdx that nobody uses, as a guest sees it', create: () => createImageProvider() },
  none: { summary: 'no snapshot: the disk itself', create: createNoneProvider },
};

/** Which snapshots to take: one kind for all disks, or for each disk the first kind that works. */
export type SnapshotMode = 'auto' | SnapshotKind;

/** Every {@link SnapshotMode}, the default first. */
export const SNAPSHOT_MODES: readonly SnapshotMode[] = ['auto', ...Object.keys(ENTRIES).filter(isKind)];

/** What each kind is, for help. */
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
