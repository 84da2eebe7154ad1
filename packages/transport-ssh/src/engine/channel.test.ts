import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import process from 'node:process';
import { PATIENTLY, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { parseAddress } from '../address.ts';
import { openEngine } from '../open.ts';
import { ENGINES, runningClients } from '../../test/helpers.ts';
import type { SshChannel, SshEngine } from './channel.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());

async function text(channel: SshChannel): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of channel.output) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

describe.each(ENGINES)('a channel to a command on the peer, by %s', (name) => {
  const engine = (): Promise<SshEngine> => {
    const address = parseAddress(new URL(server.address('/', { engine: name })));
    return openEngine(address, { cwd: '/', env: { ...process.env, SSH_AUTH_SOCK: undefined }, warn: () => undefined });
  };

  test('carries bytes in both directions, to their end', async () => {
    await using connection = await engine();
    await using channel = await connection.openChannel({ command: 'cat' });
    const sent = 'some bytes\n'.repeat(100_000);
    channel.input.end(sent);
    expect(await text(channel)).toBe(sent);
    expect(await channel.ended).toEqual({ exitCode: 0, error: undefined, stderr: '' });
  });

  test('reports the exit status and stderr', async () => {
    await using connection = await engine();
    await using channel = await connection.openChannel({ command: 'echo no such thing >&2; exit 3' });
    channel.output.resume();
    expect(await channel.ended).toEqual({ exitCode: 3, error: undefined, stderr: expect.stringContaining('no such thing') });
  });

  test('ends its command when it is disposed', async () => {
    await using connection = await engine();
    const channel = await connection.openChannel({ command: 'echo here; exec cat' });
    await once(channel.output, 'data');
    await channel[Symbol.asyncDispose]();
    await connection[Symbol.asyncDispose]();
    await vi.waitFor(async () => expect(await server.sessions()).toBe(0), PATIENTLY);
    expect(await runningClients()).toEqual([]);
  });

  test('reports a lost connection', async () => {
    await using connection = await engine();
    await using channel = await connection.openChannel({ command: 'echo here; exec cat' });
    await once(channel.output, 'data');
    channel.output.resume();
    await server.killSessions();
    expect(await channel.ended).toMatchObject({ exitCode: undefined, error: { code: 'unavailable' } });
  });

  test('is not opened after an abort', async () => {
    await using connection = await engine();
    const reason = new Error('enough');
    await expect(connection.openChannel({ command: 'cat' }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const stop = new AbortController();
    const opening = connection.openChannel({ command: 'cat' }, { signal: stop.signal });
    stop.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });
});
