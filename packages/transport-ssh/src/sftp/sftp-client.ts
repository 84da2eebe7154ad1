import { Buffer } from 'node:buffer';
import { closeOnFailure } from '@gantry/transport';
import type { SshChannel } from '../engine/channel.ts';
import type { Attributes } from './attributes.ts';
import { attributeFields } from './attributes.ts';
import { EXTENSION, PACKET, SAFE_DATA_BYTES, STATUS } from './protocol.ts';
import type { NamedAttributes, Reply } from './reply.ts';
import { SftpSession } from './sftp-session.ts';
import { SftpStatusError } from './status-error.ts';
import type { WireField } from './wire.ts';
import { SftpProtocolError } from './wire.ts';

/** Maximum number of data bytes in a packet: more has no measurable benefit. */
const MAX_DATA_BYTES = 255 * 1024;

/** An open file or directory on the server. */
export type Handle = Buffer;

/** The state of a file system, as from statvfs(3). */
export interface FileSystemSpace {
  /** Free bytes for this account. */
  readonly availableBytes: number;
  /** Number of files that can still be created; undefined if the file system has no such limit. */
  readonly availableFiles: number | undefined;
  readonly readOnly: boolean;
  /** `f_fsid`, which identifies the file system; 0 if it has none. */
  readonly fileSystemId: bigint;
}

/** `ST_RDONLY` of statvfs(3) in the extension. */
const READ_ONLY_FLAG = 1n;

/**
 * The calls of SFTP version 3 and of OpenSSH's extensions, typed. Paths are the server's, absolute.
 * Every call @throws SftpStatusError if the server refuses; PeerError if the connection fails.
 */
export class SftpClient implements AsyncDisposable {
  readonly #session: SftpSession;
  readonly #extensions: ReadonlyMap<string, string>;
  /** Maximum number of data bytes in one READ or WRITE. */
  readonly dataBytes: number;

  private constructor(session: SftpSession, extensions: ReadonlyMap<string, string>, dataBytes: number) {
    this.#session = session;
    this.#extensions = extensions;
    this.dataBytes = dataBytes;
  }

  /** Starts SFTP on a channel, which it then owns. */
  static async start(channel: SshChannel, options: { readonly stallMs: number }): Promise<SftpClient> {
    const session = new SftpSession(channel, options);
    const close = (): Promise<void> => session[Symbol.asyncDispose]();
    return closeOnFailure(close, async () => {
      const extensions = await session.start();
      return new SftpClient(session, extensions, await askDataBytes(session, extensions));
    });
  }

  /** Why this client cannot be used any more; undefined if it can. */
  get failure(): Error | undefined {
    return this.#session.failure;
  }

  has(extension: keyof typeof EXTENSION): boolean {
    return this.#extensions.has(EXTENSION[extension]);
  }

  /** @param flags of {@link OPEN} @param mode permissions of a file that is made */
  async open(path: string, flags: number, mode?: number): Promise<Handle> {
    return handleOf(await this.#session.request(PACKET.open, [path, flags, ...attributeFields(mode === undefined ? {} : { mode })]));
  }

  async close(handle: Handle): Promise<void> {
    expectOk(await this.#session.request(PACKET.close, [handle]));
  }

  /** Reads into `target`, as much as fits, in one request. @returns the number of bytes; 0 at the end of the file */
  async read(handle: Handle, offset: number, target: Uint8Array): Promise<number> {
    const reply = await this.#session.request(PACKET.read, [handle, BigInt(offset), target.length], target);
    if (reply.kind === 'end') return 0;
    if (reply.kind === 'data') return reply.length;
    throw unexpected(reply);
  }

  /** How many bytes precede the data in a WRITE packet for this handle. */
  writeHeadBytes(handle: Handle): number {
    return 4 + 1 + 4 + 4 + handle.length + 8 + 4;
  }

  /**
   * Writes the data that is in `packet` after {@link writeHeadBytes} free bytes, without a copy.
   * @param onWritten called when the packet's memory may be reused
   */
  async write(handle: Handle, offset: number, packet: Buffer, onWritten?: () => void): Promise<void> {
    const head = this.writeHeadBytes(handle);
    packet.writeUInt32BE(packet.length - 4, 0);
    packet.writeUInt8(PACKET.write, 4);
    packet.set(handle, packet.writeUInt32BE(handle.length, 9));
    packet.writeBigUInt64BE(BigInt(offset), head - 12);
    packet.writeUInt32BE(packet.length - head, head - 4);
    expectOk(await this.#session.send(packet, { onWritten }));
  }

  /** Follows links. */
  async stat(path: string): Promise<Attributes> {
    return attributesOf(await this.#session.request(PACKET.stat, [path]));
  }

  /** Does not follow a link that is the last part of the path. */
  async lstat(path: string): Promise<Attributes> {
    return attributesOf(await this.#session.request(PACKET.lstat, [path]));
  }

  async fstat(handle: Handle): Promise<Attributes> {
    return attributesOf(await this.#session.request(PACKET.fstat, [handle]));
  }

  async truncate(handle: Handle, size: number): Promise<void> {
    expectOk(await this.#session.request(PACKET.fsetstat, [handle, ...attributeFields({ size })]));
  }

  async openDirectory(path: string): Promise<Handle> {
    return handleOf(await this.#session.request(PACKET.opendir, [path]));
  }

  /** More entries, including `.` and `..`; undefined at the end. */
  async readDirectory(handle: Handle): Promise<readonly NamedAttributes[] | undefined> {
    const reply = await this.#session.request(PACKET.readdir, [handle]);
    if (reply.kind === 'end') return undefined;
    if (reply.kind === 'names') return reply.names;
    throw unexpected(reply);
  }

  async remove(path: string): Promise<void> {
    expectOk(await this.#session.request(PACKET.remove, [path]));
  }

  async makeDirectory(path: string, mode: number): Promise<void> {
    expectOk(await this.#session.request(PACKET.mkdir, [path, ...attributeFields({ mode })]));
  }

  async removeDirectory(path: string): Promise<void> {
    expectOk(await this.#session.request(PACKET.rmdir, [path]));
  }

  /** The absolute path without links. */
  async realPath(path: string): Promise<string> {
    const reply = await this.#session.request(PACKET.realpath, [path]);
    const name = reply.kind === 'names' ? reply.names[0]?.name : undefined;
    if (name === undefined) throw unexpected(reply);
    return name;
  }

  /** Fails if `to` exists (section 6.5 of the draft). */
  async rename(from: string, to: string): Promise<void> {
    expectOk(await this.#session.request(PACKET.rename, [from, to]));
  }

  /** Replaces `to` atomically, like rename(2). */
  async posixRename(from: string, to: string): Promise<void> {
    await this.#extended('posixRename', [from, to]);
  }

  /** Makes a second name, like link(2); fails if `to` exists. */
  async hardLink(from: string, to: string): Promise<void> {
    await this.#extended('hardlink', [from, to]);
  }

  /** Makes written data durable, like fsync(2). */
  async sync(handle: Handle): Promise<void> {
    await this.#extended('fsync', [handle]);
  }

  /** Has the server write `bytes` of an open file, from an offset on, into another one at `position`. @returns false if the file ends earlier */
  async copyData(from: Handle, offset: number, bytes: number, to: Handle, position: number): Promise<boolean> {
    // A length of 0 means "to the end of the file".
    if (bytes === 0) return true;
    const reply = await this.#extendedReply('copyData', [from, BigInt(offset), BigInt(bytes), to, BigInt(position)]);
    if (reply.kind === 'end') return false;
    expectOk(reply);
    return true;
  }

  async space(path: string): Promise<FileSystemSpace> {
    const reply = await this.#session.request(PACKET.extended, [EXTENSION.statvfs, path]);
    if (reply.kind !== 'extended') throw unexpected(reply);
    // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail, f_fsid, f_flag, f_namemax
    const numbers = Array.from({ length: 11 }, () => reply.fields.bigUint64());
    const [, blockBytes = 0n, , , availableBlocks = 0n, files = 0n, , availableFiles = 0n, fileSystemId = 0n, flags = 0n] = numbers;
    return {
      availableBytes: Number(blockBytes * availableBlocks),
      availableFiles: files === 0n ? undefined : Number(availableFiles),
      readOnly: (flags & READ_ONLY_FLAG) !== 0n,
      fileSystemId,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session[Symbol.asyncDispose]();
  }

  async #extended(extension: keyof typeof EXTENSION, fields: readonly WireField[]): Promise<void> {
    expectOk(await this.#extendedReply(extension, fields));
  }

  async #extendedReply(extension: keyof typeof EXTENSION, fields: readonly WireField[]): Promise<Reply> {
    if (!this.has(extension)) throw new SftpStatusError(STATUS.unsupported, `the server lacks ${EXTENSION[extension]}`);
    return await this.#session.request(PACKET.extended, [EXTENSION[extension], ...fields]);
  }
}

/** Asks how much data a packet may carry; without an answer, every server accepts {@link SAFE_DATA_BYTES}. */
async function askDataBytes(session: SftpSession, extensions: ReadonlyMap<string, string>): Promise<number> {
  if (!extensions.has(EXTENSION.limits)) return SAFE_DATA_BYTES;
  const reply = await session.request(PACKET.extended, [EXTENSION.limits]);
  if (reply.kind !== 'extended') throw unexpected(reply);
  // max-packet-length, max-read-length, max-write-length, max-open-handles; 0 means "no limit".
  const [, read, write] = Array.from({ length: 4 }, () => Number(reply.fields.bigUint64()));
  return Math.min(MAX_DATA_BYTES, read || MAX_DATA_BYTES, write || MAX_DATA_BYTES);
}

function expectOk(reply: Reply): void {
  if (reply.kind !== 'ok') throw unexpected(reply);
}

function handleOf(reply: Reply): Handle {
  if (reply.kind !== 'handle') throw unexpected(reply);
  return reply.handle;
}

function attributesOf(reply: Reply): Attributes {
  if (reply.kind !== 'attributes') throw unexpected(reply);
  return reply.attributes;
}

function unexpected(reply: Reply): SftpProtocolError {
  return new SftpProtocolError(`the peer sent an unexpected answer: ${reply.kind}`);
}
