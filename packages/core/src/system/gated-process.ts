import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { getSystemErrorMessage } from 'node:util';

import { GantryError } from '../report/errors.ts';
import { nameOfErrno } from './errno-name.ts';
import { keepDescriptors } from './pipes.ts';
import type { ProcessGroup } from './process-group.ts';
import { identifyGroup } from './process-group.ts';

/*
 * A program whose process exists, and can be written to the journal, before its first instruction. Until then the process runs Perl,
 * which waits for one byte on a socket and then execs the program: process number, start time, session, environment and descriptors stay
 * the same. If we die before, the socket closes and Perl exits. See docs/decisions/0026-programs-wait-for-the-journal.md.
 */

const PERL = '/usr/bin/perl';
/** Perl marks the socket close-on-exec, since its number is above 2: when it closes, the program runs. */
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

type Stdio = 'ignore' | 'pipe' | number;

export interface GatedOptions {
  readonly cwd: string;
  /** The complete environment. */
  readonly environment: NodeJS.ProcessEnv;
  /** The program's descriptors 0, 1, 2 and so on. */
  readonly stdio: readonly [stdin: Stdio, stdout: Stdio, stderr: Stdio, ...more: Stdio[]];
  /** The umask of this process when absent. */
  readonly umask?: number | undefined;
}

/** A process in a session and group of its own that waits to become a program. */
export interface GatedProcess {
  readonly child: ChildProcess;
  readonly group: ProcessGroup;
  /** Never rejects. */
  readonly end: Promise<ProcessEnd>;
  /**
   * Starts the program; resolves when it runs, or when its process was killed before. To be called once.
   * @throws Error with the `code` of the system when the program cannot be run
   */
  readonly open: () => Promise<void>;
}

/**
 * Creates a process for a program that does not start before {@link GatedProcess.open}.
 *
 * @param argv the program (a path, or a name to be found in the environment's PATH) and its arguments
 * @throws GantryError `PLATFORM` without Perl; Error with the `code` of the system
 */
export async function spawnGated(argv: readonly [string, ...string[]], options: GatedOptions): Promise<GatedProcess> {
  keepDescriptors();
  const { cwd, environment, stdio, umask } = options;
  const gateFd = stdio.length;
  const [stdin, stdout, stderr, ...more] = stdio;
  // Loaded only when something is started: loading takes longer than everything else here.
  const { execa } = await import('execa');
  const subprocess = execa(PERL, ['-e', GATE, String(gateFd), umask?.toString(8) ?? '', ...argv], {
    cwd,
    // Node passes its own NODE_V8_COVERAGE on unless it is set here.
    env: { ...environment, NODE_V8_COVERAGE: undefined },
    extendEnv: false,
    // setsid(2): a group and a session of its own, so that neither the terminal's Ctrl-C nor its end reaches the program.
    detached: true,
    stdio: [passOn(stdin), passOn(stdout), passOn(stderr), ...more.map(passOn), 'pipe'],
    // Descriptors are passed on unchanged, and pipes are not read here.
    buffer: false,
    encoding: 'buffer',
    reject: false,
  });
  const child = subprocess.nodeChildProcess;
  const { pid } = child;
  if (pid === undefined) throw spawnError((await subprocess).cause);
  const end = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (status, signal) => resolve(signal === null ? { status: status ?? -1 } : { signal }));
  });
  const gate = child.stdio[gateFd];
  if (!(gate instanceof Socket)) throw new Error('the process has no socket to wait on');
  return { child, group: identifyGroup(pid), end, open: openerOf(gate) };
}

/** The type that execa has for a descriptor; its code accepts any number. */
type Descriptor = 3;

function passOn(given: Stdio): 'ignore' | 'pipe' | Descriptor {
  if (typeof given !== 'number' || isDescriptor(given)) return given;
  throw new RangeError(`${given} is not a descriptor`);
}

function isDescriptor(fd: number): fd is Descriptor {
  return Number.isSafeInteger(fd) && fd >= 0;
}

function spawnError(cause: unknown): unknown {
  if (existsSync(PERL)) return cause;
  return new GantryError('PLATFORM', {
    message: `cannot run scripts and commands: ${PERL}, which starts them, is missing`,
    hint: 'Install Perl: apt-get install perl-base, or dnf install perl-interpreter.',
    cause,
  });
}

/** Listens at once: the socket closes if the process is killed before it is opened. */
function openerOf(gate: Socket): () => Promise<void> {
  let answer = '';
  gate.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
  // Writing fails if the process was killed meanwhile: its end says so.
  gate.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => gate.once('close', () => resolve()));
  return async () => {
    gate.write('\n');
    await closed;
    if (answer !== '') throw systemError(Number(answer));
  };
}

function systemError(errno: number): Error {
  const code = nameOfErrno(errno);
  return Object.assign(new Error(`${code}: ${getSystemErrorMessage(-errno)}`), { code, errno: -errno });
}
