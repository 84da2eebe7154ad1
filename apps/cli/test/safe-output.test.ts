import { readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { exportDirectory, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

/** C0 and C1 controls, characters that are invisible or change the direction of text, and a line that looks like one of Gantry's. */
const NASTY = 'a\u0007\u007F\u009B31m\u202Eb\u2066c\u200F\uFEFF\u2028d\u0085\ngantry: all is well';
/** Characters that a terminal must never get: controls other than the line end, and those that change the direction of text. */
const UNSAFE = /[\p{Cc}--\n]|[\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]/v;

test('data from a store is escaped for terminals, and reaches programs unchanged', async () => {
  await using bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  const source = await bench.describeInstance('web1', { disks: [bench.file('disk.img')] });
  const reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
  const file = `${exportDirectory(bench, reference)}/manifest.json`;
  const manifest: unknown = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify(Object.assign(Object(manifest), { tool: { name: NASTY, version: '1' } })));

  const human = await bench.gantry('show', bench.store, reference);
  expect(human).toMatchObject({ exitCode: 0 });
  expect(human.stdout + human.stderr).not.toMatch(UNSAFE);
  expect(human.stdout).not.toMatch(/^gantry: all is well/m);
  const json = await bench.gantry('show', bench.store, reference, '--json');
  expect(json.stdout).not.toMatch(UNSAFE);
  expect(jsonLines(json.stdout).at(-1)).toMatchObject({ manifest: { tool: { name: NASTY } } });
});

test('output of scripts and input of the caller is escaped in errors and events too', async () => {
  await using bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  await bench.defineOs('loud', { export: String.raw`printf 'x\302\233y\342\200\256z\033[2J\n' >&2; exit 3`, import: 'exit 0' });
  const source = await bench.describeInstance('web1', { os: 'loud', disks: [bench.file('disk.img')] });
  for (const args of [['export', source, bench.store], ['show', bench.store, NASTY], ['list', `${bench.store}/${NASTY}`], [NASTY]]) {
    for (const call of [args, [...args, '--json']]) {
      const { exitCode, stdout, stderr } = await bench.gantry(...call);
      expect(exitCode).not.toBe(0);
      expect({ call, text: stdout + stderr }).toEqual({ call, text: expect.not.stringMatching(UNSAFE) });
      expect(stderr).not.toMatch(/^gantry: all is well/m);
      if (call.includes('--json')) expect(jsonLines(stdout).at(-1)).toMatchObject({ type: 'error' });
    }
  }
});
