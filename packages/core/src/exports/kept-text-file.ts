import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { errorText } from '../report/error-text.ts';
import { makeDirectoryDurably, syncDirectory } from '../system/durable.ts';
import { errnoName } from '../system/errno-name.ts';
import { UnreadableTextError } from './small-object.ts';
import type { KeptSource } from './unsealing.ts';

/*
 * One frame map that is kept on this machine: a line of JSON that says whose it is, and its text.
 */

/** Ends the name of a file that is being written. */
export const TEMPORARY_SUFFIX = '.tmp';
const MAX_HEADER_BYTES = 4096;
const CHUNK_BYTES = 1024 * 1024;

const headerSchema = z.object({
  format: z.literal('gantry-kept-map'),
  version: z.literal(1),
  lineage: z.string(),
  readers: z.string(),
  exportId: z.string(),
  disk: z.int().min(0),
  size: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Whose map a file has. */
export interface KeptTextHeader {
  /** The same for exports that can be parents of each other. */
  readonly lineage: string;
  /** Of its recipients: see `digestOfReaders`. */
  readonly readers: string;
  readonly exportId: string;
  readonly disk: number;
  /** Of the text. */
  readonly size: number;
  readonly sha256: string;
}

/** A file that is being written. Disposing one that was not committed removes it. */
export class NewKeptText implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #temporary: string;
  #isCommitted = false;

  private constructor(file: FileHandle, temporary: string) {
    this.#file = file;
    this.#temporary = temporary;
  }

  /** @throws the errors of the file system */
  static async create(directory: string, header: KeptTextHeader): Promise<NewKeptText> {
    await makeDirectoryDurably(directory, 0o700);
    const temporary = `${directory}/${randomUUID()}${TEMPORARY_SUFFIX}`;
    await using held = new AsyncDisposableStack();
    const made = held.use(new NewKeptText(await open(temporary, 'wx', 0o600), temporary));
    await made.write(Buffer.from(`${JSON.stringify({ format: 'gantry-kept-map', version: 1, ...header })}\n`));
    held.move();
    return made;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#file.writeFile(chunk);
  }

  /** Makes it durable under its name. */
  async commit(path: string): Promise<void> {
    await this.#file.sync();
    await rename(this.#temporary, path);
    this.#isCommitted = true;
    await syncDirectory(dirname(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (!this.#isCommitted) await rm(this.#temporary, { force: true });
  }
}

/** Whose map a file has; undefined for one that is not there, or not valid. @throws the errors of the file system */
export async function readKeptHeader(path: string): Promise<KeptTextHeader | undefined> {
  await using file = await openKept(path);
  return file && (await headerOf(file))?.header;
}

/**
 * The text of a file, which was compared with its digest; undefined for one that is not there, not valid, or for other recipients. It holds
 * the file that was compared: it does not matter whether another run removes it.
 *
 * @throws the errors of the file system; UnreadableTextError while reading
 */
export async function readKeptText(path: string, readers: string): Promise<KeptSource | undefined> {
  await using held = new AsyncDisposableStack();
  const file = held.use(await openKept(path));
  const found = file && (await headerOf(file));
  if (file === undefined || found?.header.readers !== readers) return undefined;
  const { header, start } = found;
  if ((await file.stat()).size !== start + header.size) return undefined;
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(file, start)) hash.update(chunk);
  if (hash.digest('hex') !== header.sha256) return undefined;
  const owner = held.move();
  return {
    [Symbol.asyncIterator]: () => textFrom(file, start),
    [Symbol.asyncDispose]: () => owner.disposeAsync(),
  };
}

async function openKept(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function headerOf(file: FileHandle): Promise<{ readonly header: KeptTextHeader; readonly start: number } | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_HEADER_BYTES), 0, MAX_HEADER_BYTES, 0);
  const end = buffer.subarray(0, bytesRead).indexOf('\n');
  if (end === -1) return undefined;
  try {
    const header = headerSchema.safeParse(JSON.parse(buffer.toString('utf8', 0, end))).data;
    return header && { header, start: end + 1 };
  } catch {
    return undefined;
  }
}

/** @throws UnreadableTextError: what needs the map goes on without it */
async function* textFrom(file: FileHandle, start: number): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* chunksOf(file, start);
  } catch (error) {
    throw new UnreadableTextError(`cannot read what this machine has kept of it: ${errorText(error)}`, { cause: error });
  }
}

/** A chunk is valid until the next one is asked for. */
async function* chunksOf(file: FileHandle, start: number): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let at = start; ;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
