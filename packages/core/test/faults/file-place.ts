import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DirectoryStore } from '@gantry/directory-store';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { FileStore, NodeFileSystem } from '@gantry/transport-file';
import { faultedFileSystem } from './faulted-file-system.ts';
import type { Faults } from './faults.ts';
import { pointsOf } from './faults.ts';
import type { Medium, Place } from './place.ts';

/** A store in a directory of this machine, with faults at each call of its file system. */
export async function fileMedium(): Promise<Medium> {
  return await directoryMedium({
    name: 'file',
    openFaulted: async (path, faults) =>
      new DirectoryStore(faultedFileSystem(new NodeFileSystem(path), faults), {
        address: pathToFileURL(path).href,
        shown: path,
        warn: () => undefined,
      }),
    // System calls cannot be cancelled.
    points: (calls) => pointsOf(calls).filter(({ kind }) => !kind.startsWith('stalls')),
  });
}

export interface DirectoryMediumOptions extends Pick<Medium, 'name' | 'points'> {
  readonly openFaulted: (path: string, faults: Faults) => Promise<Store>;
}

/** Stores in directories that faulty processes open in a way of their own. */
export async function directoryMedium({ name, openFaulted, points }: DirectoryMediumOptions): Promise<Medium> {
  const directory = await makeTemporaryDirectory();
  let places = 0;
  const place = async (from?: string): Promise<Place> => {
    places += 1;
    const path = directory.file(`place${places}`);
    if (from === undefined) await mkdir(path, { mode: 0o700 });
    else await cp(from, path, { recursive: true, preserveTimestamps: true });
    return {
      copy: () => place(path),
      open: async () => new FileStore(path),
      openFaulted: (faults) => openFaulted(path, faults),
      end: () => endOwners(path),
      contents: () => contentsThrough(new FileStore(path)),
      [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
    };
  };
  // What is in a directory is looked at side by side, and how many bytes go over a network differs from run to run.
  return { name, points, isGuess: true, place: () => place(), [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

/** The owners in the records of unfinished writes become processes that have ended. */
async function endOwners(path: string): Promise<void> {
  for (const name of await readdir(path, { recursive: true })) {
    if (!/\/record[^/]*\.json$/.test(name)) continue;
    const record = await readFile(join(path, name), 'utf8');
    await writeFile(join(path, name), record.replace(/"startTime":"\d+"/, '"startTime":"1"'));
  }
}

/** The SHA-256 of each object. */
export async function contentsThrough(store: Store): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>();
  for await (const { key } of store.list('')) {
    const hash = createHash('sha256');
    for await (const chunk of await store.read(key)) hash.update(chunk);
    contents.set(key, hash.digest('hex'));
  }
  return contents;
}
