import { chmod, readFile, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blockOf, blocksOf, shellBlocks } from './documented-blocks.ts';
import type { PrivateNode } from './private-node.ts';
import { digests, makeInstances, makePrivateNode } from './private-node.ts';
import { environmentOfPages, jsonLines, makeWorkbench } from './workbench.ts';

/*
 * The pages about what is done every night, and about moves: their commands are run as they stand there, one block after the other, on two
 * nodes and in one store for all of them. The units of systemd and the lines for cron are in installed.test.ts.
 */

const REFERENCE = 'web1.example.com@20261123T081500Z';

let scope: AsyncDisposableStack;
let here: PrivateNode;
let there: PrivateNode;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  [here, there] = await Promise.all([makePrivateNode(), makePrivateNode()]);
  scope.use(here);
  scope.use(there);
  await here.connect('node2.example.com', there);
  for (const node of [here, there]) await makeInstances(node, 'web1');
  await here.run('cp /etc/gantry/instances/web1.yaml .');
});

afterAll(() => scope.disposeAsync());

interface Listed {
  readonly exports: readonly { readonly reference: string; readonly storedBytes: number; readonly tags?: readonly string[] }[];
}

async function listed(): Promise<Listed['exports']> {
  const { exports }: Listed = JSON.parse(await here.run('gantry list /srv/exports --json'));
  return exports;
}

/** In UTC. */
function dayOf(reference: string): string {
  return /@(\d{8})T/.exec(reference)?.[1] ?? '';
}

/** Puts a script where the page has it. */
async function install(script: string): Promise<void> {
  await here.run(`cat >/usr/local/sbin/gantry-nightly <<'END'\n${script}END\nchmod 755 /usr/local/sbin/gantry-nightly`);
}

async function changeDisk(): Promise<void> {
  await here.run('printf changed | dd of=/srv/disks/web1-0.img seek=30 bs=1M conv=notrunc status=none');
}

describe('export-every-night.md', () => {
  test('exports and verifies all instances, goes on after a failure, and makes no store by itself', async () => {
    const [script, , old, left] = await shellBlocks('export-every-night', 4);
    await install(script);
    await expect(here.run('gantry-nightly')).rejects.toMatchObject({ exitCode: 1, stderr: expect.stringContaining('[STORE_NOT_FOUND]') });
    expect(await here.run('ls /srv')).not.toContain('exports');

    await here.run('gantry store init /srv/exports');
    expect(await here.run('gantry-nightly')).toMatch(/^web1\.example\.com@\S+: .*every frame and digest is correct/m);
    await here.run('sed s/web1/db1/ web1.yaml >/etc/gantry/instances/db1.yaml');
    await expect(here.run('gantry-nightly')).rejects.toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(/web1.*every frame/),
      stderr: expect.stringContaining('[DISK_MISSING]'),
    });
    await here.run('rm /etc/gantry/instances/db1.yaml');
    const [first, second] = await listed();
    await here.run(old.replace(REFERENCE, first?.reference ?? ''));
    await here.run(left);
    expect(await listed()).toEqual([second]);
  });
});

describe('nightly-incremental-exports.md', () => {
  test('stores what changed, prunes, and keeps what has a tag', async () => {
    const [script, keep, retag, dryRun] = await shellBlocks('nightly-incremental-exports', 4);
    await install(script);
    await here.run('gantry-nightly');
    await changeDisk();
    await here.run(keep);
    const kept = (await listed()).at(-1);
    expect(kept).toMatchObject({ tags: ['before-upgrade'] });
    expect(kept?.storedBytes).toBeLessThan(100_000);
    expect(await here.run(dryRun.replace(' --dry-run', ' --keep-tag before-upgrade --dry-run'))).toMatch(/keep.*before-upgrade/);
    await here.run(retag);
    expect(await here.run('gantry show /srv/exports web1.example.com')).toMatch(/note +upgraded/);
    const before = (await listed()).map(({ reference }) => reference);
    await here.run('gantry-nightly');
    const after = (await listed()).map(({ reference }) => reference);
    const all = [...before, after.at(-1) ?? ''];
    // The newest of each day stays, and the oldest, as long as there are not 14 days. Midnight may pass between two of them.
    expect(after).toEqual(all.filter((each, at) => at === 0 || dayOf(each) !== dayOf(all[at + 1] ?? '')));
  });
});

describe('verify-every-night.md', () => {
  test('verifies a share, rehearses a restore, and says what is damaged', async () => {
    const [share, list, rehearsals] = await shellBlocks('verify-every-night', 3);
    expect(await here.run(share)).toMatch(/verified .*: every digest is correct$/m);
    expect(await here.run(list)).toMatch(/VERIFIED[^]*stored/);
    expect(await here.run(rehearsals)).toMatch(/restored into scratch disks$/m);
    expect(await here.run('ls -A /var/tmp | grep -c gantry || :')).toBe('0');

    const dump = await here.run('ls -S /srv/exports/web1.example.com/*/*.zst | head -n 1');
    await here.run(`cp ${dump} /srv/kept; truncate --size 100 ${dump}`);
    const damaged = { exitCode: 7, stdout: expect.stringContaining('damaged') };
    await expect(here.run(list)).rejects.toMatchObject(damaged);
    await expect(here.run(share)).rejects.toMatchObject({ exitCode: 7 });
    // What the page says to do where there is another copy.
    await here.run(`cp /srv/kept ${dump}`);
    for (const block of [share, list]) await here.run(block);
  });
});

describe('one-disk-only.md', () => {
  test('restores, exports and moves one of two disks', async () => {
    const [restore, alone] = await shellBlocks('one-disk-only', 2);
    for (const node of [here, there])
      await node.run(`
        truncate --size 8M /srv/disks/data-1.img
        echo '  - path: /srv/disks/data-1.img' >>/etc/gantry/instances/web1.yaml
        cp /etc/gantry/instances/web1.yaml /etc/gantry/`);
    await here.run('cp /etc/gantry/web1.yaml .; printf second | dd of=/srv/disks/data-1.img conv=notrunc status=none');
    const reference = await here.run('gantry export web1.yaml /srv/exports');
    await here.run('shred --iterations 1 /srv/disks/data-1.img; printf other | dd of=/srv/disks/web1-0.img conv=notrunc status=none');
    const changed = await digests(here);
    await here.run(restore.replace(REFERENCE, reference));
    expect(await here.run('head -c 6 /srv/disks/data-1.img')).toBe('second');
    expect(await digests(here)).toBe(changed);

    await here.run(alone);
    expect(await digests(there)).toBe(await digests(here));
    expect(await there.run('head -c 6 /srv/disks/data-1.img | tr -d "\\0"')).toBe('');
    expect(await here.run('gantry list /srv/exports')).toMatch(/complete +\d+ min +2 .*\n.*complete +\d+ min +1 /);
  });
});

describe('move-to-another-node.md', () => {
  test('plans a move, moves, and asks the peer for the outcome', async () => {
    const [plan, move, , , outcome] = await shellBlocks('move-to-another-node', 5);
    await here.run(plan);
    expect(await there.run('head -c 6 /srv/disks/data-1.img | tr -d "\\0"')).toBe('');
    const lines = jsonLines(await here.run(move.replace('\n', ' --json\n')));
    expect(await there.run('cat /srv/disks/*.img | sha256sum')).toBe(await here.run('cat /srv/disks/*.img | sha256sum'));
    const id = lines.at(-1);
    if (typeof id?.['moveId'] !== 'string') throw new Error('the move has no id');
    const ask = (which: string): Promise<string> => there.run(outcome.replace('0123456789abcdef0123456789abcdef', which));
    expect(await ask(id['moveId'])).toContain('committed');
    await expect(ask('0'.repeat(32))).rejects.toMatchObject({ exitCode: 9 });
  });

  test('moves in rounds, and has the instance stopped for the last', async () => {
    const [, , live] = await shellBlocks('move-to-another-node', 5);
    await here.run(`cat >pause.yaml <<'END'\n${await blockOf('move-to-another-node', 'yaml')}END`);
    // There is no systemd here; with it: installed.test.ts.
    await here.run(`sed -i s,systemctl,/srv/systemctl, pause.yaml
      printf '#!/bin/sh\\necho "$*" >>/srv/asked\\n' >/srv/systemctl; chmod 755 /srv/systemctl`);
    await changeDisk();
    await here.run(live);
    expect(await digests(there)).toBe(await digests(here));
    expect(await here.run('cat /srv/asked')).toBe('stop vm@web1.example.com.service');
    await there.run('mv /srv/disks/data-1.img /srv/gone');
    await expect(here.run(live)).rejects.toMatchObject({ exitCode: expect.any(Number) });
    await there.run('mv /srv/gone /srv/disks/data-1.img');
  });
});

describe('forced-command.md', () => {
  test('a key with it can only receive what is allowed', async () => {
    const [check] = await shellBlocks('forced-command', 1);
    const [line = ''] = await blocksOf('forced-command', '');
    const { authorizedKeysFile, identityFile } = await there.server();
    const key = await readFile(`${identityFile}.pub`, 'utf8');
    await writeFile(authorizedKeysFile, line.replace('ssh-ed25519 AAAA…\n', key));
    await there.run('cp /etc/gantry/web1.yaml /root/');
    const [allowed = '', refused = '', ...more] = check.trim().split('\n');
    expect(more).toEqual([]);
    await here.run(allowed);
    await expect(here.run(refused)).rejects.toMatchObject({ exitCode: 12, stderr: expect.stringContaining('[PEER_REFUSED]') });
    await expect(here.run(`${allowed} --define libvirt:`)).rejects.toMatchObject({ exitCode: 12 });
    await expect(here.run('ssh node2.example.com id')).rejects.toMatchObject({ stdout: expect.not.stringContaining('uid=') });
  });
});

test('the tutorial works as it says, for a user who is not root', async () => {
  await using bench = await makeWorkbench();
  const env = await environmentOfPages(bench);
  await chmod(bench.path, 0o777);
  const [disks, second, exporting, verify, plan, importing, look] = await shellBlocks('../tutorial/first-export-and-import', 7);
  const yaml = await blockOf('../tutorial/first-export-and-import', 'yaml');
  const script = [
    disks,
    `cat >web1.yaml <<'END'\n${yaml}END\n`,
    second,
    exporting,
    verify,
    plan,
    'cmp -s web1.img web2.img && exit 1\n',
    importing,
    look,
  ];
  const own = { PATH: env['PATH'], HOME: bench.path };
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', 'bash', '-euc'];
  const { stdout } = await execa('setpriv', [...nobody, script.join('').replaceAll('/tmp/tour', bench.file('tour'))], {
    extendEnv: false,
    env: own,
    stdin: 'ignore',
  });
  expect(stdout).toMatch(/web1\.example\.com@\d{8}T\d{6}Z[^]*complete[^]*every frame and digest is correct[^]*disk0\.zst/);
  await expect(readFile(bench.file('tour', 'web1.img'))).rejects.toThrow('ENOENT');
});
