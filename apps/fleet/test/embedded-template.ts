import { createHash } from 'node:crypto';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keptDirectory } from '@gantry/testkit';
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
  return await keptDirectory({ kind: 'embedded-queues', version: hash.digest('hex').slice(0, 16), make });
}

async function make(path: string): Promise<void> {
  const { queue } = await openEmbeddedDatabase(path, { warn: () => undefined, release: () => Promise.resolve() });
  await queue[Symbol.asyncDispose]();
}
