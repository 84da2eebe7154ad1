import { createHash } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { z } from 'zod';

import type { StateDirectory } from '../runs/state-directory.ts';
import { unusable } from '../runs/state-directory.ts';
import { makeDirectoryDurably, syncDirectory } from '../system/durable.ts';
import { errnoName } from '../system/errno-name.ts';
import type { ChangeMark } from './provider.ts';

/*
 * What this machine remembers between two exports of an instance into one store: the marks that say what changes on its disks since the
 * first of them. The one that holds the lock of the instance reads and writes them, and nobody else.
 */

/** The mark of one disk, and the content that it goes on from. */
export interface KeptMark {
  readonly index: number;
  readonly mark: ChangeMark;
  /** SHA-256 of the frame map that says what the disk contained, lower-case hexadecimal. */
  readonly map: string;
  /** Exports in a row that did not read the whole disk. */
  readonly partial: number;
}

/** A provider that said of something changed that it was not. */
export interface Distrust {
  readonly provider: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** One clause. */
  readonly reason: string;
}

export interface KeptMarks {
  readonly disks: readonly KeptMark[];
  /** Marks that are of no use any more, and may still exist. */
  readonly stale: readonly Pick<KeptMark, 'index' | 'mark'>[];
}

/** Of which exports something is kept. */
export interface MarksOwner {
  /** The store's id. */
  readonly store: string;
  readonly instance: string;
}

/** One of the files. */
interface FileKind<Content> {
  readonly format: string;
  /** Of its name. */
  readonly suffix: string;
  readonly schema: z.ZodType<Content>;
  /** What it says if it is not there. */
  readonly nothing: Content;
}

const VERSION = 1;

const markSchema = z.object({ provider: z.string(), name: z.string() });
const headerSchema = z.object({ format: z.string(), version: z.literal(VERSION), store: z.string(), instance: z.string() });

export const MARKS: FileKind<KeptMarks> = {
  format: 'gantry-marks',
  suffix: '.json',
  schema: z.object({
    disks: z.array(z.object({ index: z.int().min(0), mark: markSchema, map: z.string().regex(/^[0-9a-f]{64}$/), partial: z.int().min(0) })),
    stale: z.array(z.object({ index: z.int().min(0), mark: markSchema })),
  }),
  nothing: { disks: [], stale: [] },
};

/** By itself, so that removing it loses no mark. */
export const DISTRUST: FileKind<{ readonly distrusted: readonly Distrust[] }> = {
  format: 'gantry-distrust',
  suffix: '-distrust.json',
  schema: z.object({ distrusted: z.array(z.object({ provider: z.string(), since: z.iso.datetime(), reason: z.string() })) }),
  nothing: { distrusted: [] },
};

/** What is kept for an instance in a store, in the state directory. */
export class KeptFile<Content extends object> {
  /** Where it is, for a human. */
  readonly path: string;
  readonly #directory: string;
  readonly #owner: MarksOwner;
  readonly #kind: FileKind<Content>;
  /** Disks are read side by side: one write comes after the other. */
  #written: Promise<void> = Promise.resolve();

  constructor(state: StateDirectory, owner: MarksOwner, kind: FileKind<Content>) {
    const name = createHash('sha256').update(`${owner.store}\n${owner.instance}`).digest('hex').slice(0, 32);
    this.#directory = join(state.path, 'marks');
    this.#owner = owner;
    this.#kind = kind;
    this.path = join(this.#directory, `${name}${kind.suffix}`);
  }

  /** What is kept; nothing if that cannot be understood: then everything is read. @throws GantryError `STATE_UNUSABLE` */
  async read(): Promise<Content> {
    try {
      return this.#contentOf(parse(await readFile(this.path, 'utf8'))) ?? this.#kind.nothing;
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return this.#kind.nothing;
      throw unusable(`cannot read ${this.path}`, error);
    }
  }

  #contentOf(document: unknown): Content | undefined {
    const header = headerSchema.safeParse(document).data;
    const isOurs = header?.store === this.#owner.store && header.instance === this.#owner.instance;
    return isOurs && header.format === this.#kind.format ? this.#kind.schema.safeParse(document).data : undefined;
  }

  /** Replaces what is kept, durably; a file that would say nothing is removed. @throws GantryError `STATE_UNUSABLE` */
  write(content: Content): Promise<void> {
    const written = this.#written.then(() => this.#replace(content));
    this.#written = written.catch(() => undefined);
    return written;
  }

  async #replace(content: Content): Promise<void> {
    try {
      if (isDeepStrictEqual(content, this.#kind.nothing)) return await this.#remove();
      await makeDirectoryDurably(this.#directory, 0o700);
      const temporary = `${this.path}.new`;
      const text = `${JSON.stringify({ format: this.#kind.format, version: VERSION, ...this.#owner, ...content })}\n`;
      {
        await using file = await open(temporary, 'w', 0o600);
        await file.writeFile(text);
        await file.sync();
      }
      await rename(temporary, this.path);
      await syncDirectory(this.#directory);
    } catch (error) {
      throw unusable(`cannot write ${this.path}`, error);
    }
  }

  async #remove(): Promise<void> {
    await unlink(this.path).catch((error: unknown) => {
      if (errnoName(error) !== 'ENOENT') throw error;
    });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
