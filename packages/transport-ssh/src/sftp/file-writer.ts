import { Buffer } from 'node:buffer';
import type { FileSessions } from './file-sessions.ts';
import type { SessionFile } from './pooled-session.ts';

/** How many bytes may be unanswered over one session: twice the channel's window, so that it never runs dry. */
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;

/** Maximum number of bytes before the data of a WRITE (a handle has at most 256, draft section 6.2). */
const MAX_HEAD_BYTES = 512;

interface Packet {
  readonly file: SessionFile;
  readonly memory: Buffer;
  /** Bytes used, including the head. */
  end: number;
}

/**
 * Writes a stream to a file, with many requests in flight. Chunks are copied once, into reused packets: the caller may reuse its memory
 * as soon as `write` resolves.
 */
export class FileWriter {
  readonly #sessions: FileSessions;
  readonly #unanswered = new Map<SessionFile, number>();
  /** The offsets of unanswered writes, in the order in which they were sent. */
  readonly #offsets = new Set<number>();
  readonly #free: Buffer[] = [];
  #position = 0;
  #packet: Packet | undefined;
  #failure: { readonly error: unknown } | undefined;
  #answered: PromiseWithResolvers<void> | undefined;
  #passed = 0;

  constructor(sessions: FileSessions) {
    this.#sessions = sessions;
  }

  /** The size of the file once all bytes taken are written. */
  get position(): number {
    const { file, end } = this.#packet ?? {};
    return this.#position + (file === undefined || end === undefined ? 0 : end - file.client.writeHeadBytes(file.handle));
  }

  /** How many bytes from the start are written, so that a sync started now makes them durable. */
  get answeredTo(): number {
    const [oldest = this.#position] = this.#offsets;
    return oldest;
  }

  /** Appends a chunk; waits while too many bytes are unanswered. Rejects with the first failure of any write. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      this.#packet ??= await this.#begin();
      const { memory, file, end } = this.#packet;
      const free = Math.min(memory.length, file.client.writeHeadBytes(file.handle) + file.client.dataBytes) - end;
      const count = Math.min(free, chunk.length - at);
      memory.set(chunk.subarray(at, at + count), end);
      this.#packet.end += count;
      at += count;
      if (count === free) this.#send(this.#packet);
    }
    this.#throwFailure();
  }

  /** Appends `bytes` that the server writes by itself: `copy` has it do that, from `position` on. */
  async appendOnServer(bytes: number, copy: (position: number) => Promise<void>): Promise<void> {
    await this.flush();
    await copy(this.#position);
    this.#position += bytes;
  }

  /** Waits until all bytes taken are written. */
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
      if (this.#unansweredOf(file) + file.client.dataBytes <= SESSION_WINDOW_BYTES) {
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
    this.#sessions.passed(this.#passed);
  }

  async #follow(file: SessionFile, offset: number, bytes: number, answer: Promise<void>): Promise<void> {
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

  #idlest(): SessionFile {
    return this.#sessions.files.reduce(
      (best, file) => (this.#unansweredOf(file) < this.#unansweredOf(best) ? file : best),
      this.#sessions.first,
    );
  }

  #unansweredOf(file: SessionFile): number {
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
