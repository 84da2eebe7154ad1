import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { GanetiCluster, TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, makeRandomFile, makeTemporaryDirectory, PATIENTLY, sha256File, startGanetiCluster } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jsonLines, MAIN } from './workbench.ts';

/*
 * Remote imports and exports of a real cluster: Gantry runs on a host of the cluster's network, and nothing of it on the nodes.
 */

const MIB = 1024 * 1024;
const MASTER = 'ganeti://10.77.0.10:5080';

let cluster: GanetiCluster;
let scratch: TemporaryDirectory;
let store: string;
let original: readonly string[];

beforeAll(async () => {
  cluster = await startGanetiCluster();
  scratch = await makeTemporaryDirectory();
  store = scratch.file('store');
  await writeFile(scratch.file('ca.pem'), cluster.rapi.certificate);
  await writeFile(scratch.file('secret'), await readFile(cluster.master.path('/var/lib/ganeti/cluster-domain-secret')), { mode: 0o600 });
  await writeFile(scratch.file('wrong-secret'), 'correct-horse\n', { mode: 0o600 });
  original = [scratch.file('disk0.img'), scratch.file('disk1.img')];
  for (const [index, path] of original.entries()) await makeRandomFile(path, (3 + index) * MIB, `disk ${index}`);
  await writeInstance('web1.example.com', 'raw');
  await cluster.master.run('sh', '-c', 'echo "reader pass" >>/var/lib/ganeti/rapi/users');
  await gantry('store', 'init', store);
  await gantry('export', scratch.file('web1.example.com.yaml'), store);
  for (const node of [cluster.master, cluster.other])
    for (const os of ['raw', 'copy']) await writeCopyDefinition(node.path(`/srv/ganeti/os/${os}`));
}, 1_800_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

async function writeInstance(name: string, os: string): Promise<void> {
  const disks = original.map((path) => ({ path }));
  const nics = [{ mac: 'aa:00:00:11:22:33', link: 'br0' }];
  await writeFile(
    scratch.file(`${name}.yaml`),
    JSON.stringify({ name, os, hypervisor: 'fake', disks, nics, beparams: { maxmem: 64, minmem: 64 } }),
  );
}

/** An OS definition that copies disks, and fails to import where its disk begins with FAIL. */
async function writeCopyDefinition(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const scripts = {
    create: 'exit 0',
    rename: 'echo "$OLD_INSTANCE_NAME" >/var/log/renamed',
    verify: 'exit 0',
    export: 'exec cat "$EXPORT_DEVICE"',
    import: 'cat >"$IMPORT_DEVICE"; [ ! -e /run/fail-import-$IMPORT_INDEX ]',
  };
  for (const [name, body] of Object.entries(scripts))
    await writeFile(`${directory}/${name}`, `#!/bin/bash\nset -e\n${body}\n`, { mode: 0o755 });
  await writeFile(`${directory}/ganeti_api_version`, '20\n');
  await writeFile(`${directory}/variants.list`, '');
  await writeFile(`${directory}/parameters.list`, '');
}

function call(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [enter, ...enterArgs] = cluster.enter;
  return execa(enter, [...enterArgs, process.execPath, MAIN, ...args], {
    env: {
      GANTRY_GANETI_CA: scratch.file('ca.pem'),
      GANTRY_GANETI_USER: cluster.rapi.user,
      GANTRY_GANETI_PASSWORD: cluster.rapi.password,
      GANTRY_GANETI_DOMAIN_SECRET: scratch.file('secret'),
      GANTRY_STATE_DIR: scratch.file('state'),
      ...env,
    },
    reject: false,
    stdin: 'ignore',
  });
}

async function gantry(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await call(args);
  expect(stderr).not.toContain('    at ');
  if (exitCode !== 0) throw new Error(stderr);
  return stdout;
}

async function diskDigests(name: string): Promise<readonly string[]> {
  const directory = `/srv/ganeti/file-storage/${name}`;
  const node = await cluster.master.run('gnt-instance', 'list', '--no-headers', '-o', 'pnode', name);
  const place = [cluster.master, cluster.other].find(({ name }) => name === node.trim());
  const listed = (await place?.run('sh', '-c', `ls ${directory}/*`))?.split('\n') ?? [];
  // Each is called UUID.file.diskN.
  const inOrder = listed.toSorted((a, b) => a.slice(-1).localeCompare(b.slice(-1)));
  return await Promise.all(inOrder.map(async (path) => await sha256File(place?.path(path) ?? path)));
}

async function instances(): Promise<readonly string[]> {
  return (await cluster.master.run('gnt-instance', 'list', '--no-headers', '-o', 'name')).split('\n').map((name) => name.trim());
}

/** Rejects where the call succeeds. */
async function failure(args: readonly string[], env?: Readonly<Record<string, string>>) {
  const { exitCode, stdout, stderr } = await call([...args, '--json'], env);
  expect(`${stdout}${stderr}`).not.toMatch(/rapi-secret|correct-horse/);
  return { exitCode, error: jsonLines(stdout).at(-1) };
}

describe('an export becomes a new instance, and that an export again', () => {
  test('with equal disks, and no mark left', async () => {
    const into = ['--to', `${MASTER}/inst2.example.com`, '--disk-template', 'file', '--node', 'node2.example.com'];
    expect(await gantry('import', store, 'web1.example.com', ...into)).toContain('inst2.example.com, a new instance');
    expect(await diskDigests('inst2.example.com')).toEqual(await Promise.all(original.map(sha256File)));
    expect(await cluster.master.run('gnt-instance', 'list', '--no-headers', '-o', 'tags,status,os', 'inst2.example.com')).toMatch(
      /^\s*ADMIN_down\s+raw\s*$/,
    );
    // The master cannot resolve web1.example.com.
    expect(await readFile(cluster.other.path('/var/log/renamed'), 'utf8')).toBe('gnt.example.com\n');

    const reference = await gantry('export', `${MASTER}/inst2.example.com`, store);
    expect(reference).toMatch(/^inst2\.example\.com@/);
    await gantry('import', store, reference, '--to', `${MASTER}/inst3.example.com`, '--node', 'node1.example.com', '--os', 'copy');
    expect(await diskDigests('inst3.example.com')).toEqual(await Promise.all(original.map(sha256File)));

    expect(await readFile(cluster.master.path('/var/log/renamed'), 'utf8')).toBe('inst2.example.com\n');

    const again = await failure(['import', store, reference, '--to', `${MASTER}/inst3.example.com`]);
    expect(again).toMatchObject({ exitCode: 10, error: { code: 'INSTANCE_EXISTS' } });
  });
});

describe.concurrent('a remote import that fails leaves nothing in the cluster', () => {
  const into = (name: string, node = 'node2'): readonly string[] => [
    'import',
    store,
    'inst2.example.com',
    '--to',
    `${MASTER}/${name}`,
    '--node',
    `${node}.example.com`,
  ];
  const wrongSecret = (): Readonly<Record<string, string>> => ({ GANTRY_GANETI_DOMAIN_SECRET: scratch.file('wrong-secret') });

  test('with another domain secret', async () => {
    const { exitCode, error } = await failure(into('inst4.example.com', 'node1'), wrongSecret());
    expect(error).toMatchObject({ message: expect.stringContaining("clusters don't share the same domain secret") });
    expect(exitCode).toBe(3);
    expect(await instances()).not.toContain('inst4.example.com');
  });

  test('with a user of RAPI who may only read', async ({ expect }) => {
    const reader = { GANTRY_GANETI_USER: 'reader', GANTRY_GANETI_PASSWORD: 'pass' };
    await expect
      .poll(async () => await failure(into('inst5.example.com'), reader), { ...PATIENTLY, interval: 500 })
      .toMatchObject({
        exitCode: 3,
        error: { code: 'INVENTORY_DENIED', message: expect.stringContaining('may only read') },
      });
  });

  test('where the import script of one disk fails', async () => {
    await writeFile(cluster.other.path('/run/fail-import-1'), '');
    const { exitCode, error } = await failure(into('inst6.example.com'));
    expect({ exitCode, error }).toMatchObject({ exitCode: 3, error: { message: expect.stringContaining('did not receive disk 1') } });
    expect(await instances()).not.toContain('inst6.example.com');
  });

  test('where the cluster lacks the OS definition', async () => {
    const { error } = await failure([...into('inst7.example.com'), '--os', 'missing']);
    expect(error).toMatchObject({ message: expect.stringContaining('does not have the OS definition missing') });
  });

  test('but one that was killed is marked there, and gantry clean names it', async ({ expect }) => {
    const importing = call([...into('inst8.example.com', 'node1'), '--os', 'copy', '--limit-rate', '200K', '--json']);
    for await (const line of createInterface(importing.stdout)) if (line.includes('"progress"')) break;
    importing.kill('SIGKILL');
    await importing;
    const tags = async (): Promise<string> =>
      await cluster.master.run('gnt-instance', 'list', '--no-headers', '-o', 'tags', 'inst8.example.com');
    await expect.poll(tags, { ...PATIENTLY, interval: 500 }).toMatch(/gantry:unfinished:gantry-/);
    const clean = await call(['clean']);
    expect(`${clean.stdout}${clean.stderr}`).toMatch(/inst8\.example\.com.* may be in ganeti:.* with disks that are not complete/);
  });
});

describe.concurrent('a remote export that fails leaves no export', () => {
  test.skipIf(!ALL_VARIANTS)('with another domain secret', async () => {
    const wrong = { GANTRY_GANETI_DOMAIN_SECRET: scratch.file('wrong-secret') };
    const { exitCode, error } = await failure(['export', `${MASTER}/inst2.example.com`, store], wrong);
    expect({ exitCode, error }).toMatchObject({
      exitCode: 3,
      error: { code: 'INVENTORY_DENIED', message: expect.stringContaining('domain secret') },
    });
  });

  test('where the export script fails', async () => {
    await writeFile(
      cluster.master.path('/srv/ganeti/os/copy/export'),
      '#!/bin/bash\ncat "$EXPORT_DEVICE"; echo no such luck >&2; exit 3\n',
    );
    const { error } = await failure(['export', `${MASTER}/inst3.example.com`, store]);
    expect(error).toMatchObject({ message: expect.stringMatching(/did not send disk [01]/) });
    expect(await gantry('list', store)).not.toContain('inst3.example.com');
  });

  test('of a guest that runs on disks of which Ganeti takes no snapshots, which goes on running', async () => {
    await cluster.master.run('gnt-instance', 'start', 'inst2.example.com');
    const { error } = await failure(['export', `${MASTER}/inst2.example.com`, store]);
    expect(error).toMatchObject({ message: expect.stringContaining('Not all disks could be snapshotted') });
    expect(await cluster.master.run('gnt-instance', 'list', '--no-headers', '-o', 'status', 'inst2.example.com')).toContain('running');
  });
});
