import type { MadeDump } from '../frames/frame-plan.ts';
import { Inbox } from './inbox.ts';
import type { LinkListener } from './link.ts';
import type { Control } from './messages.ts';
import { WireProblem } from './wire.ts';

/** One disk as it comes in. */
export interface IncomingDisk {
  readonly stored: Inbox;
  /** What the source says of the dump, when it has sent all of it. */
  readonly made: Promise<MadeDump>;
}

/** How much may be under way for all disks together, and for one of them, bytes. */
const ALL_WINDOWS = 64 * 1024 * 1024;
const LARGEST_WINDOW = 8 * 1024 * 1024;
const SMALLEST_WINDOW = 64 * 1024;

/** How much of one disk the source may send ahead, bytes. */
export function windowFor(disks: number): number {
  return Math.max(SMALLEST_WINDOW, Math.min(LARGEST_WINDOW, Math.floor(ALL_WINDOWS / disks)));
}

/** The receiver's side of the disks of one move. */
export class ReceiverInboxes implements LinkListener {
  readonly #disks = new Map<number, IncomingDisk & { readonly end: (made: MadeDump) => void }>();

  open(disk: number, window: number, onTaken: (bytes: number) => void): IncomingDisk {
    const { promise, resolve } = Promise.withResolvers<MadeDump>();
    const incoming = { stored: new Inbox(window, onTaken), made: promise, end: resolve };
    this.#disks.set(disk, incoming);
    return incoming;
  }

  data(disk: number, bytes: Uint8Array): void {
    this.#find(disk).stored.push(bytes);
  }

  credit(): void {
    throw new WireProblem('it allowed data, and is to send it');
  }

  control(message: Control): boolean {
    if (message.kind !== 'end') return false;
    const incoming = this.#find(message.disk);
    incoming.stored.end();
    incoming.end(message);
    return true;
  }

  /** The disk is complete, checked and said to be taken. */
  close(disk: number): void {
    this.#disks.delete(disk);
  }

  /** A disk of which all has come is worked on until it is taken. */
  waits(): boolean {
    const open = [...this.#disks.values()];
    return open.length > 0 && open.every(({ stored }) => stored.isStarved);
  }

  where(): readonly string[] {
    return [...this.#disks].flatMap(([disk, { stored }]) => (stored.isStarved ? [`disk ${disk}: waiting for data`] : []));
  }

  #find(disk: number): IncomingDisk & { readonly end: (made: MadeDump) => void } {
    const incoming = this.#disks.get(disk);
    if (incoming === undefined) throw new WireProblem(`it sent data of disk ${disk}, which was not announced`);
    return incoming;
  }
}
