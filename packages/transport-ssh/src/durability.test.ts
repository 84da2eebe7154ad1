import { truncate, readdir } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { MiB, digestOf, failureOf, pieces } from '../test/helpers.ts';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

/* The order in which the peer's server is asked to make data durable, from the server's own log. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-durable-'));

/** The relevant steps in the server's log, without random names. */
function stepsIn(log: readonly string[]): readonly string[] {
  const steps = log.flatMap((line) => {
    const [, synced] = /^fsync "([^"]*)"/.exec(line) ?? [];
    const [, linked] = /^hardlink old "[^"]*" new "([^"]*)"/.exec(line) ?? [];
    const [, removed] = /^remove name "([^"]*)"/.exec(line) ?? [];
    if (synced !== undefined) return [`fsync ${synced}`];
    if (linked !== undefined) return [`link ${linked}`];
    return removed === undefined ? [] : [`remove ${removed}`];
  });
  return steps.map((step) =>
    step
      .replace(/new-[^/]*/, 'new')
      .replace(/[0-9a-f]{32}/, 'TOKEN')
      .replace(/-[0-9a-f]{16}$/, ''),
  );
}

test('a commit makes data durable before it links it, and each directory afterwards; a removal syncs its directory', async () => {
  const engine = localSftp();
  const path = directory.file('order');
  await using store = new SshStore(engine, parseAddress(new URL(`ssh://peer${path}?connections=1`)), () => undefined);
  {
    await using pending = await store.begin('a/b/disk0');
    await pending.append(pieces(1));
    await pending.commit(await digestOf(1));
  }
  await store.remove(['a/b/disk0']);
  await expect.poll(() => engine.log.filter((line) => line.includes('remove name') && line.includes('/a/b/disk0')).length).toBe(1);
  const steps = stepsIn(engine.log);
  const named = steps.indexOf(`link ${path}/a/b/disk0`);
  expect(steps.slice(0, named)).toContain(`fsync ${path}/.gantry-pending/new/record.json`);
  expect(steps.slice(0, named)).toContain(`fsync ${path}/.gantry-pending/TOKEN/data`);
  for (const each of [path, `${path}/a`, `${path}/a/b`]) expect(steps.slice(named)).toContain(`fsync ${each}`);
  const removed = steps.indexOf(`remove ${path}/a/b/disk0`);
  expect(steps.slice(removed)).toContain(`fsync ${path}/a/b`);
});

test('a file whose size differs from the bytes written is not committed', async () => {
  const path = directory.file('size');
  await using store = new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${path}`)), () => undefined);
  {
    await using pending = await store.begin('disk0');
    await pending.append(pieces(2));
    const unfinished = `${path}/.gantry-pending/${pending.token}`;
    const data = (await readdir(unfinished)).find((name) => name.startsWith('data-')) ?? '';
    await truncate(`${unfinished}/${data}`, 5 * MiB);
    const failure = await failureOf(pending.commit(await digestOf(2)));
    expect(failure).toMatchObject({ code: 'integrity', message: expect.stringContaining(`has ${5 * MiB} bytes`) });
  }
  expect(await readdir(path)).toEqual([]);
});
