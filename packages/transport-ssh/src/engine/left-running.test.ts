import { writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { PATIENTLY, makeTemporaryDirectory, processesWithVariable, startSilentServer, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOf, open, put } from '../../test/helpers.ts';

/*
 * A program that ssh starts because of its configuration (ProxyCommand, ProxyJump, Match exec) may hang, ignore signals, and hold ssh's
 * stderr open. It must end with the connection in every case.
 */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const silent = scope.use(await startSilentServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-left-'));
/** Ignores SIGTERM and SIGHUP, as its child does, and does not talk to ssh. */
const STUBBORN = await script('stubborn', "trap '' TERM HUP", 'sleep 1000 & wait');
const LASTING = await script('lasting', "trap '' TERM HUP", 'sleep 1000 2>&1 &', 'exec socat - "TCP:$1:$2"');

async function script(name: string, ...lines: readonly string[]): Promise<string> {
  await writeFile(directory.file(name), ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  return directory.file(name);
}

async function config(name: string, ...lines: readonly string[]): Promise<string> {
  const file = directory.file(name);
  const text = ['Host peer', '  HostName 127.0.0.1', `  Port ${server.port}`, '  User root', ...lines.map((line) => `  ${line}`)];
  const trust = [`  IdentityFile ${server.identityFile}`, '  IdentitiesOnly yes', `  UserKnownHostsFile ${server.knownHostsFile}`];
  await writeFile(file, [...text, ...trust, 'Host silent', '  HostName 127.0.0.1', `  Port ${silent.port}`, ''].join('\n'));
  return file;
}

function address(configFile: string, options: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams({ engine: 'openssh', config: configFile, connectTimeout: '1', ...options });
  return `ssh://peer${directory.file('store')}?${query.toString()}`;
}

/** An environment that marks every process started with it. */
function marked(): { readonly env: Readonly<Record<string, string>>; readonly running: () => Promise<readonly number[]> } {
  const mark = randomUUID();
  return { env: { GANTRY_TEST_MARK: mark }, running: () => processesWithVariable('GANTRY_TEST_MARK', mark) };
}

describe.each([
  ['openssh', 'ProxyCommand', `ProxyCommand ${STUBBORN}`],
  ['openssh', 'ProxyJump', 'ProxyJump silent'],
  ['openssh', 'Match exec', `Match exec "${STUBBORN}"`],
  ['ssh2', 'ProxyCommand', `ProxyCommand ${STUBBORN}`],
])('by %s, a %s that does not answer', (engine, name, line) => {
  test('times out after connectTimeout, with nothing left running', async () => {
    const { env, running } = marked();
    const before = performance.now();
    const failure = await failureOf(open(address(await config(name, line), { engine }), { env }));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining('1 s') });
    expect(await running()).toEqual([]);
    // connectTimeout and the grace times of SIGTERM and SIGKILL take some seconds; without the option it would be 20 s.
    expect(performance.now() - before).toBeLessThan(18_000);
  });

  test('ends when the caller aborts', async () => {
    const { env, running } = marked();
    const stop = new AbortController();
    const reason = new Error('enough');
    const file = await config(name, line);
    const opening = open(address(file, { engine, connectTimeout: '600' }), { env, signal: stop.signal });
    opening.catch(() => undefined);
    await expect.poll(async () => (await running()).length, PATIENTLY).toBeGreaterThan(1);
    stop.abort(reason);
    await expect(opening).rejects.toBe(reason);
    expect(await running()).toEqual([]);
  });
});

test.each(ENGINES)('a ProxyCommand that works and keeps running ends with the connection, by %s', async (engine) => {
  const { env, running } = marked();
  const file = await config('lasts', `ProxyCommand ${LASTING} %h %p`);
  {
    await using store = await open(address(file, { engine, connectTimeout: '60' }), { env });
    await put(store, engine, 1);
    expect((await running()).length).toBeGreaterThan(1);
  }
  expect(await running()).toEqual([]);
});
