import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { makeRandomFile, mountNewXfs } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { jsonLines, makeWorkbench } from './workbench.ts';

describe('an error is shown even if cleaning up fails too', () => {
  test('of a script whose output cannot be removed', async () => {
    await using bench = await makeWorkbench();
    await using disk = await mountNewXfs();
    await makeRandomFile(bench.file('disk'), 4096, 'seed');
    const pending = `${disk.path}/.gantry-pending`;
    await bench.defineOs('failing', {
      export: `head -c 9000000 /dev/urandom; until [ -d ${pending}/* ]; do sleep 0.1; done; chattr +i ${pending}/*; exit 3`,
      import: 'cat >/dev/null',
    });
    const instance = await bench.describeInstance('web1', { os: 'failing', disks: [bench.file('disk')] });
    try {
      const human = await bench.gantry('export', instance, disk.path);
      expect(human.exitCode, human.stderr).toBe(6);
      expect(human.stderr).toMatch(
        /warning: cannot remove the unfinished write [0-9a-f]+ of .*: .*EPERM[^]*gantry: .*status 3.* \[SCRIPT_FAILED\]/,
      );
      expect(human.stderr).not.toContain('internal error');
    } finally {
      await execa('chattr', ['-R', '-i', pending]);
    }
  });

  test('of a file system that goes away during the export', async () => {
    await using bench = await makeWorkbench();
    await using disk = await mountNewXfs();
    await makeRandomFile(bench.file('disk'), 4096, 'seed');
    await bench.defineOs('shutting', {
      export: `head -c 9000000 /dev/urandom; xfs_io -x -c 'shutdown' ${disk.path} || exit 9; head -c 90000000 /dev/urandom`,
      import: 'cat >/dev/null',
    });
    const instance = await bench.describeInstance('web1', { os: 'shutting', disks: [bench.file('disk')] });
    const outcome = await bench.gantry('export', instance, disk.path, '--json');
    const error = jsonLines(outcome.stdout).at(-1);
    expect(error).toMatchObject({ type: 'error', code: 'STORE_UNAVAILABLE', exitCode: 8 });
    expect(outcome.exitCode).toBe(8);
  });
});

describe('a signal that comes after the work is done', () => {
  /** Runs `gantry list` with something that sends it a signal at the given moment. */
  async function listWith(preload: string): Promise<{ readonly exitCode: number | undefined; readonly stdout: string }> {
    await using bench = await makeWorkbench();
    await writeFile(bench.file('preload.mjs'), preload);
    await bench.gantry('store', 'init', bench.store);
    const main = new URL('../src/main.ts', import.meta.url).pathname;
    const args = ['--conditions=@gantry/source', '--import', pathToFileURL(bench.file('preload.mjs')).href, main, 'list', bench.store];
    const { exitCode, stdout } = await execa(process.execPath, args, { reject: false, env: { GANTRY_STATE_DIR: bench.file('state') } });
    return { exitCode, stdout };
  }

  test('and after the result is printed does not make it a failure', async () => {
    const { exitCode, stdout } = await listWith(`process.once('beforeExit', () => {
      setTimeout(() => process.exit(99), 60_000);
      process.kill(process.pid, 'SIGINT');
    });`);
    expect(stdout).toContain('no exports');
    expect(exitCode).toBe(0);
  });

  test('and while the result is printed does not either', async () => {
    const { exitCode, stdout } = await listWith(`const write = process.stdout.write.bind(process.stdout);
      process.stdout.write = (...args) => { process.kill(process.pid, 'SIGTERM'); return write(...args); };`);
    expect(stdout).toContain('no exports');
    expect(exitCode).toBe(0);
  });
});
