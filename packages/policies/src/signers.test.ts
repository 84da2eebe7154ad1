import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { exportInstance, loadInstanceFile, pruneStore, verifyStore } from '@gantry/core';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { sampleRequest } from '../test/request.ts';
import { planPolicy } from './plan-policy.ts';
import { recentExport } from './recent-exports.ts';
import type { PolicyRun } from './record/form.ts';
import type { PolicyRunRequest } from './run-request.ts';
import { runPolicy } from './run-policy.ts';
import { refusingStores } from './signers.ts';

/* What a policy does with exports that nobody has signed who may. */

const { signal } = new AbortController();
const AN_HOUR_MS = 3_600_000;

/** A signing key, and a file that allows it. */
async function makeSigner(home: TemporaryDirectory): Promise<{ readonly signKey: string; readonly required: string }> {
  const signKey = home.file('key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', signKey]);
  await writeFile(home.file('allowed'), `host1 ${await readFile(`${signKey}.pub`, 'utf8')}`);
  return { signKey, required: `allowed-signers: ${home.file('allowed')}, require-signature: true` };
}

/** An export that somebody else has put into a store. @returns its id */
async function forge({ openStore, stateDirectory }: PolicyRunRequest, home: TemporaryDirectory, named: string): Promise<string> {
  await using store = await openStore(named, 'write');
  const instance = await loadInstanceFile(home.file('web1.yaml'));
  return (await exportInstance({ instance, store, createStore: true, stateDirectory, signal })).exportId;
}

/** Of the exports that were not removed: what is left of the others has no manifest. */
async function idsIn(home: TemporaryDirectory, store: string): Promise<readonly string[]> {
  const files = await readdir(home.file(store, 'web1'), { recursive: true });
  return files.filter((file) => file.endsWith('/manifest.json')).map((file) => dirname(file));
}

function idOf({ instances }: PolicyRun): string {
  return instances[0]?.reference?.replace('web1@', '') ?? expect.fail();
}

function problemsOf({ problems }: PolicyRun): readonly string[] {
  return problems.map(({ what, code }) => `${what}: ${code}`);
}

test('retention removes nothing because of an unsigned export, also in nights in which the budget of verification does not reach it', async () => {
  await using home = await makeTemporaryDirectory();
  const { signKey, required } = await makeSigner(home);
  const policy = `stores: first, retention: { last: 2 }, verify: { depth: stored, budget: 10% }, ${required}`;
  const request = { ...(await sampleRequest({ home, policy, signal })), settings: { signKey } };
  const first = idOf(await runPolicy(request));
  const forged = await forge(request, home, 'first');
  const nights = [];
  for (const skipNewerMs of [undefined, AN_HOUR_MS, AN_HOUR_MS]) nights.push(await runPolicy({ ...request, skipNewerMs }));
  for (const night of nights) {
    expect(night).toMatchObject({ outcome: 'partial' });
    expect(problemsOf(night)).toEqual([expect.stringMatching(/: SIGNATURE_MISSING$/)]);
  }
  // The budget is for one export, so there are nights in which it is another one.
  expect(nights.flatMap(problemsOf)).toContain('retention in first: SIGNATURE_MISSING');
  // The first night made a signed export, which counts as recent in the others.
  expect(new Set(nights.map(idOf)).size).toBe(1);
  expect(await idsIn(home, 'first')).toEqual(expect.arrayContaining([first, forged]));
  expect(await planPolicy({ ...request, skipNewerMs: AN_HOUR_MS })).toMatchObject({ stores: [{ store: 'first', removes: [] }] });
  // Without signers it would have gone.
  await using store = await request.openStore('first', 'read');
  expect(await pruneStore({ store, policy: { last: 2 }, dryRun: true })).toMatchObject({ removed: [`web1@${first}`], refused: [] });
});

test('an unsigned export is not copied, and the store of the copies keeps what it has', async () => {
  await using home = await makeTemporaryDirectory();
  const { signKey, required } = await makeSigner(home);
  const policy = `stores: first, copies: [{ to: second, retention: { last: 1 } }], ${required}`;
  const request = { ...(await sampleRequest({ home, policy, signal })), settings: { signKey } };
  const first = idOf(await runPolicy(request));
  const forged = await forge(request, home, 'first');
  const planned = await planPolicy({ ...request, skipNewerMs: AN_HOUR_MS });
  expect(planned.problems).toEqual([expect.objectContaining({ what: `copy of web1@${forged} to second`, code: 'SIGNATURE_MISSING' })]);
  expect(planned.stores).toContainEqual(expect.objectContaining({ store: 'second', copies: [] }));
  const run = await runPolicy({ ...request, skipNewerMs: AN_HOUR_MS });
  expect(problemsOf(run)).toEqual([`copy of web1@${forged} to second: SIGNATURE_MISSING`]);
  const last = idOf(run);
  expect(new Set(await idsIn(home, 'second'))).toEqual(new Set([first, last]));
  expect([first, forged]).not.toContain(last);
});

test('an export that the store of the copies refuses is not copied to it', async () => {
  await using home = await makeTemporaryDirectory();
  const { required } = await makeSigner(home);
  const policy = 'stores: first, copies: [{ to: second }]';
  const run = await runPolicy(await sampleRequest({ home, policy, signal, secondStore: required }));
  expect(problemsOf(run)).toEqual([`copy of web1@${idOf(run)} to second: SIGNATURE_MISSING`]);
});

test('signed increments reach a store that takes only signed ones, night after night', async () => {
  await using home = await makeTemporaryDirectory();
  const { signKey, required } = await makeSigner(home);
  const policy = 'stores: first, copies: [{ to: second }]';
  const sample = await sampleRequest({ home, policy, signal, secondStore: required });
  const request = { ...sample, settings: { signKey, incremental: true } };
  const nights = [];
  for (const night of [1, 2, 3]) {
    await writeFile(home.file('web1.img'), Buffer.alloc(64 * 1024, night));
    nights.push(await runPolicy(request));
  }
  expect(nights).toMatchObject(nights.map(() => ({ outcome: 'done', warnings: [] })));
  expect(new Set(await idsIn(home, 'second'))).toEqual(new Set(nights.map(idOf)));
  await using store = await request.openStore('second', 'read');
  const verified = await verifyStore({ store, depth: 'frames', allowedSigners: home.file('allowed'), requireSignature: true });
  expect(verified.exports.map(({ result }) => result)).toEqual(['sound', 'sound', 'sound']);
});

test('that a store will refuse what the policy exports is said before the first export, and by each run', async () => {
  await using home = await makeTemporaryDirectory();
  const { signKey, required } = await makeSigner(home);
  for (const [policy, at, so] of [
    ['stores: [first, second]', 'stores[1]', 'no export in it will count'],
    ['stores: first, copies: [{ to: second }]', 'copies[0].to', 'nothing will be copied to it'],
  ] as const) {
    const sample = await sampleRequest({ home, policy, signal, secondStore: required });
    const why = `second takes only signed exports, and there is no sign-key: ${so}`;
    const warnings = [`policy nightly: ${why}`];
    expect(await planPolicy(sample)).toMatchObject({ warnings });
    expect(await runPolicy(sample)).toMatchObject({ warnings });
    expect(await refusingStores(sample)).toEqual([{ at, named: 'second', why }]);
    const signing = { ...sample, settings: { signKey } };
    const allowed = await readFile(home.file('allowed'), 'utf8');
    await writeFile(home.file('allowed'), '# nobody\n');
    expect(await refusingStores(signing)).toEqual([
      { at, named: 'second', why: expect.stringContaining(`no line for the sign-key ${signKey}`) },
    ]);
    await writeFile(home.file('allowed'), allowed);
    expect(await refusingStores(signing)).toEqual([]);
  }
});

test('each store is read by its own settings, not by those of the first one', async () => {
  await using home = await makeTemporaryDirectory();
  const { required } = await makeSigner(home);
  const policy = 'stores: [first, second], retention: { last: 1 }, verify: { depth: stored }';
  const request = await sampleRequest({ home, policy, signal, secondStore: required });
  await runPolicy(request);
  const run = await runPolicy(request);
  expect(new Set(problemsOf(run))).toEqual(
    new Set((await idsIn(home, 'second')).map((id) => `verification of web1@${id} in second: SIGNATURE_MISSING`)),
  );
  const refused = run.stores.map(({ store, verified }) => [store, verified?.refused?.length]);
  expect(refused).toContainEqual(['first', 0]);
  expect(refused).toContainEqual(['second', 2]);
  expect(await idsIn(home, 'first')).toHaveLength(1);
  expect(await idsIn(home, 'second')).toHaveLength(2);
});

test('an unsigned export does not count as recent where a signature is required', async () => {
  await using home = await makeTemporaryDirectory();
  const { signKey, required } = await makeSigner(home);
  const request = { ...(await sampleRequest({ home, policy: `stores: first, ${required}`, signal })), settings: { signKey } };
  const signed = idOf(await runPolicy(request));
  const instance = await loadInstanceFile(home.file('web1.yaml'));
  await using store = await request.openStore('first', 'read');
  const since = new Date(0);
  const signers = { allowedSigners: home.file('allowed'), requireSignature: true };
  const find = (more: typeof signers | object): Promise<string | undefined> =>
    recentExport(store, instance, { ...more, since, stateDirectory: request.stateDirectory, signal });
  expect(await find(signers)).toBe(`web1@${signed}`);
  const forged = await forge(request, home, 'first');
  expect(await find({})).toBe(`web1@${forged}`);
  expect(await find(signers)).toBeUndefined();
  expect(idOf(await runPolicy({ ...request, skipNewerMs: AN_HOUR_MS }))).not.toBe(forged);
});
