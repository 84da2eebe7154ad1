import type { Socket } from 'node:net';

import { Slots } from '../slots.ts';
import type { Extent } from '../extents.ts';
import type { Request } from '../wire/messages.ts';
import { decodeRequest, encodeChunkHeader, encodeError, encodeSimpleReply, encodeStatus } from '../wire/messages.ts';
import { CHUNK, COMMAND, COMMAND_FLAG, DEFAULT_MAX_PAYLOAD_BYTES, ERRNO, REQUEST_BYTES } from '../wire/protocol.ts';
import type { Choice } from './handshake.ts';
import { ALLOCATION_ID } from './handshake.ts';
import type { SocketReader } from './socket-reader.ts';

/** Memory of one client: that many requests at once, each of at most {@link DEFAULT_MAX_PAYLOAD_BYTES}, but together of no more than this. */
const MAX_IN_FLIGHT = 16;
const MAX_IN_FLIGHT_BYTES = DEFAULT_MAX_PAYLOAD_BYTES * 2;
const UNIT_BYTES = 65_536;
/** Of one reply; the client asks again for the rest. */
const MAX_EXTENTS = 4096;

/** "Transmission", as a read-only server: reads and questions for block status, several at once. */
export class ServerTransmission {
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #choice: Choice;
  readonly #signal: AbortSignal;
  readonly #onError: (error: unknown) => void;
  readonly #requests = new Slots(MAX_IN_FLIGHT);
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #bytesFreed = Promise.withResolvers<void>();

  /** @param onError of an export that cannot be read: the client learns only that */
  constructor(socket: Socket, reader: SocketReader, choice: Choice, signal: AbortSignal, onError: (error: unknown) => void) {
    this.#socket = socket;
    this.#reader = reader;
    this.#choice = choice;
    this.#signal = signal;
    this.#onError = onError;
  }

  /** Until the client says goodbye or has left; every request that came before is answered then. */
  async run(): Promise<void> {
    for (;;) {
      const bytes = await this.#reader.read(REQUEST_BYTES);
      if (bytes === undefined) break;
      const request = decodeRequest(bytes);
      if (request.command === COMMAND.DISC) break;
      if (request.command === COMMAND.WRITE && !(await this.#skipPayload(request))) break;
      await this.#start(request);
    }
    await Promise.all(this.#running);
  }

  /** "the server MUST error subsequent write operations", for which their data must be read. */
  async #skipPayload({ length }: Request): Promise<boolean> {
    return length <= DEFAULT_MAX_PAYLOAD_BYTES && this.#reader.skip(length);
  }

  /** Resolves when there is room to run it, not when it has run. */
  async #start(request: Request): Promise<void> {
    const refused = this.#refusal(request);
    const cost = request.command === COMMAND.READ && refused === undefined ? Math.ceil(request.length / UNIT_BYTES) * UNIT_BYTES : 0;
    await this.#requests.take();
    while (this.#bytes + cost > MAX_IN_FLIGHT_BYTES) await this.#bytesFreed.promise;
    this.#bytes += cost;
    const running = this.#handle(request, refused).finally(() => {
      this.#running.delete(running);
      this.#requests.give();
      this.#bytes -= cost;
      this.#bytesFreed.resolve();
      this.#bytesFreed = Promise.withResolvers();
    });
    this.#running.add(running);
  }

  /** @returns the error value for what cannot be done */
  #refusal({ command, flags, offset, length }: Request): number | undefined {
    const { served, structured, allocation } = this.#choice;
    const allowed = ALLOWED_FLAGS.get(command);
    if (allowed === undefined) return WRITING.has(command) ? ERRNO.EPERM : ERRNO.EINVAL;
    if ((flags & ~(structured ? allowed : 0)) !== 0 || offset + length > served.size) return ERRNO.EINVAL;
    if (command === COMMAND.READ && length > DEFAULT_MAX_PAYLOAD_BYTES) return ERRNO.EOVERFLOW;
    return length === 0 || (command === COMMAND.BLOCK_STATUS && !allocation) ? ERRNO.EINVAL : undefined;
  }

  async #handle(request: Request, refused: number | undefined): Promise<void> {
    if (refused !== undefined) {
      await this.#sendError(request.cookie, refused, '');
      return;
    }
    try {
      if (request.command === COMMAND.READ) await this.#read(request);
      else await this.#status(request);
    } catch (error) {
      if (!this.#signal.aborted) this.#onError(error);
      await this.#sendError(request.cookie, ERRNO.EIO, 'the content cannot be read');
    }
  }

  async #read({ cookie, offset, length }: Request): Promise<void> {
    const data = Buffer.allocUnsafeSlow(length);
    await this.#choice.served.read(offset, data, this.#signal);
    if (!this.#choice.structured) {
      await this.#send(encodeSimpleReply({ errno: 0, cookie }), data);
      return;
    }
    const at = Buffer.alloc(8);
    at.writeBigUInt64BE(BigInt(offset));
    await this.#send(encodeChunkHeader({ done: true, chunk: CHUNK.OFFSET_DATA, cookie, length: 8 + length }), at, data);
  }

  async #status(request: Request): Promise<void> {
    const payload = encodeStatus(ALLOCATION_ID, await this.#extents(request));
    const header = { done: true, chunk: CHUNK.BLOCK_STATUS, cookie: request.cookie, length: payload.length };
    await this.#send(encodeChunkHeader(header), payload);
  }

  async #extents({ offset, length, flags }: Request): Promise<readonly Extent[]> {
    const { served } = this.#choice;
    const source = served.extents?.(offset, length, this.#signal) ?? [{ offset, length, flags: 0 }];
    const most = (flags & COMMAND_FLAG.REQ_ONE) === 0 ? MAX_EXTENTS : 1;
    const extents: Extent[] = [];
    for await (const extent of source) {
      const last = extents.at(-1);
      const clipped = { ...extent, length: Math.min(extent.length, offset + length - extent.offset) };
      if (last?.flags === clipped.flags) extents[extents.length - 1] = { ...last, length: last.length + clipped.length };
      else if (extents.length === most) break;
      else extents.push(clipped);
      if (clipped.offset + clipped.length >= offset + length) break;
    }
    return extents;
  }

  async #sendError(cookie: bigint, errno: number, message: string): Promise<void> {
    if (!this.#choice.structured) {
      await this.#send(encodeSimpleReply({ errno, cookie }));
      return;
    }
    const payload = encodeError({ errno, message });
    await this.#send(encodeChunkHeader({ done: true, chunk: CHUNK.ERROR, cookie, length: payload.length }), payload);
  }

  /** Resolves when the kernel has it all, or the client has left: the memory is free then. */
  async #send(...parts: readonly Uint8Array[]): Promise<void> {
    const sent = Promise.withResolvers<void>();
    this.#socket.cork();
    for (const part of parts.slice(0, -1)) this.#socket.write(part);
    this.#socket.write(parts.at(-1) ?? Buffer.alloc(0), () => sent.resolve());
    this.#socket.uncork();
    await sent.promise;
  }
}

/** What is served, with the flags that each may have where structured replies were agreed on ("Command flags"). */
const ALLOWED_FLAGS: ReadonlyMap<number, number> = new Map<number, number>([
  [COMMAND.READ, COMMAND_FLAG.DF],
  [COMMAND.BLOCK_STATUS, COMMAND_FLAG.REQ_ONE],
]);

/** `NBD_CMD_WRITE`, `NBD_CMD_TRIM`, `NBD_CMD_WRITE_ZEROES`: "SHOULD return NBD_EPERM" on a read-only export ("Error values"). */
const WRITING: ReadonlySet<number> = new Set([COMMAND.WRITE, 4, 6]);
