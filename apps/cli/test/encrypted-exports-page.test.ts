import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRandomFile } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shellBlocks } from './documented-blocks.ts';
import type { Workbench } from './workbench.ts';
import { environmentOfPages, makeWorkbench } from './workbench.ts';

/*
 * docs/how-to/encrypted-exports.md, with its drills: its commands are run as they stand there, one block after the other. Addresses,
 * recipients and ids are put in.
 */

let bench: Workbench;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  bench = await makeWorkbench();
  env = await environmentOfPages(bench);
});
afterAll(() => bench[Symbol.asyncDispose]());

/** @returns what it printed on both */
async function run(
  block: string,
  { recipients = [], reference = '' }: { readonly recipients?: readonly string[]; readonly reference?: string } = {},
): Promise<string> {
  let next = 0;
  const recipient = (): string => {
    next += 1;
    return recipients[next - 1] ?? 'missing';
  };
  const script = block
    .replaceAll('ssh://backup@vault/srv/exports', bench.file('second'))
    .replaceAll('~backup/.ssh/authorized_keys', bench.file('authorized_keys'))
    .replaceAll('/srv/exports', bench.store)
    .replaceAll('age1…', recipient)
    .replaceAll(/web1\.example\.com@\d{8}T\d{6}Z/g, reference);
  const { all } = await execa('sh', ['-ec', script], { cwd: bench.path, env, all: true });
  return all;
}

async function recipientOf(file: string): Promise<string> {
  return (await execa('age-keygen', ['-y', bench.file(file)])).stdout;
}

test('exports, restores, and goes through both drills as the page says', async () => {
  const [keys, exporting, restoring, checking, adding, everywhere, ...rest] = await shellBlocks('encrypted-exports', 12);
  const [access, anew, mirrored, looking, removing, byHand] = rest;
  await makeRandomFile(bench.file('disk.img'), 5_000_000, 'a disk');
  const before = await readFile(bench.file('disk.img'));
  await writeFile(bench.file('web1.yaml'), `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: disk.img\n`);
  await bench.gantry('store', 'init', bench.store);

  await run(keys);
  const recipients = [await recipientOf('key.txt'), await recipientOf('safe.txt')];
  const reference = /web1\.example\.com@\S+/.exec(await run(exporting, { recipients }))?.[0] ?? '';
  await writeFile(bench.file('disk.img'), Buffer.alloc(before.length));
  await run(restoring);
  expect((await readFile(bench.file('disk.img'))).equals(before)).toBe(true);
  expect(await run(checking)).toMatch(/ yes\n[^]*every frame and digest is correct/);

  expect(await bench.gantry('keys', 'check', bench.store, '--identity', bench.file('safe.txt'))).toMatchObject({ exitCode: 0 });
  await bench.gantry('store', 'init', bench.file('second'));
  await bench.gantry('mirror', bench.store, bench.file('second'));
  await run(adding.replace('age1…', '$(age-keygen -y new.txt)'), { reference });
  expect(await bench.gantry('keys', 'check', bench.store, '--identity', bench.file('new.txt'))).toMatchObject({ exitCode: 0 });

  // The copy was there before.
  expect((await run(everywhere)).match(/ yes\n/g)).toHaveLength(2);

  const directory = `${bench.store}/${reference.replace('@', '/')}`;
  await run(`cp '${directory}'/*.age .`);
  await run(byHand);
  expect((await readFile(bench.file('disk0.img'))).equals(before)).toBe(true);
  await run(`age -d -i new.txt keys-1.age > keys.txt; ${byHand.replaceAll('key.txt', 'keys.txt').replace('disk0.img', 'again.img')}`);
  expect((await readFile(bench.file('again.img'))).equals(before)).toBe(true);

  // What a damaged export gives back: what is before the damage.
  const dump = await readFile(bench.file('disk0.zst.age'));
  const at = dump.length - 300_000;
  await writeFile(
    bench.file('disk0.zst.age'),
    Buffer.concat([dump.subarray(0, at), Buffer.of((dump[at] ?? 0) ^ 1), dump.subarray(at + 1)]),
  );
  await expect(run(byHand.replace('disk0.img', 'part.img'))).rejects.toMatchObject({ all: expect.stringContaining('age: error') });
  const part = await readFile(bench.file('part.img'));
  expect(part.length).toBeGreaterThanOrEqual(4 * 1024 ** 2);
  expect(before.subarray(0, part.length).equals(part)).toBe(true);

  // Somebody else may have key.txt.
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'the finder', '-f', bench.file('finder')]);
  await copyFile(bench.file('finder.pub'), bench.file('authorized_keys'));
  expect(await run(access)).toContain('the finder');
  const fresh = '$(age-keygen -y fresh.txt)';
  const exported = await run(anew, { recipients: [fresh, recipients[1] ?? ''] });
  expect(exported).toMatch(/every frame and digest is correct/);
  expect(await run(mirrored)).toMatch(/^copied [^]*every frame and digest is correct/m);
  const opens = new RegExp(`^${reference} .* yes\\n.* no$`, 'm');
  await expect(run(looking)).rejects.toMatchObject({ exitCode: 7, all: expect.stringMatching(opens) });
  await run(removing, { reference });
  await expect(run(looking)).rejects.toMatchObject({ exitCode: 7, all: expect.not.stringMatching(/ yes$/m) });
  const [newest = ''] = /web1\.example\.com@\S+/.exec(exported) ?? [];
  for (const store of [bench.store, bench.file('second')]) {
    const left = await bench.gantry('keys', 'check', store, '--identity', bench.file('key.txt'));
    expect(left).toMatchObject({ exitCode: 7, stdout: expect.stringContaining(newest) });
    expect(left.stdout).not.toContain(reference);
    expect(await readdir(join(store, 'web1.example.com'))).toEqual([newest.split('@')[1]]);
    expect(await bench.gantry('verify', store, newest, '--identity', bench.file('safe.txt'))).toMatchObject({ exitCode: 0 });
  }
});
