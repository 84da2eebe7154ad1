import type { ProviderOptions, SnapshotProvider } from './provider.ts';

/** The kinds of snapshots, by their names in `--snapshot`, manifests and journals. */
type SnapshotKind = 'libvirt' | 'reflink' | 'qemu' | 'command' | 'drbd' | 'lvm' | 'zfs' | 'rbd' | 'image' | 'none';

interface Entry<Kind extends SnapshotKind> {
  /** Completes "auto is the first of these that works: …". */
  readonly summary: string;
  /** Loads its code too: most commands take no snapshot. */
  readonly create: (options: ProviderOptions) => Promise<SnapshotProvider & { readonly name: Kind }>;
}

/** Every kind, in the order in which `auto` prefers them. A new one gets its own file here and a section in docs/reference/snapshots.md. */
const ENTRIES: { readonly [Kind in SnapshotKind]: Entry<Kind> } = {
  libvirt: {
    summary: 'a running guest of libvirt, by a backup of all its disks at one moment',
    create: async (options) => (await import('./libvirt/libvirt.ts')).createLibvirtProvider(options),
  },
  reflink: {
    summary: 'a clone beside a disk that is a file, on xfs and btrfs',
    create: async () => (await import('./reflink.ts')).createReflinkProvider(),
  },
  qemu: {
    summary: 'a running guest, by its own QEMU and scratch files',
    create: async (options) => (await import('./qemu.ts')).createQemuProvider(options),
  },
  command: {
    summary: 'what the commands of --snapshot-config make',
    create: async ({ config }) => (await import('./command.ts')).createCommandProvider(config),
  },
  drbd: {
    summary: 'a snapshot of the logical volume below a primary of DRBD',
    create: async (options) => (await import('./drbd/drbd.ts')).createDrbdProvider(options),
  },
  lvm: {
    summary: 'a snapshot of a logical volume, classic or thin',
    create: async (options) => (await import('./lvm/lvm.ts')).createLvmProvider(options),
  },
  zfs: {
    summary: 'a snapshot of a volume or a file system of ZFS',
    create: async () => (await import('./zfs/zfs.ts')).createZfsProvider(),
  },
  rbd: { summary: 'a snapshot of an image in a Ceph cluster', create: async () => (await import('./rbd.ts')).createRbdProvider() },
  image: {
    summary: 'an image in qcow2, vmdk or vhdx that nobody uses, as a guest sees it',
    create: async () => (await import('./image.ts')).createImageProvider(),
  },
  none: { summary: 'no snapshot: the disk itself', create: async () => (await import('./none.ts')).createNoneProvider() },
};

/** Which snapshots to take: one kind for all disks, or for each disk the first kind that works. */
export type SnapshotMode = 'auto' | SnapshotKind;

/** Every {@link SnapshotMode}, the default first. */
export const SNAPSHOT_MODES: readonly SnapshotMode[] = ['auto', ...Object.keys(ENTRIES).filter(isKind)];

/** What each kind is, for help. */
export const SNAPSHOT_SUMMARY: string = Object.entries(ENTRIES)
  .map(([name, { summary }]) => `${name} (${summary})`)
  .join(', ');

/** New providers, for one run: of every kind in the order of `auto`, or of one. */
export async function createProviders(options: ProviderOptions = {}, mode: SnapshotMode = 'auto'): Promise<readonly SnapshotProvider[]> {
  const entries = mode === 'auto' ? Object.values(ENTRIES) : [ENTRIES[mode]];
  return await Promise.all(entries.map(({ create }) => create(options)));
}

/** To undo what a run has left. @returns undefined for a kind that this version lacks */
export async function providerNamed(name: string): Promise<SnapshotProvider | undefined> {
  return isKind(name) ? await ENTRIES[name].create({}) : undefined;
}

function isKind(name: string): name is SnapshotKind {
  return Object.hasOwn(ENTRIES, name);
}
