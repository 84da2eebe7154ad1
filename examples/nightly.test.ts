import { fileURLToPath } from 'node:url';
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, makeTemporaryDirectory } from '@gantry/testkit';
import { initializeStore } from '@gantry/core';
import { openFileStore } from '@gantry/transport-file';
import { execa } from 'execa';
import { expect, test } from 'vitest';

test('exports and verifies every instance that it is given', async () => {
  await using scratch = await makeTemporaryDirectory();
  for (const name of ['web1', 'web2']) {
    await makeRandomFile(scratch.file(`${name}.img`), 5_000_000, name);
    await writeFile(scratch.file(`${name}.yaml`), `name: ${name}.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${name}.img\n`);
  }
  await using store = openFileStore(scratch.file('exports'));
  await initializeStore(store);
  const program = fileURLToPath(new URL('nightly.ts', import.meta.url));
  const { stdout } = await execa(
    process.execPath,
    ['--conditions=@gantry/source', program, scratch.file('exports'), scratch.file('web1.yaml'), scratch.file('web2.yaml')],
    { env: { GANTRY_STATE_DIR: scratch.file('state') } },
  );
  expect(stdout).toMatch(
    /^web1\.example\.com@\S+: 5000000 bytes exported and verified\nweb2\.example\.com@\S+: 5000000 bytes exported and verified$/,
  );
});
