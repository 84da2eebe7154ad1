import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { MountedFileSystem, NetworkNode, SshServer, TwoNodes } from '@gantry/testkit';
import {
  makeRandomFile,
  makeSparseFile,
  makeTwoNodes,
  mountNewBtrfs,
  mountNewTmpfs,
  PATIENTLY,
  sha256File,
  startSshServer,
} from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome, RunningCommand, Workbench } from './workbench.ts';
import { MAIN, jsonLines, lastLine, makeWorkbench, startCommand, waitForFile } from './workbench.ts';

const MIB = 1024 * 1024;

/** Two nodes with an sshd each: the instance `here` is moved from the first to the second, into `there`. */
let nodes: TwoNodes;
let servers: readonly [SshServer, SshServer];
let bench: Workbench;
let here: string;
let there: string;
/** File systems where the second node has no space. */
let small: MountedFileSystem;
let limited: MountedFileSystem;
let scope: AsyncDisposableStack;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  nodes = scope.use(await makeTwoNodes());
  bench = scope.use(await makeWorkbench());
  // Before the servers, which do not see later mounts.
  small = scope.use(await mountNewTmpfs(4 * MIB));
  limited = scope.use(await mountNewBtrfs());
  await execa('btrfs', ['quota', 'enable', limited.path]);
  await execa('btrfs', ['qgroup', 'limit', '4M', limited.path]);
  servers = [await serve(nodes.first), await serve(nodes.second)];
  for (const [index, mib] of [24, 9, 5].entries()) {
    await makeRandomFile(bench.file(`here-${index}.img`), mib * MIB, `disk ${index}`);
    await makeSparseFile(bench.file(`there-${index}.img`), mib * MIB);
  }
  here = await bench.describeInstance('web1.example.com', { disks: [0, 1, 2].map((index) => `here-${index}.img`) });
  there = await bench.describeInstance('there.example.com', { disks: [0, 1, 2].map((index) => `there-${index}.img`) });
  await writeGantry('gantry', 'exec', '"$@"');
});

afterAll(() => scope.disposeAsync());

async function serve({ address, namespace }: NetworkNode): Promise<SshServer> {
  return scope.use(await startSshServer({ host: address, namespace }));
}

/** A program for the peer that runs this very gantry with a state of its own. */
async function writeGantry(name: string, before: string, args: string): Promise<string> {
  const command = `${process.execPath} ${MAIN} ${args}`;
  const env = `GANTRY_STATE_DIR=${bench.file('state-there')} GANTRY_OS_PATH=${bench.file('os-there')}`;
  await writeFile(bench.file(name), `#!/bin/sh\nexport ${env}\n${before} ${command}\n`);
  await chmod(bench.file(name), 0o755);
  return bench.file(name);
}

/** Starts `gantry move` on the first node. */
function start(source: string, target: string, ...options: readonly string[]): RunningCommand {
  return startTo(servers[1].address(''), source, target, ...options);
}

function startTo(address: string, source: string, target: string, ...options: readonly string[]): RunningCommand {
  const peer = ['--peer-program', bench.file('gantry')];
  const command = [process.execPath, MAIN, 'move', source, address, '--to', target, '--snapshot', 'none', ...peer, ...options];
  const env = { GANTRY_STATE_DIR: bench.file('state'), GANTRY_OS_PATH: bench.file('os'), GANTRY_YES: '1' };
  return startCommand([...nodes.first.enter, ...command], { env });
}

const move = (...args: Parameters<typeof start>): Promise<Outcome> => start(...args).outcome;

/** Defines `name` on both nodes, with the same files except for those in `second`. */
async function defineOs(
  name: string,
  files: Readonly<Record<string, string>>,
  second: Readonly<Record<string, string>> = {},
): Promise<void> {
  await mkdir(bench.file('os-there'), { recursive: true });
  await bench.defineOs(`../os-there/${name}`, { ...files, ...second });
  await bench.defineOs(name, files);
}

/** The same instances, with another definition. */
async function describeWith(os: string): Promise<readonly [string, string]> {
  const disks = (side: string): string[] => [0, 1, 2].map((index) => `${side}-${index}.img`);
  return [
    await bench.describeInstance(`${os}1.example.com`, { os, disks: disks('here') }),
    await bench.describeInstance(`${os}2.example.com`, { os, disks: disks('there') }),
  ];
}

/** The processes of this test: receivers have its state directory in their environment, and scripts the paths of its disks. */
async function leftRunning(): Promise<readonly { readonly pid: number; readonly command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const name of await readdir('/proc')) {
    const text = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!/^\d+$/.test(name) || !(await text('environ')).includes(bench.path)) continue;
    found.push({ pid: Number(name), command: (await text('cmdline')).replaceAll('\0', ' ') });
  }
  return found;
}

/** Waits until no process is left: the other side ends some time later. */
async function nothingRuns(): Promise<void> {
  await expect.poll(leftRunning, PATIENTLY).toEqual([]);
}

describe('gantry move', () => {
  test('moves three disks from one node to the other, under a forced command, and they are equal', async () => {
    const forced = await writeGantry(
      'forced',
      'exec',
      `receive --allow-instance 'there.*' --allow-os raw --instance-directory ${bench.path}`,
    );
    const { authorizedKeysFile, identityFile } = servers[1];
    const key = await readFile(`${identityFile}.pub`, 'utf8');
    await writeFile(authorizedKeysFile, `command="${forced}",restrict ${key}`);
    try {
      const outcome = await move(here, 'there.example.com.yaml', '--json');
      expect(outcome.exitCode, outcome.stdout + outcome.stderr).toBe(0);
      const lines = jsonLines(outcome.stdout);
      expect(lines.at(-1)).toMatchObject({ type: 'result', operation: 'move', target: 'there.example.com', plainBytes: 38 * MIB });
      expect(lines).toContainEqual(expect.objectContaining({ type: 'progress', disk: 2, plainBytes: 5 * MIB }));
      for (const index of [0, 1, 2]) {
        expect(await sha256File(bench.file(`there-${index}.img`))).toBe(await sha256File(bench.file(`here-${index}.img`)));
      }
      const refused = await move(there, 'web1.example.com.yaml');
      expect(refused).toMatchObject({
        exitCode: 12,
        stderr: expect.stringMatching(/receiving the instance web1\.example\.com is not allowed here \[PEER_REFUSED\]/),
      });
    } finally {
      await writeFile(authorizedKeysFile, key);
    }
  });

  test('shows the outcome of a move on the peer', async () => {
    const outcome = await move(here, there, '--json');
    const id = String(jsonLines(outcome.stdout).at(-1)?.['moveId']);
    const shown = await execa(bench.file('gantry'), ['receive', '--outcome', id]);
    expect(shown.stdout).toMatch(/web1\.example\.com was committed here as there\.example\.com at .*: the copy on .* can be removed$/);
    const unknown = await execa(bench.file('gantry'), ['receive', '--outcome', '0'.repeat(32)], { reject: false });
    expect(unknown).toMatchObject({ exitCode: 9, stderr: expect.stringMatching(/MOVE_NOT_FOUND/) });
  });
});

describe('gantry move, if the connection is cut during disk 1', () => {
  const STUCK = {
    export: 'cat "$EXPORT_DEVICE"; if [ "$EXPORT_INDEX" = 1 ]; then sleep 1000; fi',
    import: 'echo $$ >"$PWD/pid$IMPORT_INDEX.tmp"; mv "$PWD/pid$IMPORT_INDEX.tmp" "$PWD/pid$IMPORT_INDEX"; cat >"$IMPORT_DEVICE"',
  };

  test.each([
    ['the session is killed', 'PEER_LOST', () => servers[1].killSessions()],
    ['the cable is pulled', 'PEER_STALLED', () => nodes.setLink('down')],
    ['the receiver is killed', 'PEER_LOST', killReceiver],
  ] as const)('because %s: keeps the source and leaves nothing running', async (_, code, cut) => {
    await defineOs('stuck', STUCK);
    const [source, target] = await describeWith('stuck');
    const marker = bench.file('os-there', 'stuck', 'pid1');
    const running = start(source, target, '--parallel', '1', '--peer-timeout', '8');
    await waitForFile(marker);
    await cut();
    const { exitCode, stdout, stderr } = await running.outcome;
    await nothingRuns();
    await nodes.setLink('up');
    await execa('rm', [marker]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 12, stdout: '' });
    expect(stderr).toContain(`[${code}]`);
    expect(stderr).toMatch(/disk 0: on ssh:\/\/root@192\.0\.2\.2:\d+: complete, but the move was not committed/);
    expect(stderr).toMatch(/disk 1: .*written in part/);
    expect(stderr).toMatch(/disk 2: .*untouched/);
    expect(stderr).toMatch(/stage: transfer.*is unchanged here: keep it/);
    expect(await bench.journal()).toEqual([]);
  });

  test('because of a SIGTERM here: ends both sides', async () => {
    await defineOs('stuck', STUCK);
    const [source, target] = await describeWith('stuck');
    const running = start(source, target, '--parallel', '1');
    await waitForFile(bench.file('os-there', 'stuck', 'pid1'));
    running.kill('SIGTERM');
    const { exitCode, stderr } = await running.outcome;
    expect(exitCode).toBe(143);
    expect(stderr).toMatch(/disk 1: .*written in part/);
    await nothingRuns();
  });
});

/** SIGKILL for the receiver's own process. Its import script lives on without it, as after any SIGKILL: the next run ends it. */
async function killReceiver(): Promise<void> {
  const receivers = (await leftRunning()).filter(({ command }) => command.includes(`${MAIN} receive`));
  expect(receivers).toHaveLength(1);
  for (const { pid } of receivers) process.kill(pid, 'SIGKILL');
  await execa(bench.file('gantry'), ['clean']);
}

describe('gantry move to a peer that cannot receive it', () => {
  test.each([
    ['without gantry', '/nowhere/gantry', 12, /cannot run gantry on ssh:.*: it is not installed.* \[PEER_NO_GANTRY\]/],
    ['whose gantry is too old to receive', 'old', 12, /too old.*\[PEER_VERSION\]/],
    ['whose gantry speaks another version', 'newer', 12, /gantry 9\.0\.0 with version 9.*\[PEER_VERSION\]/],
    ['that talks before gantry does', 'chatty', 12, /does not answer with gantry's protocol \[PEER_PROTOCOL\]\n {2}it sent: Welcome/],
    ['by a program that a shell would interpret', 'a;b', 2, /--peer-program is "a;b": .*\[USAGE\]/],
  ] as const)('%s', async (_, program, exitCode, message) => {
    const scripts = {
      old: 'echo "error: unknown command \'receive\'" >&2; exit 2',
      newer: 'echo "gantry-pipe 9 9.0.0"; cat >/dev/null',
      chatty: 'echo "Welcome to node2"; cat >/dev/null',
    };
    const found = Object.entries(scripts).find(([name]) => name === program);
    if (found !== undefined) {
      await writeFile(bench.file(program), `#!/bin/sh\n${found[1]}\n`);
      await chmod(bench.file(program), 0o755);
    }
    const outcome = await move(here, there, '--peer-program', found === undefined ? program : bench.file(program));
    expect(outcome.stderr).toMatch(message);
    expect(outcome.exitCode).toBe(exitCode);
  });

  test('whose definition lacks import, or does not exist', async () => {
    await bench.defineOs('lacking', { export: 'exit 0', import: 'exit 0' });
    const [source, target] = await describeWith('lacking');
    expect(await move(source, target)).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/OS_NOT_FOUND/) });
    await mkdir(bench.file('os-there'), { recursive: true });
    await bench.defineOs('../os-there/lacking', {});
    expect(await move(source, target)).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/OS_OPERATION_UNSUPPORTED/) });
  });

  test('because the port is closed', async () => {
    const address = `ssh://root@192.0.2.2:1?config=${servers[1].configFile}`;
    const [program = '', ...enter] = nodes.first.enter;
    const args = [...enter, process.execPath, MAIN, 'move', here, address, '--to', there];
    const outcome = await execa(program, args, { reject: false, env: { GANTRY_STATE_DIR: bench.file('state') } });
    expect(outcome).toMatchObject({ exitCode: 12, stderr: expect.stringMatching(/PEER_UNAVAILABLE/) });
  });

  test.each(['openssh', 'ssh2'])('because its host key is unknown or has changed, or its account accepts no key, by %s', async (engine) => {
    const [, { configFile, knownHostsFile, identityFile }] = servers;
    const changed = bench.file('changed');
    const [name = ''] = (await readFile(knownHostsFile, 'utf8')).split(' ');
    await writeFile(changed, `${name} ${await readFile(`${identityFile}.pub`, 'utf8')}`);
    for (const [options, said] of [
      [{ config: configFile, knownHosts: '/dev/null' }, /host key of \S+ is unknown.*SHA256:.*\[PEER_DENIED\].*accept-new/s],
      [{ config: configFile, knownHosts: changed }, /host key of .* has changed.*SHA256:.*\[PEER_DENIED\]/s],
      [{ config: 'none', knownHosts: knownHostsFile, identity: '/dev/null' }, /accepted no key.*not usable: \/dev\/null.*\[PEER_DENIED\]/s],
    ] as const) {
      const { exitCode, stdout, stderr } = await startTo(servers[1].address('', { engine, ...options }), here, there).outcome;
      expect(stderr).toMatch(said);
      expect(stderr).toMatch(/stage: connect.*is unchanged here: keep it/);
      expect({ exitCode, stdout }).toEqual({ exitCode: 12, stdout: '' });
    }
    await nothingRuns();
  });

  test('because it is a store', async () => {
    const outcome = await bench.gantry('move', here, bench.store, '--to', there);
    expect(outcome).toMatchObject({ exitCode: 8, stderr: expect.stringMatching(/is not a peer/) });
  });
});

describe('gantry move to disks without space', () => {
  /** A target whose disk 1 has the right size, but is on a file system that cannot hold it. */
  async function describeOn(directory: string, os: string): Promise<string> {
    await makeSparseFile(`${directory}/small.img`, 9 * MIB);
    return bench.describeInstance(`${os}-small.example.com`, {
      os,
      disks: [bench.file('there-0.img'), `${directory}/small.img`, bench.file('there-2.img')],
    });
  }

  const PLAIN = { export: 'cat "$EXPORT_DEVICE"', import: 'cat 1<>"$IMPORT_DEVICE"' };

  test.each(['raw', 'plain'])('because the file system there is full: both sides say so, and the source is kept (%s)', async (os) => {
    await defineOs('plain', PLAIN);
    const [source] = os === 'raw' ? [here] : await describeWith(os);
    const { exitCode, stdout, stderr } = await move(source, await describeOn(small.path, os));
    expect(stderr).toMatch(/no space left/i);
    expect(stderr).toMatch(/disk 1: on ssh:\S+ written in part/);
    expect(stderr).toMatch(/stage: transfer.*is unchanged here: keep it/);
    expect({ exitCode, stdout }).toEqual({ exitCode: os === 'raw' ? 5 : 6, stdout: '' });
    await nothingRuns();
  });

  test('because of a quota', async () => {
    const { exitCode, stderr } = await move(here, await describeOn(limited.path, 'raw'));
    expect(stderr).toMatch(/quota/i);
    expect(stderr).toMatch(/disk 1: on ssh:\S+ written in part/);
    expect(exitCode).toBe(5);
    await nothingRuns();
  });
});

test('gantry receive needs pipes', async () => {
  const outcome = await bench.gantry('receive');
  expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/are not pipes/) });
  expect(lastLine(outcome.stdout)).toBe('');
});
