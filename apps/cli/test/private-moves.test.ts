import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import type { SshServer } from '@gantry/testkit';
import { startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { MAIN, makeWorkbench } from './workbench.ts';

/*
 * A move stays inside SSH: private OS parameters and the data of disks are where they belong (in the instance files, in the environment
 * of the scripts, on the disks), and in no other file of either node, in no argument, in no message, and not readable on the wire.
 */

/** One for each node: the source's is for its export script, the target's for its import script. */
const SECRETS = ['swordfish-of-the-source', 'swordfish-of-the-target'] as const;
const DATA = 'what stands on the disk, and is nobody else’s';

/** What a script does besides: it keeps what it got, and looks at the arguments of all processes, and at the files of both nodes. */
const LOOK = (name: string, directory: string): string => `
printf '%s' "$OSP_ROOT_PASSWORD" >'${directory}/seen/${name}'
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >'${directory}/seen/arguments-${name}' || :
grep -rlFf '${directory}/seen/${name}' '${directory}/here' '${directory}/there' >'${directory}/seen/files-${name}' 2>/dev/null || :`;

let bench: Workbench;
let server: SshServer;
/** Of the wire between them. */
let port: number;
const wire: Buffer[] = [];
const scope = new AsyncDisposableStack();

beforeAll(async () => {
  bench = scope.use(await makeWorkbench());
  server = scope.use(await startSshServer());
  port = await tapWire(server.port);
  for (const name of ['seen', 'here', 'there', 'here/tmp', 'there/tmp']) await mkdir(bench.file(name));
  await writeFile(bench.file('known_hosts'), `[127.0.0.1]:${port} ${await readFile(`${server.hostKeyFile}.pub`, 'utf8')}`);
  const env = `GANTRY_STATE_DIR='${bench.file('there/state')}' GANTRY_OS_PATH='${bench.file('os')}' TMPDIR='${bench.file('there/tmp')}'`;
  await writeFile(bench.file('peer'), `#!/bin/sh\nexec env ${env} '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(bench.file('peer'), 0o755);
  await bench.defineOs('mine', {
    'parameters.list': 'root_password the password\n',
    export: `${LOOK('export', bench.path)}\ncat "$EXPORT_DEVICE"`,
    import: `${LOOK('import', bench.path)}\ncat >"$IMPORT_DEVICE"\nif [ -e '${bench.file('fail')}' ]; then echo "no: $OSP_ROOT_PASSWORD" >&2; exit 3; fi`,
  });
});

afterAll(() => scope.disposeAsync());

/** Forwards what comes to another port, and keeps a copy. @returns the port */
async function tapWire(target: number): Promise<number> {
  const tap = createServer((client) => {
    const peer = connect(target, '127.0.0.1');
    for (const side of [client, peer]) side.on('data', (chunk) => wire.push(chunk)).on('error', () => side.destroy());
    client.pipe(peer).pipe(client);
  }).listen(0, '127.0.0.1');
  scope.defer(() => void tap.close());
  await once(tap, 'listening');
  const address = tap.address();
  return typeof address === 'object' && address !== null ? address.port : expect.fail();
}

/** Every file below the bench whose content has one of the texts, relative to it. */
async function filesWith(texts: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(bench.path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    if (texts.some((text) => bytes.includes(text))) found.push(path.slice(bench.path.length + 1));
  }
  return found.toSorted();
}

test.each([
  ['openssh', 'succeeds'],
  ['ssh2', 'succeeds'],
  ['openssh', 'fails in a script that says its secret'],
] as const)('a move by %s that %s shows secrets and data nowhere else', async (engine, how) => {
  const fails = how !== 'succeeds';
  wire.length = 0;
  if (fails) await writeFile(bench.file('fail'), '');
  const disk = Buffer.alloc(1024 * 1024, DATA);
  await writeFile(bench.file('source.img'), disk);
  await writeFile(bench.file('target.img'), Buffer.alloc(disk.length));
  const describe = (name: string, file: string, secret: string): Promise<string> =>
    bench.describeInstance(name, { os: 'mine', disks: [bench.file(file)], more: `osparams_private: { root_password: ${secret} }` });
  const source = await describe('web1', 'source.img', SECRETS[0]);
  const target = await describe('web2', 'target.img', SECRETS[1]);
  const options = { engine, knownHosts: bench.file('known_hosts') };
  const address = server.address('', options).replace(`:${server.port}`, `:${port}`);
  await using here = await makeWorkbench({
    GANTRY_STATE_DIR: bench.file('here/state'),
    GANTRY_OS_PATH: bench.file('os'),
    TMPDIR: bench.file('here/tmp'),
  });
  const moved = await here.gantry('move', source, address, '--to', target, '--peer-program', bench.file('peer'), '--json', '--debug');
  expect(moved.exitCode, moved.stderr).toBe(fails ? 6 : 0);
  if (!fails) expect((await readFile(bench.file('target.img'))).equals(disk)).toBe(true);

  for (const [index, name] of (['export', 'import'] as const).entries()) {
    expect(await readFile(bench.file('seen', name), 'utf8')).toBe(SECRETS[index]);
    const argumentsOfAll = await readFile(bench.file('seen', `arguments-${name}`), 'utf8');
    expect(argumentsOfAll).toContain(`${MAIN} receive`);
    for (const secret of SECRETS) expect(argumentsOfAll).not.toContain(secret);
    expect(await readFile(bench.file('seen', `files-${name}`), 'utf8')).toBe('');
  }
  for (const secret of [...SECRETS, DATA]) {
    expect(moved.stdout).not.toContain(secret);
    expect(moved.stderr).not.toContain(secret);
  }
  expect(await filesWith(SECRETS)).toEqual(['seen/export', 'seen/import', 'web1.yaml', 'web2.yaml']);
  expect(await filesWith([DATA])).toEqual(['source.img', 'target.img']);
  const passed = Buffer.concat(wire).toString('latin1');
  expect(passed).toContain('SSH-2.0-');
  for (const text of [...SECRETS, Buffer.from(DATA).toString('latin1'), 'root_password', 'web2']) expect(passed.includes(text)).toBe(false);
});
