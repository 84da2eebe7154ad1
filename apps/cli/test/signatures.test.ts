import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeRandomFile } from '@gantry/testkit';
import { importInstance } from '@gantry/core';
import { openStore } from '@gantry/config';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exportedTarget } from '../src/runs/import-target.ts';
import type { Workbench } from './workbench.ts';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

let bench: Workbench;
let instance: string;
let signers: readonly string[];

beforeEach(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  instance = await bench.describeInstance('web1', { disks: [bench.file('disk.img')] });
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', bench.file('key')]);
  await writeFile(bench.file('allowed'), `node1 namespaces="gantry-export" ${await readFile(bench.file('key.pub'), 'utf8')}`);
  signers = ['--allowed-signers', bench.file('allowed'), '--require-signature'];
});

afterEach(() => bench[Symbol.asyncDispose]());

test('an export is signed by an option or by a setting, and verify and import name the signer', async () => {
  await writeFile(bench.file('gantry.yaml'), `stores:\n  nightly:\n    url: ${bench.store}\n    sign-key: key\n`);
  const byOption = lastLine((await bench.gantry('export', instance, bench.store, '--sign', bench.file('key'))).stdout);
  const bySetting = lastLine((await bench.gantry('--config', bench.file('gantry.yaml'), 'export', instance, 'nightly')).stdout);
  for (const reference of [byOption, bySetting]) {
    const verified = await bench.gantry('verify', bench.store, reference, ...signers);
    expect(verified).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(new RegExp(`^${reference}: signed by node1$`, 'm')) });
    const unchecked = await bench.gantry('verify', bench.store, reference);
    expect(unchecked).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('not checked') });
    const imported = await bench.gantry('import', bench.store, reference, '--to', instance, '--yes', ...signers);
    expect(imported).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('is signed by node1') });
  }
  expect(await bench.gantry('verify', bench.store, ...signers)).toMatchObject({ exitCode: 0 });
});

test('who may sign, and that a signature is required, are settings, too', async () => {
  const settings = `allowed-signers: allowed\n    require-signature: true\n`;
  await writeFile(bench.file('gantry.yaml'), `stores:\n  nightly:\n    url: ${bench.store}\n    ${settings}`);
  const configured = (...call: readonly string[]): ReturnType<Workbench['gantry']> =>
    bench.gantry('--config', bench.file('gantry.yaml'), ...call);
  const unsigned = lastLine((await configured('export', instance, 'nightly')).stdout);
  for (const call of [
    ['verify', 'nightly', unsigned],
    ['import', 'nightly', unsigned, '--to', instance, '--yes'],
  ])
    expect(await configured(...call)).toMatchObject({ exitCode: 7, stderr: expect.stringContaining('SIGNATURE_MISSING') });
  // It is for what is read.
  expect(await configured('verify', 'nightly', '--depth', 'present')).toMatchObject({ exitCode: 0 });
  const asked = await configured('verify', 'nightly', '--depth', 'present', '--require-signature');
  expect(asked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--require-signature out') });
  // Also if the store is not called by its name.
  for (const address of [bench.store, `file://${bench.store}/`])
    expect(await configured('verify', address)).toMatchObject({ exitCode: 7, stdout: expect.stringContaining('SIGNATURE_MISSING') });
  // An unsigned export that stays does not let another one go.
  const newer = lastLine((await configured('export', instance, 'nightly')).stdout);
  const pruned = await configured('prune', 'nightly', '--keep-last', '1');
  expect(pruned).toMatchObject({ exitCode: 7, stderr: expect.stringContaining(`${newer} is refused`) });
  expect(await readdir(exportDirectory(bench, unsigned))).toContain('manifest.json');
  const taken = await configured('verify', 'nightly', unsigned, '--no-require-signature');
  expect(taken).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: not signed$/) });
});

test('copy and mirror take along only what is signed, by options or by the settings of one of the stores', async () => {
  const signed = lastLine((await bench.gantry('export', instance, bench.store, '--sign', bench.file('key'))).stdout);
  const unsigned = lastLine((await bench.gantry('export', instance, bench.store)).stdout);
  const config = bench.file('gantry.yaml');
  const required = 'allowed-signers: allowed, require-signature: true';
  await writeFile(config, `stores: { source: { url: ${bench.store}, ${required} }, vault: { url: ./vault, ${required} } }\n`);
  const configured = (...call: readonly string[]): ReturnType<Workbench['gantry']> => bench.gantry('--config', config, ...call);
  const refused = { exitCode: 7, stderr: expect.stringContaining('SIGNATURE_MISSING') };

  const targets = [
    { call: bench.gantry, from: bench.store, to: bench.file('by-options'), more: signers },
    { call: configured, from: 'source', to: bench.file('by-source'), more: [] },
    { call: configured, from: bench.store, to: 'vault', more: [] },
  ];
  for (const { call, from, to, more } of targets) {
    expect(await call('copy', from, unsigned, to, ...more, '--create-store')).toMatchObject(refused);
    const planned = await call('mirror', from, to, ...more, '--create-store', '--dry-run');
    expect(planned).toMatchObject({
      exitCode: 7,
      stdout: expect.stringMatching(`would copy ${signed}\nfailed ${unsigned}: .* not signed`),
    });
    expect(await call('copy', from, signed, to, ...more, '--create-store')).toMatchObject({ exitCode: 0 });
    const mirrored = await call('mirror', from, to, ...more);
    expect(mirrored).toMatchObject({ exitCode: 7, stdout: expect.stringMatching(`^failed ${unsigned}: .* not signed\n`) });
    expect((await call('list', to, '--json')).stdout).not.toContain(unsigned);
    expect(await call('copy', from, unsigned, to, ...more, '--no-require-signature')).toMatchObject({ exitCode: 0 });
  }
  const nobody = await bench.gantry('mirror', bench.store, bench.file('other'), '--allowed-signers', bench.file('gone'), '--create-store');
  expect(nobody).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('cannot read the allowed-signers file') });
});

test('a configuration that cannot be used does not let an unsigned export through', async () => {
  const unsigned = lastLine((await bench.gantry('export', instance, bench.store)).stdout);
  const configuration = bench.file('home/gantry/gantry.yaml');
  await mkdir(dirname(configuration), { recursive: true });
  await writeFile(configuration, `defaults: { allowed-signers: ${bench.file('allowed')}, require-signature: true, misspelled: 1 }\n`);
  await using other = await makeWorkbench({ XDG_CONFIG_HOME: bench.file('home') });
  const importing = ['import', bench.store, unsigned, '--to', instance, '--yes'];
  for (const more of [[], ['--allowed-signers', bench.file('allowed')]])
    expect(await other.gantry(...importing, ...more)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/\[CONFIGURATION_INVALID\][^]*--config none/),
    });
  expect(await other.gantry(...importing, ...signers)).toMatchObject({ exitCode: 7, stderr: expect.stringContaining('SIGNATURE_MISSING') });
  for (const more of [['--no-require-signature'], ['--config', 'none']])
    expect(await other.gantry(...importing, ...more)).toMatchObject({ exitCode: 0 });
});

test('config check finds signatures that are required of nobody, and files that are not there', async () => {
  const file = bench.file('gantry.yaml');
  const stores = `nightly: { url: ${bench.store}, require-signature: true, sign-key: nothing }, shelf: { url: shelf, allowed-signers: gone }`;
  await writeFile(
    file,
    `stores: { ${stores} }\npolicies: { web: { instances: ${instance}, stores: nightly, allowed-signers: allowed } }\n`,
  );
  const { stdout } = await bench.gantry('config', 'check', '--config', file);
  expect(stdout).toMatch(/^failed +stores\.nightly\.require-signature .*\[CONFIGURATION_INVALID\]$/m);
  expect(stdout).toMatch(/^failed +stores\.nightly\.sign-key .*\[CONFIGURATION_INVALID\]$/m);
  expect(stdout).toMatch(/^failed +stores\.shelf\.allowed-signers .*\[USAGE\]$/m);
  expect(stdout).toMatch(/^ok +policies\.web\.allowed-signers /m);
  expect(stdout).not.toMatch(/policies\.web\..*require-signature/);
});

test('config check warns of stores that will refuse what a policy exports', async () => {
  const file = bench.file('gantry.yaml');
  const write = async (signKey: string): Promise<void> => {
    const required = 'allowed-signers: allowed, require-signature: true';
    const stores = `nightly: { url: ${bench.store} }, vault: { url: vault, ${required} }`;
    const policy = `instances: ${instance}, stores: nightly, copies: [{ to: vault }], max-age: 30h${signKey}`;
    await writeFile(file, `stores: { ${stores} }\npolicies: { web: { ${policy} } }\n`);
  };
  for (const store of [bench.store, bench.file('vault')]) await bench.gantry('store', 'init', store);
  const check = (): ReturnType<Workbench['gantry']> => bench.gantry('config', 'check', '--config', file);
  await write('');
  const unsigned = await check();
  expect(unsigned).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^warning +policies\.web\.copies\[0\]\.to .*no sign-key/m) });
  const planned = await bench.gantry('run', 'web', '--dry-run', '--config', file);
  expect(planned.stderr).toMatch(/vault takes only signed exports, and there is no sign-key: nothing will be copied to it/);
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', bench.file('other')]);
  await write(', sign-key: other');
  expect((await check()).stdout).toMatch(/^warning +policies\.web\.copies\[0\]\.to .*allowed has no line for the sign-key .*other/m);
  await write(', sign-key: key');
  expect((await check()).stdout).not.toMatch(/^warning/m);
});

test('an export into several stores is copied to none that refuses its signature', async () => {
  const config = bench.file('gantry.yaml');
  const required = 'allowed-signers: allowed, require-signature: true';
  await writeFile(config, `stores: { first: { url: ${bench.store} }, vault: { url: ./vault, ${required} } }\n`);
  const configured = (...call: readonly string[]): ReturnType<Workbench['gantry']> => bench.gantry('--config', config, ...call);
  for (const store of ['first', 'vault']) await configured('store', 'init', store);
  const sign = ['--incremental', '--sign', bench.file('key')];
  await configured('export', instance, 'first', ...sign);
  // The vault lacks the parent, so that it gets a copy.
  const unsigned = await configured('export', instance, 'first', 'vault', '--incremental');
  expect(unsigned).toMatchObject({ exitCode: 16, stderr: expect.stringMatching(/was not copied to .*not signed \[SIGNATURE_MISSING\]/) });
  const signed = await configured('export', instance, 'first', 'vault', ...sign);
  expect(signed.exitCode).toBe(0);
  const verified = await configured('verify', 'vault', lastLine(signed.stdout));
  expect(verified).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: signed by node1$/m) });
});

test('an export that is not signed, or whose manifest was changed, is refused, and the disk is as it was', async () => {
  const unsigned = lastLine((await bench.gantry('export', instance, bench.store)).stdout);
  const changed = lastLine((await bench.gantry('export', instance, bench.store, '--sign', bench.file('key'))).stdout);
  const manifest = `${exportDirectory(bench, changed)}/manifest.json`;
  await writeFile(manifest, ` ${await readFile(manifest, 'utf8')}`);
  await writeFile(bench.file('disk.img'), Buffer.alloc(4096, 7));
  for (const [reference, code] of [
    [unsigned, 'SIGNATURE_MISSING'],
    [changed, 'SIGNATURE_INVALID'],
  ] as const) {
    const imported = await bench.gantry('import', bench.store, reference, '--to', instance, '--yes', ...signers);
    expect(imported).toMatchObject({ exitCode: 7, stderr: expect.stringContaining(code) });
    const verified = await bench.gantry('verify', bench.store, reference, ...signers);
    expect(verified).toMatchObject({ exitCode: 7, stderr: expect.stringContaining(code) });
  }
  expect((await readFile(bench.file('disk.img'))).equals(Buffer.alloc(4096, 7))).toBe(true);
  const all = await bench.gantry('verify', bench.store, ...signers);
  expect(all).toMatchObject({
    exitCode: 7,
    stdout: expect.stringMatching(/SIGNATURE_INVALID[^]*SIGNATURE_MISSING|SIGNATURE_MISSING[^]*SIGNATURE_INVALID/),
  });
  const said = await bench.gantry('verify', bench.store, unsigned, '--allowed-signers', bench.file('allowed'));
  expect(said).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: not signed$/) });
});

test('an export with a key that cannot sign fails, and leaves nothing', async () => {
  const failed = await bench.gantry('export', instance, bench.store, '--sign', bench.file('nothing'));
  expect(failed).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('SIGNING_FAILED') });
  expect((await bench.gantry('list', bench.store)).stdout).not.toContain('web1');
});

test('an import without --to goes by the manifest whose signature is checked, also if the store gives another one then', async () => {
  const reference = lastLine((await bench.gantry('export', instance, bench.store, '--sign', bench.file('key'))).stdout);
  const manifest = `${exportDirectory(bench, reference)}/manifest.json`;
  const text = await readFile(manifest, 'utf8');
  const { signal } = new AbortController();
  const session = { signal, cwd: bench.file('.'), env: process.env, warn: () => undefined };
  const nothing = { disk: undefined, createDisks: undefined, name: undefined, nic: undefined, os: undefined, parameter: undefined };
  await using store = await openStore(bench.store, session);
  await writeFile(manifest, text.replace('/disk.img"', '/forged.img"').replace(/^\{/, '{ '));
  const target = await exportedTarget(session, store, reference, nothing);
  await writeFile(manifest, text);
  const request = { ...target, store, signal, stateDirectory: bench.file('state'), yes: true, allowedSigners: bench.file('allowed') };
  await expect(importInstance(request)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
});
