import { readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shellBlocks } from './documented-blocks.ts';
import type { Workbench } from './workbench.ts';
import { environmentOfPages, makeWorkbench } from './workbench.ts';

/*
 * docs/how-to/signed-exports.md: its commands are run as they stand there. Addresses and the names of keys are put in.
 */

const PAGE = new URL('../../../docs/how-to/signed-exports.md', import.meta.url);

let bench: Workbench;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  bench = await makeWorkbench();
  env = await environmentOfPages(bench);
});
afterAll(() => bench[Symbol.asyncDispose]());

async function run(block: string): Promise<string> {
  const script = block
    .replaceAll('/etc/ssh/ssh_host_ed25519_key', bench.file('host'))
    .replaceAll('node1_host_key.pub', bench.file('host.pub'))
    .replaceAll('/etc/gantry/allowed-signers', bench.file('allowed'))
    .replaceAll('/srv/exports', bench.store);
  return (await execa('sh', ['-ec', script], { cwd: bench.path, env, all: true })).all;
}

test('signs, verifies, and restores as the page says, also with the line of a key that expires', async () => {
  const page = await readFile(PAGE, 'utf8');
  const [signing, allowing, checking] = await shellBlocks('signed-exports', 3);
  await makeRandomFile(bench.file('disk.img'), 65_536, 'a disk');
  const before = await readFile(bench.file('disk.img'));
  await writeFile(bench.file('web1.yaml'), `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: disk.img\n`);
  await bench.gantry('store', 'init', bench.store);
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', bench.file('host')]);

  await run(signing);
  await run(allowing);
  const line = await readFile(bench.file('allowed'), 'utf8');
  const [, old = ''] = /^(node1\S+ valid-before="\d{8}",\S+) ssh-ed25519 AAAA…$/m.exec(page) ?? [];
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
  const expiring = `${old.replace(/\d{8}/, tomorrow)} ${line.split(' ').slice(2).join(' ')}`;
  for (const signers of [line, expiring]) {
    await writeFile(bench.file('allowed'), signers);
    await writeFile(bench.file('disk.img'), Buffer.alloc(before.length));
    expect(await run(checking)).toMatch(/web1\.example\.com@\S+: signed by node1\.example\.com/);
    expect((await readFile(bench.file('disk.img'))).equals(before)).toBe(true);
  }
});
