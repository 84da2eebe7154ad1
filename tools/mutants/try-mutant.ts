import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import type { Mutant } from './mutant.ts';
import { mutate } from './mutant.ts';

/** Far longer than any of the test files takes: a guard that is gone may make a test wait. */
const LIMIT_MS = 600_000;

export interface Outcome {
  /**
   * `caught`: a test failed. `unclear`: no test did, but they did not end well: a port may have been in use. `cannot be tried`: they fail
   * without the change too.
   */
  readonly state: 'caught' | 'survived' | 'unclear' | 'cannot be tried';
  /** The title of the test that failed, or what else happened. */
  readonly by: string;
}

/** Runs tests in a copy of the tree. @returns what failed first; undefined if nothing did */
async function firstFailure(tree: string, { tests, only }: Pick<Mutant, 'tests' | 'only'>): Promise<Outcome | undefined> {
  const report = join(tree, 'mutant.json');
  await rm(report, { force: true });
  const filter = only === undefined ? [] : ['--testNamePattern', only];
  const args = ['run', '--bail', '1', '--reporter', 'json', '--outputFile', report, ...filter, ...tests];
  const child = spawn(join(tree, 'node_modules/.bin/vitest'), args, { cwd: tree, stdio: 'ignore', detached: true });
  const killAll = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', killAll);
  const limit = new AbortController();
  const late = wait(LIMIT_MS, 'late' as const, { signal: limit.signal }).catch(() => 'ended' as const);
  const ended = once(child, 'exit').finally(() => {
    limit.abort();
    process.off('exit', killAll);
  });
  if ((await late) === 'late') {
    killAll();
    await ended;
    return { state: 'unclear', by: `the tests did not end within ${LIMIT_MS / 1000} s` };
  }
  const [code]: unknown[] = await ended;
  if (code === 0) return undefined;
  return failureIn(await readFile(report, 'utf8').catch(() => ''), code);
}

/** What vitest's JSON says: a test that failed, or a file that ended otherwise, such as for lack of memory. */
export function failureIn(text: string, code: unknown): Outcome {
  const [, title] = /"ancestorTitles":[^{}]*?"fullName":"((?:[^"\\]|\\.)*)","status":"failed"/.exec(text) ?? [];
  if (title !== undefined) return { state: 'caught', by: title };
  const [, message = ''] = /"message":"((?:[^"\\]|\\.)+)"/.exec(text) ?? [];
  return { state: 'unclear', by: `the test file failed as a whole, status ${String(code)} ${message}`.trimEnd() };
}

/** Tries mutants in one copy of the tree, one after the other. */
export class Trier {
  readonly #tree: string;
  readonly #sound: Map<string, Promise<Outcome | undefined>>;

  /** @param sound what the tests say without a change; shared by all copies */
  constructor(tree: string, sound: Map<string, Promise<Outcome | undefined>>) {
    this.#tree = tree;
    this.#sound = sound;
  }

  async try(mutant: Mutant): Promise<Outcome> {
    const key = JSON.stringify([mutant.tests, mutant.only]);
    const before = this.#sound.get(key) ?? firstFailure(this.#tree, mutant);
    this.#sound.set(key, before);
    const broken = await before;
    if (broken !== undefined) return { state: 'cannot be tried', by: `without the change: ${broken.by}` };
    const path = join(this.#tree, mutant.file);
    const text = await readFile(path, 'utf8');
    const changed = mutate(text, mutant);
    // One that is not even TypeScript would be caught by any test.
    stripTypeScriptTypes(changed);
    await writeFile(path, changed);
    try {
      return (await firstFailure(this.#tree, mutant)) ?? { state: 'survived', by: mutant.tests.join(' ') };
    } finally {
      await writeFile(path, text);
    }
  }
}
