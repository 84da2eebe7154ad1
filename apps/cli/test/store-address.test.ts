import { mkdir, readdir } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { makeWorkbench } from './workbench.ts';

describe('every command that takes an address', () => {
  test('refuses them, and makes no directory', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk'), 4096, 'seed');
    const instance = await bench.describeInstance('web1', { disks: [bench.file('disk')] });
    const before = await readdir(bench.path);
    const calls = [
      ['export', instance, 'backup:exports'],
      ['import', 's3:bucket', 'web1', '--to', instance],
      ['list', 'sftp:backup'],
      ['show', 'rclone:x', 'web1'],
      ['verify', 'file:x', 'web1'],
      ['remove', '-', 'web1@20261123T081500Z'],
      ['clean', 'root@backup:'],
      ['store', 'init', 'b2:bucket'],
      ['move', instance, 'root@backup:', '--to', '/etc/web1.yaml'],
    ];
    for (const call of calls) {
      const { exitCode, stderr } = await bench.gantry(...call);
      expect({ call, exitCode, stderr }).toEqual({ call, exitCode: 8, stderr: expect.stringContaining('[STORE_ADDRESS]') });
    }
    expect(await readdir(bench.path)).toEqual(before);
  });

  test('takes an existing directory of such a name by ./', async () => {
    await using bench = await makeWorkbench();
    await mkdir(bench.file('backup:exports'));
    expect(await bench.gantry('store', 'init', './backup:exports')).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('list', './backup:exports')).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('list', 'backup:exports')).toMatchObject({ exitCode: 8 });
  });
});
