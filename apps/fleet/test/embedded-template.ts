import { createHash, randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { DAY_MS } from '../src/days.ts';
import { openEmbeddedDatabase } from '../src/queue/open-embedded.ts';
import { FLEET_TABLES } from '../src/queue/schema.ts';

/** What an embedded queue is made of: another version of it makes another one. */
const PARTS = ['pg-boss', '@electric-sql/pglite'].map((name) =>
  fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url)),
);

/** Where templates are kept, as what other tests make once: each is there until no test has used it for a week. */
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? '/var/cache', 'gantry', 'embedded-queues');
const KEEP_MS = 7 * DAY_MS;

/** Puts a new embedded queue into a directory that is missing. It is a copy: making one takes seconds of the processor. */
export async function copyEmbeddedQueue(directory: string): Promise<void> {
  await mkdir(join(directory, '..'), { recursive: true, mode: 0o700 });
  await cp(await template(), directory, { recursive: true });
}

async function template(): Promise<string> {
  const hash = createHash('sha256').update(FLEET_TABLES);
  for (const part of PARTS) hash.update(await readFile(part));
  const made = join(CACHE, hash.digest('hex').slice(0, 16));
  const now = new Date();
  const isThere = await utimes(made, now, now).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    await mkdir(CACHE, { recursive: true });
    await make(made);
    await removeOld(now);
  }
  return made;
}

/** Those of other versions, and what a run that was killed left unfinished. */
async function removeOld(now: Date): Promise<void> {
  for (const name of await readdir(CACHE)) {
    const { mtimeMs } = await stat(join(CACHE, name)).catch(() => ({ mtimeMs: Infinity }));
    if (now.getTime() - mtimeMs > KEEP_MS) await rm(join(CACHE, name), { recursive: true, force: true });
  }
}

/** Others may make it at the same time: the first one counts. */
async function make(path: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  const { queue } = await openEmbeddedDatabase(unfinished, { warn: () => undefined, release: () => Promise.resolve() });
  await queue[Symbol.asyncDispose]();
  await rename(unfinished, path).catch(async () => await rm(unfinished, { recursive: true }));
}
