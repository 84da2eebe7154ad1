import { copyFile, rename, writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { imageIdentity } from './image-identity.ts';

test('an image is another one at another target, at another place, and when another file has its name', async () => {
  await using own = await makeTemporaryDirectory();
  const path = own.file('a');
  await writeFile(path, 'content');
  const disk = { target: 'vda', source: `file=${path}`, path };
  const before = await imageIdentity(disk);
  expect(await imageIdentity({ ...disk })).toBe(before);
  await writeFile(path, 'other content');
  expect(await imageIdentity(disk)).toBe(before);
  expect(await imageIdentity({ ...disk, target: 'vdb' })).not.toBe(before);
  // On the network, there is no path.
  const remote = { target: 'vda', source: 'protocol=rbd name=pool/a', path: undefined };
  expect(await imageIdentity(remote)).not.toBe(await imageIdentity({ ...remote, source: 'protocol=rbd name=pool/b' }));
  await copyFile(path, own.file('b'));
  await rename(own.file('b'), path);
  expect(await imageIdentity(disk)).not.toBe(before);
});
