import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';

import { GantryError } from '../report/errors.ts';
import { keepDescriptors } from './pipes.ts';
import type { ProcessGroup } from './process-group.ts';
import { identifyGroup } from './process-group.ts';

/*
 * A program that has a process, and so a number for the journal, before its first instruction. What runs until then is Perl, which
 * waits at a socket for one byte and becomes the program: the number, the start time, the session, the environment and the descriptors
 * stay. Where we die before, the socket ends and so does Perl. See docs/decisions/0026-programs-wait-for-the-journal.md.
 */

const PERL = '/usr/bin/perl';
/** Perl marks the socket close-on-exec, since its number is above 2: its end says that the program runs. */
const GATE = `
  open(my $gate, "+<&=", shift) or exit 125;
  my $umask = shift;
  umask(oct($umask)) if length($umask);
  sysread($gate, my $go, 1) or exit 125;
  exec { $ARGV[0] } @ARGV;
  syswrite($gate, 0 + $!);
  exit 127;
`;

/** How a process ended. */
export type ProcessEnd = { readonly status: number } | { readonly signal: string };

export interface GatedOptions {
  readonly cwd: string;
  /** All of it. */
  readonly environment: NodeJS.ProcessEnv;
  /** What the program gets as descriptors 0, 1, 2 and so on. */
  readonly stdio: readonly ('ignore' | 'pipe' | number)[];
  /** Ours where absent. */
  readonly umask?: number | undefined;
}

/** A process in a session and group of its own that waits to become a program. */
export interface GatedProcess {
  readonly child: ChildProcess;
  readonly group: ProcessGroup;
  /** Never rejects. */
  readonly end: Promise<ProcessEnd>;
  /**
   * Lets the program begin; resolves when it has begun, or when its process was ended before. To be called once.
   * @throws Error with the `code` with which the system refused to run it
   */
  readonly open: () => Promise<void>;
}

/**
 * Makes a process for a program that does not begin before {@link GatedProcess.open}. The process exists when this returns; what the
 * promise rejects with says why it does not.
 *
 * @param argv the program, with its path or found in the environment's PATH, and its arguments
 * @throws GantryError `PLATFORM` without Perl; Error with the `code` of the system
 */
export async function spawnGated(argv: readonly [string, ...string[]], options: GatedOptions): Promise<GatedProcess> {
  keepDescriptors();
  const { length: gateFd } = options.stdio;
  const child = spawn(PERL, ['-e', GATE, String(gateFd), options.umask?.toString(8) ?? '', ...argv], spawnOptions(options));
  const { pid } = child;
  if (pid === undefined) throw await spawnError(child);
  const end = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (status, signal) => resolve(signal === null ? { status: status ?? -1 } : { signal }));
  });
  const gate = child.stdio[gateFd];
  if (!(gate instanceof Socket)) throw new Error('no socket for the gate');
  // A process that was ended meanwhile does not listen: its end says so.
  gate.on('error', () => undefined);
  return { child, group: identifyGroup(pid), end, open: () => open(gate) };
}

function spawnOptions({ cwd, environment, stdio }: GatedOptions): SpawnOptions {
  return {
    cwd,
    // Node passes NODE_V8_COVERAGE of its own on unless it stands here.
    env: { ...environment, NODE_V8_COVERAGE: undefined },
    // setsid(2): a group and a session of its own, so that neither the terminal's Ctrl-C nor its end reaches the program.
    detached: true,
    stdio: [...stdio, 'pipe'],
  };
}

async function spawnError(child: ChildProcess): Promise<unknown> {
  const [error]: unknown[] = await once(child, 'error');
  if (existsSync(PERL)) return error;
  return new GantryError('PLATFORM', {
    message: `cannot run scripts and commands: ${PERL}, which starts them, is missing`,
    hint: 'Install Perl: apt-get install perl-base, or dnf install perl-interpreter.',
    cause: error,
  });
}

async function open(gate: Socket): Promise<void> {
  let answer = '';
  gate.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
  gate.write('\n');
  await new Promise((resolve) => gate.once('close', resolve));
  if (answer === '') return;
  const errno = Number(answer);
  const [code = `errno ${answer}`] = Object.entries(constants.errno).find(([, number]) => number === errno) ?? [];
  throw Object.assign(new Error(`${code}: ${getSystemErrorMessage(-errno)}`), { code, errno: -errno });
}
