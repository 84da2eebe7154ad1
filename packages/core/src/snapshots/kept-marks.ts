import { createHash } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';

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
  readonly distrusted: readonly Distrust[];
}

/** Which marks are meant. */
export interface MarksOwner {
  /** The store's id. */
  readonly store: string;
  readonly instance: string;
}

const VERSION = 1;
const NOTHING: KeptMarks = { disks: [], stale: [], distrusted: [] };

const markSchema = z.object({ provider: z.string(), name: z.string() });
const fileSchema = z.object({
  format: z.literal('gantry-marks'),
  version: z.literal(VERSION),
  store: z.string(),
  instance: z.string(),
  disks: z.array(z.object({ index: z.int().min(0), mark: markSchema, map: z.string().regex(/^[0-9a-f]{64}$/), partial: z.int().min(0) })),
  stale: z.array(z.object({ index: z.int().min(0), mark: markSchema })),
  distrusted: z.array(z.object({ provider: z.string(), since: z.iso.datetime(), reason: z.string() })),
});

/** The marks of an instance in a store, in the state directory. */
export class MarksFile {
  /** Where they are, for a human. */
  readonly path: string;
  readonly #directory: string;
  readonly #owner: MarksOwner;

  constructor(state: StateDirectory, owner: MarksOwner) {
    const name = createHash('sha256').update(`${owner.store}\n${owner.instance}`).digest('hex').slice(0, 32);
    this.#directory = join(state.path, 'marks');
    this.#owner = owner;
    this.path = join(this.#directory, `${name}.json`);
  }

  /** What is kept; nothing if that cannot be understood: then everything is read. @throws GantryError `STATE_UNUSABLE` */
  async read(): Promise<KeptMarks> {
    try {
      const found = fileSchema.safeParse(parse(await readFile(this.path, 'utf8'))).data;
      const isOurs = found?.store === this.#owner.store && found.instance === this.#owner.instance;
      return found !== undefined && isOurs ? found : NOTHING;
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return NOTHING;
      throw unusable(`cannot read ${this.path}`, error);
    }
  }

  /** Replaces what is kept, durably; a file that would say nothing is removed. @throws GantryError `STATE_UNUSABLE` */
  async write({ disks, stale, distrusted }: KeptMarks): Promise<void> {
    const isEmpty = disks.length + stale.length + distrusted.length === 0;
    try {
      if (isEmpty) return await this.#remove();
      await makeDirectoryDurably(this.#directory, 0o700);
      const temporary = `${this.path}.new`;
      const text = `${JSON.stringify({ format: 'gantry-marks', version: VERSION, ...this.#owner, disks, stale, distrusted })}\n`;
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
