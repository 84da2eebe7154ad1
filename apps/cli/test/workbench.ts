import { on } from 'node:events';
import { watch } from 'node:fs';
import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { execa } from 'execa';
import { inject } from 'vitest';
import { assertValidOutput } from './valid-output.ts';

/** The command as it is published, bundled from the source for this run of the tests: it starts in a fifth of the time. */
export const MAIN: string = inject('gantry');

/** What a machine must see to run the command. */
export const COMMAND_SHARES: readonly string[] = [
  ...new Set([dirname(dirname(MAIN)), fileURLToPath(new URL('../../..', import.meta.url)), dirname(process.execPath)]),
];

/** The outcome of a command. */
export interface Outcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly outcome: Promise<Outcome>;
}

export interface InstanceSketch {
  readonly os?: string;
  readonly disks: readonly string[];
  /** More YAML, at the top level. */
  readonly more?: string;
}

/** A directory for one test: OS definitions, instance files, disks, a store and the state, and the real command to use them. */
export interface Workbench extends AsyncDisposable {
  readonly path: string;
  readonly store: string;
  readonly file: (...names: readonly string[]) => string;
  readonly gantry: (...args: readonly string[]) => Promise<Outcome>;
  readonly start: (...args: readonly string[]) => RunningCommand;
  /** Writes an OS definition; scripts are the bodies of `/bin/sh` scripts, other names are files as they are. */
  readonly defineOs: (name: string, files: Readonly<Record<string, string>>) => Promise<string>;
  readonly describeInstance: (name: string, sketch: InstanceSketch) => Promise<string>;
  /** Every file in the store except its marker, relative to the store. */
  readonly stored: () => Promise<readonly string[]>;
  /** The journal files that runs keep on this machine until they end. */
  readonly journal: () => Promise<readonly string[]>;
}

/** Starts a command without input. @param env besides that of the tests */
export function startCommand(
  [program = '', ...args]: readonly string[],
  options: { readonly cwd?: string; readonly env: Readonly<Record<string, string>> },
): RunningCommand {
  // Gantry ends its scripts itself, which may take some time.
  const child = execa(program, args, { ...options, reject: false, forceKillAfterDelay: false, stdin: 'ignore' });
  if (child.pid === undefined) throw new Error(`${program} did not start`);
  return {
    pid: child.pid,
    kill: (signal) => child.kill(signal),
    outcome: child.then(({ exitCode, stdout, stderr }) => ({ exitCode, stdout, stderr })),
  };
}

const SCRIPTS: ReadonlySet<string> = new Set(['create', 'export', 'import', 'rename', 'verify']);

/**
 * @param env more of the command's environment, such as credentials. New stores are created and other instances
 * overwritten, unless it has an empty `GANTRY_CREATE_STORE` or `GANTRY_YES`.
 */
export async function makeWorkbench(env: Readonly<Record<string, string>> = {}): Promise<Workbench> {
  const directory: TemporaryDirectory = await makeTemporaryDirectory();
  const { path } = directory;
  const file = (...names: readonly string[]): string => directory.file(...names);
  const store = file('exports');
  await mkdir(store, { mode: 0o700 });

  const start = (...args: readonly string[]): RunningCommand => {
    const own = { GANTRY_STATE_DIR: file('state'), GANTRY_OS_PATH: file('os'), GANTRY_CREATE_STORE: '1', GANTRY_YES: '1' };
    return startCommand([process.execPath, MAIN, ...args], { cwd: path, env: { ...own, ...env } });
  };

  return {
    path,
    store,
    file,
    start,
    gantry: (...args) => start(...args).outcome,
    defineOs: async (name, files) => {
      const home = file('os', name);
      await mkdir(home, { recursive: true });
      const all = { ganeti_api_version: '20\n15\n10\n', 'parameters.list': '', create: 'exit 0', verify: 'exit 0', ...files };
      for (const [fileName, text] of Object.entries(all)) {
        const isScript = SCRIPTS.has(fileName);
        await writeFile(join(home, fileName), isScript ? `#!/bin/sh\n${text}\n` : text);
        if (isScript) await chmod(join(home, fileName), 0o755);
      }
      return home;
    },
    describeInstance: async (name, { os = 'raw', disks, more = '' }) => {
      const yaml = `name: ${name}\nos: ${os}\nhypervisor: kvm\ndisks:${disks.length === 0 ? ' []' : ''}\n${disks
        .map((disk) => `  - ${disk.includes('\n') || disk.includes(': ') ? disk : `path: ${disk}`}\n`)
        .join('')}${more}\n`;
      await writeFile(file(`${name}.yaml`), yaml);
      return file(`${name}.yaml`);
    },
    stored: async () => (await filesBelow(store)).filter((name) => name !== 'gantry-store.json'),
    journal: async () => filesBelow(file('state', 'runs')),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** Paths of the files in a directory and below, in order; none if there is no such directory. */
export async function filesBelow(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      .toSorted();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** The last line of a command's stdout. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/** The directory of an export in the store of a workbench. */
export function exportDirectory(bench: Workbench, reference: string): string {
  return join(bench.store, reference.replace('@', '/'));
}

/** The objects of `--json` output, one for each line; all that tests record is compared with its published schema. */
export function jsonLines(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const value: unknown = JSON.parse(line);
      if (typeof value !== 'object' || value === null) throw new Error(`not an object: ${line}`);
      assertValidOutput(value);
      return Object.fromEntries(Object.entries(value));
    });
}

/** Resolves when `path` exists, using events of the file system instead of polling; rejects after `limitMs`. @returns its content */
export async function waitForFile(path: string, limitMs: number = PATIENTLY.timeout): Promise<string> {
  const late = AbortSignal.timeout(limitMs);
  // It watches before it looks: what happens in between is an event.
  const watcher = watch(dirname(path));
  const events = on(watcher, 'change', { signal: late });
  try {
    for (;;) {
      const text = await readFile(path, 'utf8').catch(() => undefined);
      if (text !== undefined) return text;
      await events.next();
    }
  } catch (cause) {
    throw new Error(`${path} did not appear`, { cause });
  } finally {
    watcher.close();
  }
}

/** For commands of a page of the documentation: `gantry` is on the path, asks nothing, and keeps its state beside everything else. */
export async function environmentOfPages({ file }: Workbench): Promise<NodeJS.ProcessEnv> {
  await mkdir(file('bin'));
  await writeFile(file('bin', 'gantry'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 });
  return { PATH: `${file('bin')}:${process.env['PATH'] ?? ''}`, GANTRY_STATE_DIR: file('state'), GANTRY_YES: '1' };
}
