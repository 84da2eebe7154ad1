import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { mutate } from './mutant.ts';
import { MUTANTS } from './mutants.ts';
import { failureIn } from './try-mutant.ts';

/* Only that the list fits the source: scripts/mutants.sh tries them. */

function inTree(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

test('each guard that scripts/mutants.sh takes away is in the source once, and so are the tests that notice', async () => {
  const wrong: string[] = [];
  for (const mutant of MUTANTS) {
    const text = await readFile(inTree(mutant.file), 'utf8').catch(() => '');
    try {
      if (mutate(text, mutant) === text) wrong.push(`${mutant.guard}: nothing is changed`);
    } catch (error) {
      wrong.push(`${mutant.guard}: ${String(error)}`);
    }
    wrong.push(...mutant.tests.filter((name) => !existsSync(inTree(name))).map((name) => `${mutant.guard}: ${name} is not there`));
  }
  expect(wrong).toEqual([]);
  expect(new Set(MUTANTS.map(({ guard }) => guard)).size).toBe(MUTANTS.length);
  expect(MUTANTS.length).toBeGreaterThanOrEqual(60);
});

test('a guard that is there twice, or nowhere, is refused', () => {
  const mutant = { guard: 'g', file: 'f', from: 'if (a)', to: 'if (false)', tests: [] };
  expect(mutate('x; if (a) y;', mutant)).toBe('x; if (false) y;');
  expect(() => mutate('x;', mutant)).toThrow('nowhere');
  expect(() => mutate('if (a) x; if (a) y;', mutant)).toThrow('more than once');
});

test('a guard is caught by a test that fails, and not by a file that cannot be run', () => {
  const failed = { ancestorTitles: [], fullName: 'a damaged frame is refused', status: 'failed' };
  expect(failureIn(JSON.stringify({ testResults: [{ assertionResults: [failed] }] }), 1)).toEqual({
    state: 'caught',
    by: 'a damaged frame is refused',
  });
  expect(failureIn(JSON.stringify({ testResults: [{ assertionResults: [], message: 'listen EADDRINUSE' }] }), 1)).toEqual({
    state: 'unclear',
    by: 'the test file failed as a whole, status 1 listen EADDRINUSE',
  });
});

test('words that no guard has are an error: a guard that was not tried must not look like one that holds', () => {
  const { status, stderr } = spawnSync(process.execPath, [inTree('tools/mutants/run.ts'), 'no-such-guard'], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toContain('no guard has one of these words in its name, file or test: no-such-guard');
});
