import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { z } from 'zod';

import { terminalSafe } from '../../report/terminal-text.ts';
import type { ProcessEnd } from '../../system/gated-process.ts';
import { spawnGated } from '../../system/gated-process.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import { groupEnded, runningMembers } from '../../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../../system/run-command.ts';
import { AGENT_PROGRAM } from './agent-program.ts';

/*
 * Freezing the file systems of a guest through its agent, around the moment of its snapshots. Who does it is a process of its own: see
 * docs/decisions/0108-frozen-by-a-process-of-its-own.md.
 */

const PERL = '/usr/bin/perl';
/** Statuses of the program. */
const MAY_BE_FROZEN = 3;
const GONE = 4;

export interface GuestAgent {
  /** The socket of QEMU that leads to it. */
  readonly socket: string;
  /** For each of its answers, seconds. */
  readonly answerS: number;
  /** How long the guest may be frozen, seconds. */
  readonly frozenS: number;
}

/** A guest that is, or may be, frozen, as the journal has it. */
export interface FreezeRecord extends GuestAgent {
  /** The process that freezes and thaws it. */
  readonly process: ProcessGroup;
}

export const freezeRecordSchema: z.ZodType<FreezeRecord> = z.object({
  socket: z.string(),
  answerS: z.number(),
  frozenS: z.number(),
  process: processGroupSchema,
});

/** The guest could not be frozen, or was not until the end. `mayBeFrozen`: it may be so now, and must be thawed. */
export class FreezeFailure extends Error {
  readonly mayBeFrozen: boolean;

  constructor(message: string, mayBeFrozen: boolean) {
    super(message);
    this.mayBeFrozen = mayBeFrozen;
  }
}

/** A frozen guest. Disposing thaws it. */
export interface FrozenGuest extends AsyncDisposable {
  /** @returns how long it was frozen, ms @throws FreezeFailure where it was thawed before, or is not now */
  thaw(): Promise<number>;
}

/**
 * Freezes a guest. It is thawed after `frozenS` seconds at the latest, also if this process is killed or stopped.
 *
 * @param started must resolve when the record is in the journal
 * @throws FreezeFailure; the signal's reason
 */
export async function freezeGuest(
  agent: GuestAgent,
  started: (record: FreezeRecord) => Promise<void>,
  signal: AbortSignal,
): Promise<FrozenGuest> {
  signal.throwIfAborted();
  const program = await startProgram('freeze', agent, (process) => started({ ...agent, process }));
  // The program then thaws it as soon as it can.
  const onAbort = (): void => program.endInput();
  signal.addEventListener('abort', onAbort, { once: true });
  const first = await program.firstLine;
  const frozenAt = performance.now();
  signal.removeEventListener('abort', onAbort);
  const ended = async (): Promise<void> => {
    program.endInput();
    const end = await program.end;
    const last = program.lines.at(-1);
    if (last === 'thawed') return;
    if (last === 'late') throw new FreezeFailure(`the guest was thawed after ${agent.frozenS} s, before its snapshots were taken`, false);
    const isKilled = 'signal' in end;
    const what = isKilled ? 'the process that was to thaw the guest was killed' : (last ?? 'the guest could not be frozen');
    throw new FreezeFailure(terminalSafe(what), isKilled || end.status === MAY_BE_FROZEN);
  };
  if (signal.aborted) {
    program.endInput();
    await program.end;
    signal.throwIfAborted();
  }
  if (first !== 'frozen') await ended();
  return {
    async thaw() {
      await ended();
      return performance.now() - frozenAt;
    },
    async [Symbol.asyncDispose]() {
      program.endInput();
      await program.end;
    },
  };
}

/**
 * Thaws a guest that a killed run has, or may have, frozen. Thawing one that is not frozen does nothing.
 * @throws Error where it may still be frozen
 */
export async function thawGuest({ process, ...agent }: FreezeRecord): Promise<void> {
  // It thaws the guest itself now that its run has ended: if it hangs, the agent does.
  const waitS = isChildAlone(process) ? agent.answerS : agent.frozenS + 3 * agent.answerS;
  if (!(await groupEnded(process, waitS * 1000))) {
    if (isChildAlone(process))
      throw new Error(`the guest may be frozen: the agent at ${agent.socket} does not answer, and a process goes on trying to thaw it`);
    await endCommandOfKilledRun(process);
  }
  const program = await startProgram('thaw', agent);
  const end = await program.end;
  // With the QEMU, the frozen guest has gone.
  if ('status' in end && (end.status === 0 || end.status === GONE)) return;
  throw new Error(`the guest may be frozen, and cannot be thawed: ${terminalSafe(program.lines.at(-1) ?? 'no answer')}`);
}

/** Whether the first thaw has failed, and the child of the program goes on with that. */
function isChildAlone(process: ProcessGroup): boolean {
  const running = runningMembers(process);
  return running.length > 0 && !running.includes(process.pgid);
}

interface Program {
  /** What it has written so far. */
  readonly lines: readonly string[];
  /** Undefined where it ended without. */
  readonly firstLine: Promise<string | undefined>;
  /** After all that it wrote. */
  readonly end: Promise<ProcessEnd>;
  readonly endInput: () => void;
}

async function startProgram(
  mode: 'freeze' | 'thaw',
  { socket, answerS, frozenS }: GuestAgent,
  started?: (group: ProcessGroup) => Promise<void>,
): Promise<Program> {
  const { child, group, end, open } = await spawnGated([PERL, '-e', AGENT_PROGRAM, mode, socket, String(answerS), String(frozenS)], {
    cwd: '/',
    environment: { LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const lines: string[] = [];
  const { promise: firstLine, resolve } = Promise.withResolvers<string | undefined>();
  if (child.stdout === null) throw new Error('the process has no stdout');
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => {
    lines.push(line);
    resolve(line);
  });
  const closed = once(reader, 'close').then(() => resolve(undefined));
  const endInput = (): void => {
    child.stdin?.end();
  };
  child.stdin?.on('error', () => undefined);
  try {
    await started?.(group);
    await open();
  } catch (error) {
    await endCommandOfKilledRun(group, 0);
    throw error;
  }
  return { lines, firstLine, end: closed.then(() => end), endInput };
}
