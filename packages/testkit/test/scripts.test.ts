import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { makeTemporaryDirectory } from '../src/disks/temporary-directory.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** In the place of vitest: it has run that number of tests, as its report says, and ends with that status. */
function fakeUnshare(passed: number, status: number): string {
  return `#!/bin/sh
for argument do case $argument in --outputFile.json=*) echo '{"numTotalTests":8,"numPassedTests":${passed},"success":true}' >"\${argument#*=}" ;; esac; done
exit ${status}
`;
}

test.each([
  ['tests that pass', 1, 0, 0],
  ['tests of which one fails', 7, 1, 1],
  ['no test', 0, 0, 1],
])('a script that runs tests by their titles ends with what came of them: %s', async (_what, passed, ended, status) => {
  await using directory = await makeTemporaryDirectory();
  const fake = join(directory.path, 'unshare');
  await writeFile(fake, fakeUnshare(passed, ended));
  await chmod(fake, 0o755);
  const script = 'set -eu; . scripts/tools.sh; run_tests_named "killed at any moment" some.test.ts';
  const env = { ...process.env, PATH: `${directory.path}:${process.env['PATH'] ?? ''}`, TMPDIR: directory.path };
  const outcome = await promisify(execFile)('sh', ['-c', script], { cwd: ROOT, env }).then(
    () => ({ code: 0, stderr: '' }),
    (error: unknown) => error,
  );
  const isMissing = passed === 0 && ended === 0;
  const stderr = isMissing ? "gantry: no test of some.test.ts ran that is named 'killed at any moment'\n" : '';
  expect(outcome).toMatchObject({ code: status, stderr });
});

test('the titles by which scripts/kills.sh runs tests are those of tests', async () => {
  const script = await readFile(join(ROOT, 'scripts/kills.sh'), 'utf8');
  const runs = [...script.matchAll(/run_tests_named '([^']+)' (\S+)/g)];
  expect(runs).toHaveLength(2);
  for (const [, title = '', file = ''] of runs) {
    expect(await readFile(join(ROOT, file), 'utf8'), file).toMatch(new RegExp(`^ *[\`'].*${title}.*[\`'],$`, 'm'));
  }
});
