import { asFirstError } from '@gantry/core';
import { createProgram } from '../src/command-line/program.ts';
import type { CliContext } from '../src/session.ts';
import type { Workbench } from './workbench.ts';

/**
 * A valid call of each command, as far as possible without a peer: its arguments, by its name.
 *
 * @param file of the instance web1, @param reference of an export of it in the store of the workbench
 */
export function validCalls(bench: Workbench, file: string, reference: string): Readonly<Record<string, readonly string[]>> {
  return {
    export: [file, bench.store],
    import: [bench.store, reference, '--to', file, '--yes'],
    move: [file, 'ssh://127.0.0.1:1?engine=ssh2&connectTimeout=5', '--to', file, '--yes'],
    receive: ['--outcome', '0'.repeat(32)],
    list: [bench.store, 'web1'],
    show: [bench.store, reference],
    verify: [bench.store, reference],
    remove: [bench.store, 'web1@20200101T000000Z'],
    undelete: [bench.store, 'web1@20200101T000000Z'],
    clean: [bench.store],
    create: [file],
    rename: [file, 'web2'],
    instances: [bench.path],
    describe: [file],
    'snapshots check': [file],
    'os list': [],
    'os show': ['raw'],
    'os check': ['raw'],
    copy: [bench.store, reference, bench.file('copies')],
    mirror: [bench.store, bench.file('copies')],
    diff: [bench.store, reference, reference],
    'keys check': [bench.store],
    'keys add': [bench.store, reference],
    tag: [bench.store, reference, '--add', 'odd'],
    consolidate: [bench.store, reference],
    prune: [bench.store, '--keep-last', '1'],
    'store init': [bench.store],
    'store conformance': ['/nonexistent'],
    'config show': [bench.store],
    'config check': [],
    schema: [],
    completion: ['bash'],
    complete: ['export', bench.store],
    run: ['nightly'],
    notify: ['nightly'],
    status: [],
    report: [bench.store, '--out', bench.file('report.html')],
    version: [],
  };
}

/** Calls the command in this process, without any output. @returns the error; undefined if it succeeded */
export async function callHere(bench: Workbench, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const silent = (): void => {};
  const context: CliContext = {
    output: { event: silent, note: silent, warn: silent, ask: silent, result: silent, bytes: silent, failure: silent, close: silent },
    json: true,
    quiet: true,
    signal: AbortSignal.timeout(100_000),
    env: { GANTRY_STATE_DIR: bench.file('state'), GANTRY_OS_PATH: bench.file('os'), HOME: bench.path, ...env },
    cwd: bench.path,
    exitWith: silent,
  };
  try {
    const program = await createProgram(args, context);
    for (const command of [program, ...program.commands, ...program.commands.flatMap((group) => group.commands)]) {
      command.configureOutput({ writeOut: silent });
    }
    await program.parseAsync(args, { from: 'user' });
    return undefined;
  } catch (error) {
    return asFirstError(error);
  }
}
