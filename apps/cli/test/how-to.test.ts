import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blockOf, shellBlocks } from './documented-blocks.ts';
import type { PrivateNode } from './private-node.ts';
import { digests, makeInstances, makePrivateNode } from './private-node.ts';

/*
 * The pages for those who come, or go, with many instances: their commands are run as they stand there, one block after the other.
 */

let scope: AsyncDisposableStack;
beforeAll(() => {
  scope = new AsyncDisposableStack();
});
afterAll(() => scope.disposeAsync());

async function node(): Promise<PrivateNode> {
  return scope.use(await makePrivateNode());
}

describe('restore.md', () => {
  test('restores in place, lost disks, and a copy beside the original, and goes on with an import that was cut off', async () => {
    const on = await node();
    await makeInstances(on, 'web1');
    const nics = 'nics: [{ mac: aa:00:00:11:22:33, mode: bridged, link: br0 }]';
    await on.run(`echo '${nics}' >>/etc/gantry/instances/web1.yaml; cp /etc/gantry/instances/web1.yaml .; gantry store init /srv/exports`);
    const reference = await on.run('gantry export web1.yaml /srv/exports');
    const before = await digests(on);
    const run = (block: string): Promise<string> => on.run(block.replaceAll('web1.example.com@20261123T081500Z', reference));
    const [look, plan, restore, create, , file, beside, , , , resume] = await shellBlocks('restore', 11);
    for (const block of [look, plan, file]) await run(block);
    await on.run('shred --iterations 1 /srv/disks/web1-0.img');
    await run(restore);
    expect(await digests(on)).toBe(before);
    await on.run('rm /srv/disks/web1-0.img');
    // Without a terminal, as the page says.
    await run(create.replace('\n', ' --yes\n'));
    expect(await digests(on)).toBe(before);
    await run(beside);
    await on.run('cmp /srv/disks/web1-0.img /srv/disks/web2-0.img; rm /srv/disks/web2-0.img');
    await on.run('shred --iterations 1 --size 8M /srv/disks/web1-0.img');
    await run(resume);
    expect(await digests(on)).toBe(before);
  });
});

describe('a-second-store.md', () => {
  test('mirrors what there is, writes both at once, and goes on each night; either store restores alone', async () => {
    const [here, vault] = await Promise.all([node(), node()]);
    await here.connect('vault', vault);
    await vault.connect('node1', here);
    await makeInstances(here, 'web1');
    await here.run('cp /etc/gantry/instances/web1.yaml .; gantry store init /srv/exports');
    const reference = await here.run('gantry export --incremental web1.yaml /srv/exports');
    // The accounts of the page, which are those of the user, and a disk that is not there.
    const adapted = (block: string): string =>
      block
        .replaceAll(/(backup|reader)@/g, '')
        .replaceAll('/mnt/usb', '/srv/usb')
        .replaceAll('web1.example.com@20261123T081500Z', reference);
    const [once, both, nightly, pulled, copied] = await shellBlocks('a-second-store', 5);
    await here.run(adapted(once));
    await here.run('printf changed | dd of=/srv/disks/web1-0.img seek=30 bs=1M conv=notrunc status=none');
    await here.run(adapted(both));
    const before = await digests(here);
    await here.run(adapted(nightly));
    await here.run(`mkdir /srv/usb; ${adapted(copied)}`);
    await here.run('gantry export --incremental web1.yaml /srv/exports');
    await vault.run(adapted(pulled));
    const listed: { readonly exports: readonly unknown[] } = JSON.parse(await vault.run('gantry list /srv/exports --json'));
    expect(listed.exports).toHaveLength(3);
    await here.run('rm -r /srv/exports; shred --iterations 1 /srv/disks/web1-0.img');
    await here.run('gantry import ssh://vault/srv/exports web1.example.com --to web1.yaml');
    expect(await digests(here)).toBe(before);
  });
});

describe('restore-on-another-node.md', () => {
  test('restores, and goes on with exports that store what changed', async () => {
    const [old, vault, other] = await Promise.all([node(), node(), node()]);
    await old.connect('vault', vault);
    await other.connect('vault', vault);
    await makeInstances(old, 'web1');
    await old.run(
      'gantry store init ssh://vault/srv/exports; gantry export --incremental /etc/gantry/instances/web1.yaml ssh://vault/srv/exports',
    );
    const [prepare, check, restore, after] = await shellBlocks('restore-on-another-node', 4);
    for (const block of [prepare, check, restore]) await other.run(block);
    expect(await digests(other)).toBe(await digests(old));

    await other.run('printf changed | dd of=/srv/disks/web1-0.img seek=30 bs=1M conv=notrunc status=none');
    await other.run(after);
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
    const config = await blockOf('after-a-lost-machine', 'yaml file=gantry.yaml');
    await other.run(`mkdir -p /etc/gantry; cat >/etc/gantry/gantry.yaml <<'END'\n${config}END`);
    for (const block of await shellBlocks('after-a-lost-machine', 4)) await other.run(block);
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
    const [prepare, script, look, move, after] = await shellBlocks('empty-a-node', 5);
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
    const [old, fresh, nightly] = await shellBlocks('from-gnt-backup', 3);
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
    const [describeIt, bring, nightly, restore] = await shellBlocks('from-restic-or-vzdump', 4);
    await on.run('rm -r /etc/gantry/instances');
    for (const block of [describeIt, bring, nightly]) await on.run(block);
    const sizes = await on.run('du -sk /srv/exports/web1.example.com/* | cut -f 1');
    expect(Number(sizes.split('\n')[1])).toBeLessThan(200);
    await on.run('shred --iterations 1 /srv/disks/web1-0.img');
    await on.run(restore);
    expect(await digests(on)).toBe(before);
  });
});
