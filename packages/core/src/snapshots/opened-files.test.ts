import { writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { diskIdentity } from '../disks/disk-identity.ts';
import { endProcessGroup } from '../system/process-group.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { unexpectedFiles } from './opened-files.ts';
import type { ImageServer } from './rbd/image-server.ts';
import { startImageServer } from './rbd/image-server.ts';

const { signal } = new AbortController();

test('a server of QEMU has its image and its clients open, and nothing else; one that reads another server has its socket', async () => {
  await using own = await makeTemporaryDirectory();
  await using stack = new AsyncDisposableStack();
  const serve = async (name: string, uri: string): Promise<ImageServer> => {
    const started = async (group: ProcessGroup): Promise<void> => stack.defer(async () => void (await endProcessGroup(group)));
    return await startImageServer({ directory: own.file(name), exportName: 'disk', uri, started, signal });
  };
  const image = own.file('a.img');
  await writeFile(image, Buffer.alloc(1024 * 1024));
  const plain = await serve('plain', image);
  const server = { type: 'unix', path: plain.socket };
  const reads = await serve('reads', `json:${JSON.stringify({ driver: 'raw', file: { driver: 'nbd', server, export: 'disk' } })}`);

  const identity = await diskIdentity(image);
  expect(await unexpectedFiles(plain.pid, { image: identity, socket: plain.socket })).toEqual([]);
  expect(await unexpectedFiles(reads.pid, { image: identity, socket: reads.socket })).toEqual([expect.stringMatching(/^socket:\[\d+\]$/)]);
});
