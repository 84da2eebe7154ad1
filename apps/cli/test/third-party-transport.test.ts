import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import process from 'node:process';
import type { Workbench } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';
import { expect, it } from 'vitest';

/** A third-party transport: its stores list nothing, and are unavailable as often as the address says. */
const FLAKY = (retries: string): string => `
class StoreError extends Error { constructor(code, message) { super(message); this.name = 'StoreError'; this.code = code; } }
export default {
  schemes: ['flaky'],${retries}
  open: async (url) => {
    let failures = Number(url.searchParams.get('failures'));
    const absent = async () => { throw new StoreError('not-found', 'nothing here'); };
    return {
      address: url.href,
      capabilities: { rangedRead: true, resumableWrite: false, createOnly: true, maxObjectBytes: Infinity },
      stat: absent, read: absent,
      async *list() { if (failures-- > 0) throw new StoreError('unavailable', 'busy'); },
      async *pending() {},
      async clear() {}, async remove() {},
      begin: absent, resume: absent,
      async [Symbol.asyncDispose]() {},
    };
  },
};`;

/** Installs it where the bundle finds packages: beside the command. */
async function installTransport(bench: Workbench, retries: string): Promise<string> {
  const home = bench.file('node_modules', 'gantry-transport-flaky');
  await mkdir(home, { recursive: true });
  await writeFile(`${home}/package.json`, '{"name":"gantry-transport-flaky","type":"module","exports":"./index.js"}');
  await writeFile(`${home}/index.js`, FLAKY(retries));
  // The source finds packages beside itself; this hook makes the resolver look in the bench.
  await writeFile(
    bench.file('find.mjs'),
    `import { registerHooks } from 'node:module';
registerHooks({ resolve: (name, context, next) => name === 'gantry-transport-flaky' ? next(${JSON.stringify(`file://${home}/index.js`)}, context) : next(name, context) });`,
  );
  return bench.file('find.mjs');
}

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

it('calls of a third-party store are retried and logged, but not retried if its transport does that', async () => {
  await using bench = await makeWorkbench();
  const env = { GANTRY_STORE_LOG: bench.file('log'), GANTRY_STATE_DIR: bench.file('state') };
  const call = async (retries: string, failures: number): Promise<{ exitCode: number | undefined; stderr: string }> => {
    const hook = await installTransport(bench, retries);
    const args = ['--conditions=@gantry/source', '--import', hook, MAIN, 'list', `flaky://shelf/?failures=${failures}`];
    const { exitCode, stderr } = await execa(process.execPath, args, { reject: false, env });
    return { exitCode, stderr };
  };
  expect(await call('', 2)).toMatchObject({ exitCode: 0 });
  const log = (await readFile(bench.file('log'), 'utf8')).trim().split('\n');
  const entries: readonly unknown[] = log.map((line): unknown => JSON.parse(line));
  expect(entries).toContainEqual(expect.objectContaining({ call: 'list', of: '', outcome: 'ok', ms: expect.any(Number) }));
  expect(await call(' retries: true,', 1)).toMatchObject({ exitCode: 8, stderr: expect.stringContaining('STORE_UNAVAILABLE') });
});

it('a log that cannot be written fails the command before anything is done', async () => {
  await using bench = await makeWorkbench({ GANTRY_STORE_LOG: '/nonexistent/log' });
  expect(await bench.gantry('list', bench.store)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('GANTRY_STORE_LOG') });
});
