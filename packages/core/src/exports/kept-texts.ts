import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { errnoName } from '../system/errno-name.ts';
import { compareExportIds, isReferencePart } from './export-id.ts';
import type { KeptTextHeader } from './kept-text-file.ts';
import { NewKeptText, readKeptHeader, readKeptText, TEMPORARY_SUFFIX } from './kept-text-file.ts';
import type { KeptText, KeptTexts, MapText } from './sealing.ts';
import type { KeptSource } from './unsealing.ts';

/*
 * The frame maps of sealed exports, in the state directory: `sealed/INSTANCE/SHA256`, named by the object in the store. Why:
 * docs/decisions/0153-kept-frame-maps.md.
 */

const DIRECTORY = 'sealed';
/** Exports that are cut off again and again leave maps, too: of one disk, no more than these are kept. */
const MAX_MAPS = 8;
/** A complete export and its parent. */
const SETTLED_MAPS = 2;
const DAY_MS = 86_400_000;
/** Longer than between two exports of any schedule: what is older belongs to an instance or a store that is not used any more. */
const STALE_MS = 400 * DAY_MS;
/** A map is written within minutes: what is older was left by a run that was killed. */
const STALE_TEMPORARY_MS = DAY_MS;

export interface KeptTextsOptions {
  /** As an operation gets it. */
  readonly stateDirectory: string | undefined;
  /** The same for exports that can be parents of each other: those for some recipients in some stores. */
  readonly lineage: () => Promise<string>;
  /** Of the recipients of the new export: see `digestOfReaders`. */
  readonly readers: string;
  readonly warn: (message: string) => void;
}

/** A complete export, with whose maps the next one goes on. */
export interface SettledExport {
  readonly instance: string;
  readonly exportId: string;
  readonly disks: readonly number[];
  /** SHA-256 of the maps of its parents, as they are stored: if it is removed, the next one goes on with these. */
  readonly parents: readonly string[];
}

/** Keeps frame maps. A failure is a warning: the export is as good without them, and the next one is a full one. */
export class KeptTextFiles implements KeptTexts {
  readonly #options: KeptTextsOptions;
  #lineage: Promise<string> | undefined;
  #hasWarned = false;

  constructor(options: KeptTextsOptions) {
    this.#options = options;
  }

  async start({ instance, ...text }: MapText): Promise<KeptText> {
    const directory = this.#orWarn(() => this.#directory(instance));
    const made = await this.#orWarn(async () => {
      const path = await directory;
      return path === undefined
        ? undefined
        : await NewKeptText.create(path, {
            ...text,
            lineage: await this.#ownLineage(),
            readers: this.#options.readers,
          });
    });
    let isComplete = made !== undefined;
    return {
      write: async (chunk) => {
        if (!isComplete) return;
        isComplete = false;
        await this.#orWarn(async () => {
          await made?.write(chunk);
          isComplete = true;
        });
      },
      keep: async ({ sha256 }) => {
        const path = await directory;
        if (!isComplete || path === undefined) return;
        await this.#orWarn(async () => {
          await made?.commit(join(path, sha256));
          await this.#limit(path, text.disk);
        });
      },
      [Symbol.asyncDispose]: async () => await this.#orWarn(async () => await made?.[Symbol.asyncDispose]()),
    };
  }

  /** The text of the map that this object has; undefined if it is not kept, not as it was, or was encrypted to other recipients. */
  async read(key: string, { sha256 }: Digest): Promise<KeptSource | undefined> {
    const [instance = ''] = key.split('/');
    if (!isReferencePart(instance)) return undefined;
    return await this.#orWarn(async () => await readKeptText(join(await this.#directory(instance), sha256), this.#options.readers));
  }

  /** Removes what no later export of the lineage needs, and what nobody has used for long. */
  async settle({ instance, exportId, disks, parents }: SettledExport): Promise<void> {
    await this.#orWarn(async () => {
      const directory = await this.#directory(instance);
      const lineage = await this.#ownLineage();
      for (const { path, name, header } of await keptIn(directory)) {
        const isOlder = disks.includes(header.disk) && compareExportIds(header.exportId, exportId) < 0;
        if (header.lineage === lineage && isOlder && !parents.includes(name)) await rm(path, { force: true });
      }
      await removeStale(await this.#root());
    });
  }

  /** Those between the settled ones, which are the oldest, and the newest. */
  async #limit(directory: string, disk: number): Promise<void> {
    const lineage = await this.#ownLineage();
    const all = (await keptIn(directory)).filter(({ header }) => header.lineage === lineage && header.disk === disk);
    const ordered = all.toSorted((a, b) => compareExportIds(a.header.exportId, b.header.exportId));
    for (const { path } of ordered.slice(SETTLED_MAPS, Math.max(SETTLED_MAPS, SETTLED_MAPS + ordered.length - MAX_MAPS)))
      await rm(path, { force: true });
  }

  #ownLineage(): Promise<string> {
    return (this.#lineage ??= this.#options.lineage());
  }

  async #root(): Promise<string> {
    return join((await openStateDirectory(this.#options.stateDirectory)).path, DIRECTORY);
  }

  async #directory(instance: string): Promise<string> {
    return join(await this.#root(), instance);
  }

  async #orWarn<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!this.#hasWarned)
        this.#options.warn(`cannot keep frame maps in the state directory (the next export will be a full one): ${errorText(error)}`);
      this.#hasWarned = true;
      return undefined;
    }
  }
}

interface KeptFile {
  readonly name: string;
  readonly path: string;
  readonly header: KeptTextHeader;
}

async function keptIn(directory: string): Promise<readonly KeptFile[]> {
  const found: KeptFile[] = [];
  for (const name of await namesIn(directory)) {
    const path = join(directory, name);
    const header = name.endsWith(TEMPORARY_SUFFIX) ? undefined : await readKeptHeader(path);
    if (header !== undefined) found.push({ name, path, header });
  }
  return found;
}

/** Of all instances. */
async function removeStale(root: string): Promise<void> {
  const now = Date.now();
  for (const instance of await namesIn(root)) {
    const directory = join(root, instance);
    for (const name of await namesIn(directory)) {
      const path = join(directory, name);
      const age = now - ((await stat(path).catch(() => undefined))?.mtimeMs ?? now);
      if (age > (name.endsWith(TEMPORARY_SUFFIX) ? STALE_TEMPORARY_MS : STALE_MS)) await rm(path, { force: true });
    }
    // One that is not empty stays, and one that was just made for a map.
    if (now - ((await stat(directory).catch(() => undefined))?.mtimeMs ?? now) > DAY_MS) await rmdir(directory).catch(() => undefined);
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return [];
    throw error;
  }
}
