import { truncate, readdir } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { MiB, digestOf, failureOf, pieces } from '../test/helpers.ts';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

/* What the peer's server is asked to make durable, and when: as the server itself logs it. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-durable-'));

/** The steps that count, as the server logged them; names that are made up are left out. */
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

test('a commit has the data durable before it has its name, and then each directory down to it; a removal has its directory', async () => {
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

test('a file of another size than what was written is not committed', async () => {
  const path = directory.file('size');
  await using store = new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${path}`)), () => undefined);
  {
    await using pending = await store.begin('disk0');
    await pending.append(pieces(2));
    const place = `${path}/.gantry-pending/${pending.token}`;
    const data = (await readdir(place)).find((name) => name.startsWith('data-')) ?? '';
    await truncate(`${place}/${data}`, 5 * MiB);
    const failure = await failureOf(pending.commit(await digestOf(2)));
    expect(failure).toMatchObject({ code: 'integrity', message: expect.stringContaining(`has ${5 * MiB} bytes`) });
  }
  expect(await readdir(path)).toEqual([]);
});
