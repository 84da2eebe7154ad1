import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { PeerError } from '../peer-error.ts';
import { ProxyCommand } from './proxy-command.ts';

test('a command that takes nothing any more before this side greets is named with its output', async () => {
  await using directory = await makeTemporaryDirectory();
  const script = directory.file('command');
  const lines = ['#!/bin/sh', 'exec <&-', 'echo "no such tunnel" >&2', `touch ${directory.file('closed')}`, 'exec tail -f /dev/null', ''];
  await writeFile(script, lines.join('\n'), { mode: 0o755 });
  const proxy = await ProxyCommand.start(script, { cwd: directory.path, env: { PATH: '/usr/bin:/bin' }, warn: () => {} });
  await expect.poll(() => existsSync(directory.file('closed')), PATIENTLY).toBe(true);
  const closed = Promise.withResolvers<void>();
  proxy.stream.once('close', closed.resolve);
  proxy.stream.write('SSH-2.0-greeting\r\n');
  await closed.promise;
  expect(await proxy.explain(new PeerError('unavailable', { message: 'the connection was closed' }))).toMatchObject({
    code: 'unavailable',
    message: `the ProxyCommand ${JSON.stringify(script)} ended before the peer answered: "no such tunnel"`,
  });
});

test('a command that is given up by this side did not end by itself', async () => {
  await using directory = await makeTemporaryDirectory();
  const local = { cwd: directory.path, env: { PATH: '/usr/bin:/bin' }, warn: () => {} };
  const proxy = await ProxyCommand.start('sleep 1000', local);
  const closed = Promise.withResolvers<void>();
  proxy.stream.once('close', closed.resolve);
  proxy.stream.write('SSH-2.0-greeting\r\n');
  proxy.stream.destroy();
  await closed.promise;
  expect(await proxy.explain(new PeerError('unavailable', { message: 'the peer did not answer within 1 s' }))).toMatchObject({
    code: 'unavailable',
    message: 'the peer did not answer within 1 s (through the ProxyCommand "sleep 1000")',
  });
});
