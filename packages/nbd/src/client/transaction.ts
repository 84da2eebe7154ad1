import { NbdError, violation } from '../errors.ts';
import type { Extent } from '../extents.ts';
import type { ChunkHeader, ErrorReply } from '../wire/messages.ts';
import { decodeError, decodeStatus } from '../wire/messages.ts';
import { CHUNK, ERRNO, errnoText, MAX_STATUS_EXTENTS, MAX_STRING_BYTES } from '../wire/protocol.ts';
import type { ByteReader } from './byte-reader.ts';
import { Coverage } from './coverage.ts';

/** "Structured reply types": error, length of the message, message, offset, and room for what may be added. */
const MAX_ERROR_BYTES = MAX_STRING_BYTES + 64;
const MAX_STATUS_BYTES = 4 + 8 * MAX_STATUS_EXTENTS;
/** Many offsets may be reported with errors; one is enough for us. */
const MAX_ERROR_CHUNKS = 1024;

/** One request and what has come of its reply. Everything that the reply says is checked against the request. */
abstract class Transaction<Result> {
  readonly offset: number;
  readonly length: number;
  readonly #settled = Promise.withResolvers<Result>();
  #error: ErrorReply | undefined;
  #errors = 0;

  constructor(offset: number, length: number) {
    this.offset = offset;
    this.length = length;
  }

  get result(): Promise<Result> {
    return this.#settled.promise;
  }

  reject(error: unknown): void {
    this.#settled.reject(error);
  }

  /** "Simple reply message": what follows it, where it is not an error. */
  protected abstract readSimple(reader: ByteReader): Promise<void>;
  /** @returns false if a chunk of this type does not answer this request */
  protected abstract readContent(header: ChunkHeader, reader: ByteReader): Promise<boolean>;
  /** @throws NbdError `protocol` where something is missing */
  protected abstract finish(): Result;

  async takeSimple(errno: number, reader: ByteReader): Promise<void> {
    if (errno === 0) await this.readSimple(reader);
    else this.#error = { errno, message: '' };
    this.#settle();
  }

  /** @throws NbdError `protocol` */
  async takeChunk(header: ChunkHeader, reader: ByteReader): Promise<void> {
    if (header.chunk === CHUNK.NONE) {
      if (header.length !== 0 || !header.done) throw violation('sent an empty chunk that has bytes, or is not the last');
    } else if (header.chunk >= 0x8000) await this.#takeError(header, reader);
    else if (!(await this.readContent(header, reader)))
      throw violation(`sent a chunk of type ${header.chunk}, which does not answer the request`);
    if (header.done) this.#settle();
  }

  async #takeError({ chunk, length }: ChunkHeader, reader: ByteReader): Promise<void> {
    this.#errors += 1;
    if (length > MAX_ERROR_BYTES || this.#errors > MAX_ERROR_CHUNKS) throw violation('sent an error that is too long, or too many of them');
    const payload = Buffer.alloc(length);
    await reader.fill(payload);
    this.#error ??= decodeError(chunk, payload);
  }

  #settle(): void {
    if (this.#error === undefined) this.#settled.resolve(this.finish());
    else this.#settled.reject(serverError(this.#error, this));
  }
}

function serverError({ errno, message }: ErrorReply, { offset, length }: { readonly offset: number; readonly length: number }): NbdError {
  const said = message === '' ? '' : ` (${message})`;
  const code = errno === ERRNO.ESHUTDOWN ? 'disconnected' : 'server-error';
  return new NbdError(code, `the NBD server failed a request for ${length} bytes at offset ${offset}: ${errnoText(errno)}${said}`, {
    errno,
  });
}

/** `NBD_CMD_READ` */
export class ReadTransaction extends Transaction<void> {
  readonly #into: Uint8Array;
  readonly #coverage: Coverage;

  constructor(offset: number, into: Uint8Array) {
    super(offset, into.length);
    this.#into = into;
    this.#coverage = new Coverage(offset, into.length);
  }

  protected async readSimple(reader: ByteReader): Promise<void> {
    this.#coverage.add(this.offset, this.length);
    await reader.fill(this.#into);
  }

  protected async readContent({ chunk, length }: ChunkHeader, reader: ByteReader): Promise<boolean> {
    if (chunk === CHUNK.OFFSET_DATA) {
      if (length < 9) throw violation(`sent a chunk of data of ${length} bytes`);
      const at = this.#coverage.add(await readOffset(reader), length - 8);
      await reader.fill(this.#into.subarray(at, at + length - 8));
      return true;
    }
    if (chunk !== CHUNK.OFFSET_HOLE) return false;
    if (length !== 12) throw violation(`sent a hole in ${length} bytes, must be 12`);
    const offset = await readOffset(reader);
    const size = Buffer.alloc(4);
    await reader.fill(size);
    const at = this.#coverage.add(offset, size.readUInt32BE());
    this.#into.fill(0, at, at + size.readUInt32BE());
    return true;
  }

  protected finish(): void {
    if (!this.#coverage.isFull) throw violation(`sent less than the ${this.length} bytes at offset ${this.offset} that were asked for`);
  }
}

/** Beyond the safe integers it is rounded, which is out of range in any case. */
async function readOffset(reader: ByteReader): Promise<number> {
  const bytes = Buffer.alloc(8);
  await reader.fill(bytes);
  return Number(bytes.readBigUInt64BE());
}

/** Extents of each metadata context, in order, from the offset asked for. */
export type BlockStatus = ReadonlyMap<string, readonly Extent[]>;

/** `NBD_CMD_BLOCK_STATUS` */
export class StatusTransaction extends Transaction<BlockStatus> {
  readonly #contexts: ReadonlyMap<number, string>;
  readonly #exportSize: number;
  readonly #status = new Map<string, readonly Extent[]>();

  constructor(offset: number, length: number, contexts: ReadonlyMap<number, string>, exportSize: number) {
    super(offset, length);
    this.#contexts = contexts;
    this.#exportSize = exportSize;
  }

  protected readSimple(): Promise<void> {
    throw violation('answered a question for block status with a simple reply');
  }

  protected async readContent({ chunk, length }: ChunkHeader, reader: ByteReader): Promise<boolean> {
    if (chunk !== CHUNK.BLOCK_STATUS) return false;
    if (length > MAX_STATUS_BYTES) throw violation(`sent a block status of ${length} bytes`);
    const payload = Buffer.alloc(length);
    await reader.fill(payload);
    const { context, extents } = decodeStatus(payload, this.offset);
    const name = this.#contexts.get(context);
    if (name === undefined || this.#status.has(name))
      throw violation(`sent the block status of context ${context} twice, or without being asked`);
    this.#status.set(name, this.#clip(extents));
    return true;
  }

  /** The last extent may go beyond what was asked for, but not beyond the export; no other may. */
  #clip(extents: readonly Extent[]): readonly Extent[] {
    const end = this.offset + this.length;
    const last = extents.at(-1);
    if (last === undefined) return extents;
    if (last.offset >= end || last.offset + last.length > this.#exportSize)
      throw violation(`sent an extent of ${last.length} bytes at offset ${last.offset}, which is out of range`);
    return extents.with(extents.length - 1, { ...last, length: Math.min(last.length, end - last.offset) });
  }

  protected finish(): BlockStatus {
    if (this.#status.size !== this.#contexts.size) throw violation('did not send the block status of every metadata context');
    return this.#status;
  }
}
