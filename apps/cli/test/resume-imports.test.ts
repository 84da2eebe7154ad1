import { open, readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { SshServer, TemporaryDirectory } from '@gantry/testkit';
import { PATIENTLY, makeRandomFile, makeSparseFile, makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAIN } from './workbench.ts';

const MiB = 1024 * 1024;
const DISK_BYTES = 24 * MiB;

let scope: AsyncDisposableStack;
let home: TemporaryDirectory;
let server: SshServer;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  home = scope.use(await makeTemporaryDirectory());
  server = scope.use(await startSshServer());
  await makeRandomFile(home.file('disk.img'), DISK_BYTES, 'disk');
  await describeInstance('here', 'disk.img');
  await gantry('store', 'init', home.file('store'));
  await gantry('export', home.file('here.yaml'), home.file('store'));
});

afterAll(() => scope.disposeAsync());

async function describeInstance(name: string, disk: string): Promise<void> {
  const text = `name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${home.file(disk)}\n`;
  await writeFile(home.file(`${name}.yaml`), text);
}

function start(...args: readonly string[]) {
  return execa(process.execPath, [MAIN, ...args], {
    env: { GANTRY_STATE_DIR: home.file('state'), GANTRY_YES: '1' },
    reject: false,
    stdin: 'ignore',
    forceKillAfterDelay: false,
  });
}

async function gantry(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await start(...args);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return stdout;
}

/** Whether the second frame is being written: then the first one is complete. */
async function isUnderWay(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(1024), 0, 1024, 4 * MiB);
  return buffer.some((byte) => byte !== 0);
}

test.each(['directory', 'peer'])('an import from a %s that was killed goes on where the disk differs', async (place) => {
  const store = place === 'peer' ? server.address(home.file('store')) : home.file('store');
  const target = home.file(`${place}.img`);
  await makeSparseFile(target, DISK_BYTES);
  await describeInstance(place, `${place}.img`);
  const importing = ['import', store, 'web1.example.com', '--to', home.file(`${place}.yaml`)];
  const first = start(...importing, '--limit-rate', '4M');
  await expect.poll(() => isUnderWay(target), PATIENTLY).toBe(true);
  first.kill('SIGKILL');
  expect(await first).toMatchObject({ signal: 'SIGKILL' });
  expect((await readFile(target)).equals(await readFile(home.file('disk.img')))).toBe(false);
  const result: unknown = JSON.parse((await gantry(...importing, '--resume', '--json')).trim().split('\n').at(-1) ?? '');
  expect((await readFile(target)).equals(await readFile(home.file('disk.img')))).toBe(true);
  expect(result).toMatchObject({ plainBytes: DISK_BYTES, resumed: [{ disk: 0, comparedBytes: DISK_BYTES }] });
  const written = /"writtenBytes":(\d+)/.exec(JSON.stringify(result))?.[1];
  expect(Number(written)).toBeGreaterThan(0);
  expect(Number(written)).toBeLessThan(DISK_BYTES);
});
