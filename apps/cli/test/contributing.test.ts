import { cp, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyExample, readExamples } from './contributing.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

/*
 * What CONTRIBUTING.md says of adding things, done: its examples are applied to a copy of the sources, and everything that they add is used.
 */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const examples = readExamples(await readFile(join(ROOT, 'CONTRIBUTING.md'), 'utf8'));

let scope: AsyncDisposableStack;
let copy: TemporaryDirectory;
let bench: Workbench;
let instance: string;
let target: string;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  copy = scope.use(await makeTemporaryDirectory());
  bench = scope.use(await makeWorkbench());
  for (const name of await readdir(ROOT)) if (!/^(node_modules|\.git)$/.test(name)) await copySources(name);
  await symlink(join(ROOT, 'node_modules'), copy.file('node_modules'));
  for (const example of examples) await applyExample(copy.path, example);
  await inCopy('apps/cli/build/docs.ts');
  await makeRandomFile(bench.file('a.img'), 1024 * 1024, 'a');
  await makeSparseFile(bench.file('b.img'), 1024 * 1024);
  instance = await bench.describeInstance('a.example.com', { disks: ['a.img'] });
  target = await bench.describeInstance('b.example.com', { disks: ['b.img'] });
  for (const name of ['shelf', 'empty']) await mkdir(bench.file('shared', name), { recursive: true });
});

afterAll(() => scope.disposeAsync());

/** Links stay links: each package of the copy finds the others of the copy, and what comes from elsewhere in the real `node_modules`. */
async function copySources(name: string): Promise<void> {
  const filter = (path: string): boolean => !/\/(dist|bench-results|\.turbo|\.vite)$/.test(path);
  await cp(join(ROOT, name), copy.file(name), { recursive: true, verbatimSymlinks: true, filter });
}

async function inCopy(program: string, ...args: readonly string[]): Promise<Outcome> {
  const env = { GANTRY_STATE_DIR: bench.file('state'), GANTRY_YES: '1', GANTRY_CREATE_STORE: '1' };
  const { exitCode, stdout, stderr } = await execa(process.execPath, ['--conditions=@gantry/source', copy.file(program), ...args], {
    cwd: bench.path,
    env: { ...env, SHARED_ROOT: bench.file('shared'), IMAGES_ROOT: bench.path },
    reject: false,
    stdin: 'ignore',
  });
  return { exitCode, stdout, stderr };
}

/** The command with everything that was added; it must succeed. */
async function gantry(...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await inCopy('apps/cli/src/main.ts', ...args);
  expect(exitCode, `gantry ${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout;
}

describe('the examples of CONTRIBUTING.md', () => {
  test('are sound: the sources of the copy have no type errors', async () => {
    const sources = { extends: './tsconfig.test.json', exclude: ['**/*.test.ts', '**/test/**', '**/bench/**'] };
    await writeFile(copy.file('tsconfig.sources.json'), JSON.stringify(sources));
    const { stdout, exitCode } = await execa(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.sources.json'], {
      cwd: copy.path,
      reject: false,
    });
    expect(stdout).toBe('');
    expect(exitCode).toBe(0);
  });

  test('leave the documentation and the registries as their tests want them', async () => {
    const tests = ['apps/cli/test/docs.test.ts', 'packages/core/src/frames/codecs/registry.test.ts'];
    const { all, exitCode } = await execa(join(ROOT, 'node_modules/.bin/vitest'), ['run', ...tests], {
      cwd: copy.path,
      reject: false,
      all: true,
    });
    expect(exitCode, all).toBe(0);
  });

  test('add a codec that exports and imports', async () => {
    const reference = lastLine(await gantry('export', instance, bench.store, '--codec', 'quick'));
    expect(await readdir(exportDirectory(bench, reference))).toContain('disk0.quick');
    await gantry('import', bench.store, reference, '--to', target);
    expect(await sha256File(bench.file('b.img'))).toBe(await sha256File(bench.file('a.img')));
    expect(await gantry('help', 'export')).toContain('quick 1-1');
  });

  test('add a snapshot provider, which leaves nothing', async () => {
    const reference = lastLine(await gantry('export', instance, bench.store, '--snapshot', 'copy'));
    expect(await gantry('show', bench.store, reference)).toMatch(/^0 .* copy$/m);
    expect((await readdir(bench.path)).filter((name) => name.endsWith('.copy'))).toEqual([]);
  });

  test('add a transport, a command that help lists, and an error code', async () => {
    expect(await gantry('help')).toMatch(/^ +count .*Count the exports in a store\.$/m);
    await gantry('export', instance, 'shared://shelf');
    expect(await gantry('count', 'shared://shelf')).toBe('1');
    const { exitCode, stderr } = await inCopy('apps/cli/src/main.ts', 'count', 'shared://empty');
    expect({ exitCode, stderr }).toEqual({ exitCode: 8, stderr: expect.stringContaining('STORE_EMPTY') });
  });

  test('add a source of instances', async () => {
    expect(await gantry('instances', 'images:')).toMatch(/^a +/m);
    expect(lastLine(await gantry('export', 'images:a', bench.store))).toMatch(/^a@/);
  });

  test('cover every kind of addition', () => {
    const files = examples.map(({ file }) => file).join('\n');
    for (const part of [
      'frames/codecs/',
      'src/snapshots/',
      'src/commands/',
      'gantry-transport-',
      'gantry-inventory-',
      'report/errors.ts',
      'docs/how-to/',
    ])
      expect(files).toContain(part);
  });
});
