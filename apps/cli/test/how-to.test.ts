import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PrivateNode } from './private-node.ts';
import { makePrivateNode } from './private-node.ts';

/*
 * The pages for those who come, or go, with many instances: their commands are run as they stand there, one block after the other.
 */

const PAGES = fileURLToPath(new URL('../../../docs/how-to', import.meta.url));

/** The shell blocks of a page, without their indentation. */
async function blocksOf(page: string): Promise<readonly string[]> {
  const text = await readFile(`${PAGES}/${page}.md`, 'utf8');
  return [...text.matchAll(/^( *)```sh\n([^]*?)^ *```$/gm)].map(([, indent = '', body = '']) =>
    body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  );
}

let scope: AsyncDisposableStack;
beforeAll(() => {
  scope = new AsyncDisposableStack();
});
afterAll(() => scope.disposeAsync());

async function node(): Promise<PrivateNode> {
  return scope.use(await makePrivateNode());
}

/** Instances with one disk each, of 64 MiB, of which some is data. */
async function makeInstances(on: PrivateNode, ...names: readonly string[]): Promise<void> {
  await on.run('mkdir -p /etc/gantry/instances /srv/disks');
  for (const name of names) {
    await on.run(`
      truncate --size 64M /srv/disks/${name}-0.img
      head -c 3000000 /dev/urandom | dd of=/srv/disks/${name}-0.img bs=1M seek=5 conv=notrunc status=none
      printf 'name: ${name}.example.com\\nos: raw\\nhypervisor: kvm\\ndisks:\\n  - path: /srv/disks/${name}-0.img\\n' >/etc/gantry/instances/${name}.yaml`);
  }
}

async function digests(on: PrivateNode): Promise<string> {
  return await on.run('sha256sum /srv/disks/*-0.img');
}

describe('restore-on-another-node.md', () => {
  test('restores, and goes on with exports that store what changed', async () => {
    const [old, vault, other] = await Promise.all([node(), node(), node()]);
    await old.connect('vault', vault);
    await other.connect('vault', vault);
    await makeInstances(old, 'web1');
    await old.run(
      'gantry store init ssh://vault/srv/exports; gantry export --incremental /etc/gantry/instances/web1.yaml ssh://vault/srv/exports',
    );
    const blocks = await blocksOf('restore-on-another-node');
    for (const block of blocks.slice(0, -1)) await other.run(block);
    expect(await digests(other)).toBe(await digests(old));

    await other.run('printf changed | dd of=/srv/disks/web1-0.img seek=30 bs=1M conv=notrunc status=none');
    await other.run(blocks.at(-1) ?? '');
    const stored = await vault.run('du -sk /srv/exports/web1.example.com/* | cut -f 1');
    const [first = 0, second = 0] = stored.split('\n').map(Number);
    expect(first).toBeGreaterThan(2000);
    expect(second).toBeLessThan(200);
  });
});

describe('after-a-lost-machine.md', () => {
  test('restores every instance from the store alone, and nightly exports go on', async () => {
    const [lost, backup, other] = await Promise.all([node(), node(), node()]);
    await lost.connect('backup.example.com', backup);
    await other.connect('backup.example.com', backup);
    await makeInstances(lost, 'web1', 'db1');
    const store = 'ssh://backup.example.com/srv/exports';
    await lost.run(`gantry store init ${store}; for name in web1 db1; do
      gantry export --incremental /etc/gantry/instances/$name.yaml ${store}; done`);
    const config = /```yaml file=gantry\.yaml\n([^]*?)```/.exec(await readFile(`${PAGES}/after-a-lost-machine.md`, 'utf8'))?.[1] ?? '';
    await other.run(`mkdir -p /etc/gantry; cat >/etc/gantry/gantry.yaml <<'END'\n${config.replaceAll(/^ {3}/gm, '')}END`);
    for (const block of await blocksOf('after-a-lost-machine')) await other.run(block);
    expect(await digests(other)).toBe(await digests(lost));
    const policy = 'policies: { nightly: { instances: /etc/gantry/instances, stores: vault, incremental: true, max-age: 26h } }';
    await other.run(`echo '${policy}' >>/etc/gantry/gantry.yaml; gantry run nightly`);
    const stored = await backup.run('du -sk /srv/exports/web1.example.com/* | cut -f 1');
    expect(Number(stored.split('\n').at(-1))).toBeLessThan(200);
  });
});

describe('empty-a-node.md', () => {
  test('moves every instance, and says which one it could not', async () => {
    const [here, there] = await Promise.all([node(), node()]);
    await here.connect('node2', there);
    await makeInstances(here, 'db1', 'web1', 'web2');
    const [prepare = '', script = '', look = '', move = '', after = ''] = await blocksOf('empty-a-node');
    for (const block of [prepare, script, look]) await here.run(block);
    expect(await digests(there)).not.toBe(await digests(here));

    // One whose disk is too small there.
    await there.run('mv /srv/disks/db1-0.img /srv/disks/kept; truncate --size 1M /srv/disks/db1-0.img');
    await expect(here.run(move)).rejects.toMatchObject({ exitCode: 1, stderr: expect.stringContaining('db1') });
    await there.run('rm /srv/disks/db1-0.img; mv /srv/disks/kept /srv/disks/db1-0.img');
    expect((await digests(there)).split('\n').slice(1)).toEqual((await digests(here)).split('\n').slice(1));

    await here.run(move);
    expect(await digests(there)).toBe(await digests(here));
    await here.run(after);
    expect(await here.run('ls /etc/gantry/instances')).toBe('');
  });
});

describe('from-gnt-backup.md', () => {
  test('reads what gnt-backup left, and goes on with exports of its own', async () => {
    const on = await node();
    await makeInstances(on, 'web1');
    // What Ganeti would have written: config.ini and the dumps.
    await on.run(`
      gantry store init /srv/old
      gantry export /etc/gantry/instances/web1.yaml /srv/old --codec none
      mkdir -p /var/lib/ganeti/export
      cp -r /srv/old/web1.example.com/2* /var/lib/ganeti/export/web1.example.com
      cd /var/lib/ganeti/export/web1.example.com
      rm manifest.json SHA256SUMS frames.table`);
    const before = await digests(on);
    await on.run('shred --iterations 1 /srv/disks/web1-0.img');
    const [old = '', fresh = '', nightly = ''] = await blocksOf('from-gnt-backup');
    expect(await on.run(old)).toContain('no checksums');
    expect(await digests(on)).toBe(before);
    await on.run(fresh);
    await on.run(nightly);
    expect(JSON.parse((await on.run('gantry list --json /srv/exports | tail -n 1')) || '{}')).toMatchObject({
      exports: [{ state: 'complete', verified: { depth: 'frames' } }, { state: 'complete' }],
    });
  });
});

describe('from-restic-or-vzdump.md', () => {
  test('brings an old backup along, and restores as restic did', async () => {
    const on = await node();
    await makeInstances(on, 'web1');
    const before = await digests(on);
    const restic = 'export RESTIC_REPOSITORY=/srv/restic RESTIC_PASSWORD_FILE=/etc/restic-password';
    await on.run(
      `echo secret >/etc/restic-password; ${restic}; restic init; restic backup --stdin --stdin-filename web1.img </srv/disks/web1-0.img`,
    );
    const [describeIt = '', bring = '', nightly = '', restore = ''] = await blocksOf('from-restic-or-vzdump');
    await on.run('rm -r /etc/gantry/instances');
    for (const block of [describeIt, bring, nightly]) await on.run(block);
    const sizes = await on.run('du -sk /srv/exports/web1.example.com/* | cut -f 1');
    expect(Number(sizes.split('\n')[1])).toBeLessThan(200);
    await on.run('shred --iterations 1 /srv/disks/web1-0.img');
    await on.run(restore);
    expect(await digests(on)).toBe(before);
  });
});
