import { createHash, randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { openEmbeddedDatabase } from '../src/queue/open-embedded.ts';
import { FLEET_TABLES } from '../src/queue/schema.ts';

/** What an embedded queue is made of: another version of it makes another one. */
const PARTS = ['pg-boss', '@electric-sql/pglite'].map((name) =>
  fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url)),
);

/** Puts a new embedded queue into a directory that is missing. It is a copy: making one takes seconds of the processor. */
export async function copyEmbeddedQueue(directory: string): Promise<void> {
  await mkdir(join(directory, '..'), { recursive: true, mode: 0o700 });
  await cp(await template(), directory, { recursive: true });
}

async function template(): Promise<string> {
  const hash = createHash('sha256').update(FLEET_TABLES);
  for (const part of PARTS) hash.update(await readFile(part));
  const made = join(tmpdir(), `gantry-embedded-queue-${process.getuid?.() ?? 0}-${hash.digest('hex').slice(0, 16)}`);
  const isThere = await stat(made).then(
    () => true,
    () => false,
  );
  if (!isThere) await make(made);
  return made;
}

/** Others may make it at the same time: the first one counts. */
async function make(path: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  const { queue } = await openEmbeddedDatabase(unfinished, { warn: () => undefined, release: () => Promise.resolve() });
  await queue[Symbol.asyncDispose]();
  await rename(unfinished, path).catch(async () => await rm(unfinished, { recursive: true }));
}
