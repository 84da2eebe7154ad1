import type { RateLimiter } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import type { DumpSummary } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import { Credit } from './credit.ts';
import type { Link, LinkListener } from './link.ts';
import type { Control, DiskTotals, PeerEvent } from './messages.ts';
import { MAX_DATA_BYTES, WireProblem } from './wire.ts';

/** What a disk that is being sent waits for. */
type Waiting = 'the export script' | 'the peer' | 'the connection' | 'the import script';

interface SentDisk {
  readonly credit: Credit;
  readonly taken: PromiseWithResolvers<DumpDigest>;
  waiting: Waiting;
  sentBytes: number;
  /** When data was last sent, ms. */
  movedAt: number;
}

/** Size of the pieces under a rate limit: small, so that the rate is steady. */
const LIMITED_DATA_BYTES = 32 * 1024;

type DumpDigest = Pick<DumpSummary, 'frames' | 'plainBytes' | 'storedBytes' | 'sha256'> & Pick<DiskTotals, 'contents'>;

/** The data of one disk, of all of it or of one round. */
export interface OutgoingDump {
  readonly stored: AsyncIterable<Uint8Array>;
  /** The totals of the dump; called at its end. */
  readonly summary: () => DumpSummary;
  readonly limiter: RateLimiter | undefined;
  /** In a round: what the disk then contains; called at the end. */
  readonly contents?: (() => string) | undefined;
  /** Whether other rounds follow: the disk is not complete after this. */
  readonly moreFollows?: boolean;
}

export interface SenderOptions {
  readonly peer: string;
  /** Called for a line of a script of the receiver, or a warning. */
  readonly onEvent: (event: PeerEvent) => void;
  /** Called when a disk of the target was written to, or is complete. */
  readonly onState: (disk: number, state: 'partial' | 'complete') => void;
}

/** The source's side of the disks of one move: what may be sent, was sent, and was taken. */
export class Sender implements LinkListener {
  readonly #options: SenderOptions;
  readonly #disks = new Map<number, SentDisk>();
  #window: number | undefined;
  #takeContents: ((disk: number, bytes: Uint8Array) => void) | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** How many bytes of a disk may be sent before any are consumed; known when the receiver is ready. */
  set window(bytes: number) {
    this.#window = bytes;
  }

  /**
   * Sends the dump of one disk and waits until the receiver has taken it: received and checked all of it, and its script succeeded.
   *
   * @throws what `stored` throws; GantryError `PEER_*`, `DUMP_DAMAGED`; the reason of the signal
   */
  async send(
    link: Link,
    disk: number,
    { stored, summary, limiter, contents, moreFollows = false }: OutgoingDump,
    signal: AbortSignal,
  ): Promise<DumpSummary> {
    const state: SentDisk = {
      credit: new Credit(this.#window ?? 0),
      taken: Promise.withResolvers(),
      waiting: 'the export script',
      sentBytes: 0,
      movedAt: performance.now(),
    };
    this.#disks.set(disk, state);
    const slices = limiter === undefined ? sliced(stored, MAX_DATA_BYTES) : limiter.through(sliced(stored, LIMITED_DATA_BYTES), signal);
    for await (const slice of slices) {
      await this.#sendSlice(link, disk, state, slice, signal);
      state.waiting = 'the export script';
    }
    const made = summary();
    const { frames, plainBytes, storedBytes, sha256 } = made;
    const sent: DumpDigest = { frames, plainBytes, storedBytes, sha256, ...(contents === undefined ? {} : { contents: contents() }) };
    state.waiting = 'the import script';
    this.#options.onState(disk, 'partial');
    await link.send({ kind: 'end', disk, ...sent });
    assertSame(this.#options.peer, disk, sent, await orAbort(state.taken.promise, signal));
    if (!moreFollows) this.#options.onState(disk, 'complete');
    this.#disks.delete(disk);
    return made;
  }

  /** Data that the receiver sends from now on is what its disks contain, and goes to `take`; undefined: it may not send any. */
  expectContents(take: ((disk: number, bytes: Uint8Array) => void) | undefined): void {
    this.#takeContents = take;
  }

  data(disk: number, bytes: Uint8Array): void {
    if (this.#takeContents === undefined) throw new WireProblem('it sent data although it is the receiver');
    this.#takeContents(disk, bytes);
  }

  credit(disk: number, bytes: number): void {
    const state = this.#disks.get(disk);
    if (state === undefined) return;
    state.credit.add(bytes);
    state.movedAt = performance.now();
  }

  control(message: Control): boolean {
    if (message.kind === 'event') this.#options.onEvent(message);
    else if (message.kind === 'taken') {
      const state = this.#disks.get(message.disk);
      if (state?.waiting !== 'the import script') throw new WireProblem(`it has taken disk ${message.disk}, which was not sent`);
      state.taken.resolve(message);
    } else return false;
    return true;
  }

  waits(): boolean {
    const disks = [...this.#disks.values()];
    return disks.length > 0 && disks.every(({ waiting }) => waiting !== 'the export script');
  }

  where(): readonly string[] {
    return [...this.#disks].map(([disk, { waiting, sentBytes }]) => `disk ${disk}: ${sentBytes} stored bytes sent, waiting for ${waiting}`);
  }

  /** The disk is being read, although nothing of it needs to be sent. */
  progressed(disk: number): void {
    const state = this.#disks.get(disk);
    if (state !== undefined) state.movedAt = performance.now();
  }

  /** How long no data of any disk was sent although some should be, ms; 0 if no disk is being sent. Import scripts may take any time to finish. */
  stalledMs(now: number): number {
    const sending = [...this.#disks.values()].filter(({ waiting }) => waiting !== 'the import script');
    return sending.length === 0 ? 0 : now - Math.max(...sending.map(({ movedAt }) => movedAt));
  }

  async #sendSlice(link: Link, disk: number, state: SentDisk, slice: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let at = 0; at < slice.length;) {
      state.waiting = 'the peer';
      const bytes = await state.credit.take(slice.length - at, signal);
      if (state.sentBytes === 0) this.#options.onState(disk, 'partial');
      state.waiting = 'the connection';
      await link.sendData(disk, slice.subarray(at, at + bytes));
      at += bytes;
      state.sentBytes += bytes;
      state.movedAt = performance.now();
    }
  }
}

/** Splits chunks into pieces, which share the chunk's memory: the next chunk is requested when all pieces of this one were used. */
async function* sliced(chunks: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += bytes) yield chunk.subarray(at, at + bytes);
  }
}

function assertSame(peer: string, disk: number, sent: DumpDigest, taken: DumpDigest): void {
  const keys = ['frames', 'plainBytes', 'storedBytes', 'sha256', 'contents'] as const;
  const different = keys.find((key) => sent[key] !== taken[key]);
  if (different === undefined) return;
  throw new GantryError('DUMP_DAMAGED', {
    message: `${peer} received other data of disk ${disk} than was sent: ${different} is ${taken[different]} there and ${sent[different]} here`,
    hint: 'Nothing was committed. Check the memory and the disks of both machines.',
    disk,
  });
}
