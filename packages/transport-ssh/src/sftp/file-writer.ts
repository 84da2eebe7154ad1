import { Buffer } from 'node:buffer';
import type { FileLanes } from './file-lanes.ts';
import type { LaneFile } from './lane.ts';

/** How much may be unanswered over one lane, bytes: twice what the channel's window lets through, so that it never runs dry. */
const LANE_WINDOW_BYTES = 4 * 1024 * 1024;

/** The most bytes that can stand before the data of a WRITE (a handle has 256 at most, draft section 6.2). */
const MAX_HEAD_BYTES = 512;

interface Packet {
  readonly file: LaneFile;
  readonly memory: Buffer;
  /** Bytes used, the head's included. */
  end: number;
}

/**
 * Writes a stream to a file, many requests at once. Chunks are copied, once, into packets that are used again: the giver may fill
 * its memory anew as soon as `write` resolves.
 */
export class FileWriter {
  readonly #lanes: FileLanes;
  readonly #unanswered = new Map<LaneFile, number>();
  /** Where the writes begin that are not answered; in the order in which they were sent. */
  readonly #offsets = new Set<number>();
  readonly #free: Buffer[] = [];
  #position = 0;
  #packet: Packet | undefined;
  #failure: { readonly error: unknown } | undefined;
  #answered: PromiseWithResolvers<void> | undefined;
  #passed = 0;

  constructor(lanes: FileLanes) {
    this.#lanes = lanes;
  }

  /** How many bytes the file has once all that was taken is written. */
  get position(): number {
    const { file, end } = this.#packet ?? {};
    return this.#position + (file === undefined || end === undefined ? 0 : end - file.client.writeHeadBytes(file.handle));
  }

  /** Up to where every byte is written: what a sync that begins now makes durable. */
  get answeredTo(): number {
    const [oldest = this.#position] = this.#offsets;
    return oldest;
  }

  /** Takes a chunk; waits while too much is unanswered. Rejects with the first failure of any write. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      this.#packet ??= await this.#begin();
      const { memory, file, end } = this.#packet;
      const room = Math.min(memory.length, file.client.writeHeadBytes(file.handle) + file.client.dataBytes) - end;
      const count = Math.min(room, chunk.length - at);
      memory.set(chunk.subarray(at, at + count), end);
      this.#packet.end += count;
      at += count;
      if (count === room) this.#send(this.#packet);
    }
    this.#throwFailure();
  }

  /** Waits until all that was taken is written. */
  async flush(): Promise<void> {
    if (this.#packet !== undefined) this.#send(this.#packet);
    while (this.#unansweredBytes() > 0) {
      this.#throwFailure();
      await this.#nextAnswer();
    }
    this.#throwFailure();
  }

  async #begin(): Promise<Packet> {
    for (;;) {
      this.#throwFailure();
      const file = this.#idlest();
      if (this.#unansweredOf(file) + file.client.dataBytes <= LANE_WINDOW_BYTES) {
        const memory = this.#free.pop() ?? Buffer.allocUnsafeSlow(MAX_HEAD_BYTES + file.client.dataBytes);
        return { file, memory, end: file.client.writeHeadBytes(file.handle) };
      }
      await this.#nextAnswer();
    }
  }

  #send({ file, memory, end }: Packet): void {
    this.#packet = undefined;
    const bytes = end - file.client.writeHeadBytes(file.handle);
    const offset = this.#position;
    this.#position += bytes;
    this.#passed += bytes;
    this.#unanswered.set(file, this.#unansweredOf(file) + bytes);
    this.#offsets.add(offset);
    void this.#follow(
      file,
      offset,
      bytes,
      file.client.write(file.handle, offset, memory.subarray(0, end), () => this.#free.push(memory)),
    );
    this.#lanes.passed(this.#passed);
  }

  async #follow(file: LaneFile, offset: number, bytes: number, answer: Promise<void>): Promise<void> {
    try {
      await answer;
      this.#offsets.delete(offset);
    } catch (error) {
      this.#failure ??= { error };
    }
    this.#unanswered.set(file, this.#unansweredOf(file) - bytes);
    this.#answered?.resolve();
    this.#answered = undefined;
  }

  #idlest(): LaneFile {
    return this.#lanes.files.reduce((best, file) => (this.#unansweredOf(file) < this.#unansweredOf(best) ? file : best), this.#lanes.first);
  }

  #unansweredOf(file: LaneFile): number {
    return this.#unanswered.get(file) ?? 0;
  }

  #unansweredBytes(): number {
    return this.#unanswered.values().reduce((sum, bytes) => sum + bytes, 0);
  }

  #nextAnswer(): Promise<void> {
    this.#answered ??= Promise.withResolvers();
    return this.#answered.promise;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
