import { Inbox } from './inbox.ts';
import type { LinkListener } from './link.ts';
import type { Control, DiskTotals } from './messages.ts';
import { NativeInbox } from './native-inbox.ts';
import { WireProblem } from './wire.ts';

/** A disk that is being received. */
export interface IncomingDisk {
  readonly stored: Inbox;
  /** The source's totals of the dump, after all of it was sent. */
  readonly made: Promise<DiskTotals>;
}

/** Limits of the windows: of all disks together, and of one disk. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
const MAX_WINDOW_BYTES = 8 * 1024 * 1024;
const MIN_WINDOW_BYTES = 64 * 1024;

/** How much of one disk the source may send ahead, bytes. */
export function windowFor(disks: number): number {
  return Math.max(MIN_WINDOW_BYTES, Math.min(MAX_WINDOW_BYTES, Math.floor(MAX_TOTAL_BYTES / disks)));
}

/** The receiver's side of one move: its disks, and the native description of its instance. */
export class ReceiverInboxes implements LinkListener {
  readonly native: NativeInbox = new NativeInbox();
  readonly #disks = new Map<number, IncomingDisk & { readonly end: (made: DiskTotals) => void }>();

  open(disk: number, window: number, onTaken: (bytes: number) => void): IncomingDisk {
    const { promise, resolve } = Promise.withResolvers<DiskTotals>();
    const incoming = { stored: new Inbox(window, onTaken), made: promise, end: resolve };
    this.#disks.set(disk, incoming);
    return incoming;
  }

  data(disk: number, bytes: Uint8Array): void {
    this.#find(disk).stored.push(bytes);
  }

  credit(): void {
    throw new WireProblem('it sent a credit although it is the source');
  }

  control(message: Control): boolean {
    if (message.kind === 'native') this.native.push(message);
    if (message.kind !== 'end') return message.kind === 'native';
    const incoming = this.#find(message.disk);
    incoming.stored.end();
    incoming.end(message);
    return true;
  }

  /** To be called when the disk is complete, checked and reported as taken. */
  close(disk: number): void {
    this.#disks.delete(disk);
  }

  /** Disks that have arrived completely do not wait: they are being processed until they are taken. */
  waits(): boolean {
    const open = [...this.#disks.values()];
    return open.length > 0 && open.every(({ stored }) => stored.isStarved);
  }

  where(): readonly string[] {
    return [...this.#disks].flatMap(([disk, { stored }]) => (stored.isStarved ? [`disk ${disk}: waiting for data`] : []));
  }

  #find(disk: number): IncomingDisk & { readonly end: (made: DiskTotals) => void } {
    const incoming = this.#disks.get(disk);
    if (incoming === undefined) throw new WireProblem(`it sent data of disk ${disk}, which was not announced`);
    return incoming;
  }
}
