import { readdir } from 'node:fs/promises';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { makeWorkbench } from './workbench.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A registry may not answer for a while: then npm asks again. */
const PATIENCE = ['--fetch-timeout=30000', '--fetch-retries=5'];

test('a packed tarball, installed by npm into an empty prefix, exports, lists and verifies', { timeout: 900_000 }, async () => {
  await using home = await makeTemporaryDirectory();
  await using bench = await makeWorkbench();
  await execa('turbo', ['run', 'build', '--filter=@gantry/cli'], { cwd: ROOT, preferLocal: true });
  await execa('pnpm', ['--filter', '@gantry/cli', 'pack', '--pack-destination', home.path], { cwd: ROOT, preferLocal: true });
  const tarball = (await readdir(home.path)).find((name) => name.endsWith('.tgz')) ?? '';

  // npm keeps the user's settings, which name the registry. The command gets nothing from this checkout or the user's environment.
  const install = ['install', '--global', '--prefix', home.file('prefix'), '--no-audit', '--no-fund', ...PATIENCE, home.file(tarball)];
  // The registry may have a certificate that only this machine trusts.
  await execa('npm', install, { cwd: home.path, env: { NODE_OPTIONS: '--use-openssl-ca' } });
  const env = { HOME: home.path, PATH: process.env['PATH'] ?? '', GANTRY_STATE_DIR: bench.file('state') };
  const gantry = (...args: readonly string[]): ReturnType<typeof execa> =>
    execa(process.execPath, [home.file('prefix/bin/gantry'), ...args], {
      cwd: bench.path,
      env,
      extendEnv: false,
    });

  const { stdout: version } = await gantry('--version');
  expect(`gantry-cli-${String(version)}.tgz`).toBe(tarball);
  // What docs/how-to/ganeti-exports.md copies into Ganeti, still executable.
  const shipped = await gantry('os', 'show', 'raw', '--os-path', home.file('prefix/lib/node_modules/@gantry/cli/os'));
  expect(shipped.stdout).toMatch(/directory +\S+\/@gantry\/cli\/os\/raw\n[^]*operations +create, export, import, rename/);
  await makeSparseFile(bench.file('disk.img'), 1024 * 1024);
  const instance = await bench.describeInstance('web1', { disks: [bench.file('disk.img')] });
  await gantry('export', '--create-store', instance, bench.store);
  expect((await gantry('list', bench.store)).stdout).toContain('web1');
  expect((await gantry('verify', '--json', bench.store, 'web1')).exitCode).toBe(0);
});
