import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterEach, expect, test, vi } from 'vitest';
import { Virsh } from './virsh.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('virsh gets of the environment what says where the libvirt of a user is, and nothing that it does not need', async () => {
  await using own = await makeTemporaryDirectory();
  await writeFile(own.file('virsh'), '#!/bin/sh\nenv\n', { mode: 0o755 });
  vi.stubEnv('PATH', `${own.path}:${process.env['PATH']}`);
  vi.stubEnv('XDG_RUNTIME_DIR', '/run/user/4711');
  vi.stubEnv('OTHER', 'secret');
  const said = await new Virsh('qemu:///session', 60).run(['list'], { signal: new AbortController().signal });
  expect(said).toContain('XDG_RUNTIME_DIR=/run/user/4711');
  expect(said).not.toContain('secret');
});
