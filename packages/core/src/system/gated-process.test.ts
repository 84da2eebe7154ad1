import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { makeTemporaryDirectory, OWN_MOUNTS, PATIENTLY } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { spawnGated } from './gated-process.ts';
import { identifyGroup, runningMembers } from './process-group.ts';

const ENVIRONMENT = { PATH: '/usr/bin:/bin', 'OSP_A.B': 'not a valid shell variable', EMPTY: '' };
const NOTHING = ['ignore', 'ignore', 'ignore'] as const;

const STATUS =
  'open(F, "/proc/self/stat"); print <F>; print "@ARGV\\n"; opendir(D, "/proc/self/fd"); print join(" ", sort grep { !/^\\./ } readdir D); <STDIN>';

async function textOf(stream: AsyncIterable<unknown> | null): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

describe('a program behind the gate', () => {
  test('does not begin before the gate is opened, and is the same process then', async () => {
    await using scratch = await makeTemporaryDirectory();
    const program = ['perl', '-e', STATUS, 'one', 'two words'] as const;
    const gated = await spawnGated(program, { cwd: scratch.path, environment: ENVIRONMENT, stdio: ['pipe', 'pipe', 'ignore'] });
    const before = identifyGroup(gated.group.pgid);
    const output = textOf(gated.child.stdout);
    await gated.open();
    expect(identifyGroup(before.pgid)).toEqual(before);
    gated.child.stdin?.end();
    expect(await gated.end).toEqual({ status: 0 });
    const [stat = '', ...rest] = (await output).split('\n');
    const [pid, , , , pgid, session] = stat.replace(/\(.*\)/, '-').split(' ');
    expect([pid, pgid, session].map(Number)).toEqual([before.pgid, before.pgid, before.pgid]);
    // 3 and 4 are the program's own: what it reads and the directory.
    expect(rest).toEqual(['one two words', '0 1 2 3 4']);
  });

  test('has exactly the environment that was given, and the working directory', async () => {
    await using scratch = await makeTemporaryDirectory();
    const gated = await spawnGated(['/bin/sleep', '1000'], { cwd: scratch.path, environment: ENVIRONMENT, stdio: NOTHING });
    try {
      await gated.open();
      const entries = readFileSync(`/proc/${gated.group.pgid}/environ`, 'utf8').split('\0').slice(0, -1);
      expect(entries).toEqual(Object.entries(ENVIRONMENT).map((entry) => entry.join('=')));
      expect((await execa('readlink', [`/proc/${gated.group.pgid}/cwd`])).stdout).toBe(scratch.path);
      expect(readFileSync(`/proc/${gated.group.pgid}/cmdline`, 'latin1')).toBe('/bin/sleep\x001000\0');
    } finally {
      process.kill(gated.group.pgid, 'SIGKILL');
      await gated.end;
    }
  });

  test('never begins when we are killed before', async () => {
    await using scratch = await makeTemporaryDirectory();
    const driver = fileURLToPath(import.meta.resolve('../../test/runs/wait-at-gate.ts'));
    const parameters = ['--conditions=@gantry/source', driver, '/usr/bin/touch', scratch.file('ran')];
    const child = execFile(process.execPath, parameters);
    if (child.stdout === null) throw new Error('no output');
    const [line]: unknown[] = await once(createInterface(child.stdout), 'line');
    const group = identifyGroup(Number(line));
    expect(runningMembers(group)).toEqual([group.pgid]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => runningMembers(group), PATIENTLY).toEqual([]);
    expect(existsSync(scratch.file('ran'))).toBe(false);
  });

  test('killed at the gate opens without an error: its end says so', async () => {
    const gated = await spawnGated(['/bin/true'], { cwd: '/', environment: {}, stdio: NOTHING });
    process.kill(gated.group.pgid, 'SIGTERM');
    await gated.open();
    expect(await gated.end).toEqual({ signal: 'SIGTERM' });
  });

  test.each([
    ['does not exist', '/nowhere/program', 'ENOENT'],
    ['may not be run', '/etc/passwd', 'EACCES'],
    ['is not a program', '/', 'EACCES'],
  ])('that %s is reported with the code of the system', async (_, program, code) => {
    const gated = await spawnGated([program], { cwd: '/', environment: {}, stdio: NOTHING });
    await expect(gated.open()).rejects.toMatchObject({ code, message: expect.stringMatching(new RegExp(`^${code}: `)) });
    expect(await gated.end).toEqual({ status: 127 });
  });

  test('has no process where its directory is gone', async () => {
    const spawning = spawnGated(['/bin/true'], { cwd: '/nowhere', environment: {}, stdio: NOTHING });
    await expect(spawning).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('cannot be started without Perl, which is named', async () => {
    await using scratch = await makeTemporaryDirectory();
    const program = scratch.file('program.ts');
    await writeFile(
      program,
      `import { spawnGated } from ${JSON.stringify(import.meta.resolve('./gated-process.ts'))};
       const options = { cwd: '/', environment: {}, stdio: ['ignore', 'ignore', 'ignore'] };
       await spawnGated(['/bin/true'], options).catch(({ code, message, hint }) => console.log(JSON.stringify({ code, message, hint })));`,
    );
    const node = [process.execPath, '--conditions=@gantry/source', program];
    const { stdout } = await execa('unshare', [...OWN_MOUNTS, '/bin/sh', '-c', 'mount -t tmpfs tmpfs /usr/bin && exec "$0" "$@"', ...node]);
    expect(JSON.parse(stdout)).toEqual({
      code: 'PLATFORM',
      message: 'cannot run scripts and commands: /usr/bin/perl, which starts them, is missing',
      hint: 'Install Perl: apt-get install perl-base, or dnf install perl-interpreter.',
    });
  });
});
