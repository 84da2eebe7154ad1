import { z } from 'zod';
import type { GuestControl } from '../instances/inventory.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import type { Argv } from '../system/run-command.ts';
import { runCommand } from '../system/run-command.ts';
import { expandAll } from './command.ts';
import { Virsh } from './libvirt/virsh.ts';
import { QmpClient, QmpGone } from './qemu/qmp-client.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/*
 * The ways to pause an instance: the user's commands, or the control of its guest.
 */

/** For each answer of QEMU or libvirt, seconds. */
const CONTROL_TIMEOUT_S = 30;

/** Everything that is needed to let an instance go on: goes into the journal. */
export type Resume =
  /** `timeout`: seconds. */
  | { readonly kind: 'commands'; readonly resume: Argv; readonly timeout: number }
  | { readonly kind: 'qmp'; readonly socket: string }
  | { readonly kind: 'libvirt'; readonly uri: string; readonly uuid: string };

export const resumeSchema: z.ZodType<Resume> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('commands'), resume: z.tuple([z.string()], z.string()), timeout: z.number() }),
  z.object({ kind: z.literal('qmp'), socket: z.string() }),
  z.object({ kind: z.literal('libvirt'), uri: z.string(), uuid: z.string() }),
]);

/** How an instance is paused, and how it goes on. */
export interface PauseWay {
  readonly resume: Resume;
  /** Whether it may be paused by us: what somebody else has paused must not go on by our doing. @throws Error with the reason */
  check(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when it does not write any more.
   * @param started remembers the process group of a command before it runs
   * @throws Error with the reason; then it may be paused. The signal's reason
   */
  pause(signal: AbortSignal, started: (group: ProcessGroup) => Promise<void>): Promise<void>;
}

/** By the commands `pause` and `resume`; undefined without them. */
export function pauseByCommands(
  { pause, resume, timeouts }: SnapshotConfig,
  values: { readonly instance: string; readonly run: string },
): PauseWay | undefined {
  if (pause === undefined || resume === undefined) return undefined;
  const command = expandAll(pause, values);
  return {
    resume: { kind: 'commands', resume: expandAll(resume, values), timeout: timeouts.resume },
    check: async () => undefined,
    pause: async (signal, started) => void (await runCommand(command, { timeoutS: timeouts.pause, signal, started })),
  };
}

export function pauseByControl(guest: GuestControl): PauseWay {
  if (guest.kind === 'qmp') {
    const { socket } = guest;
    return {
      resume: { kind: 'qmp', socket },
      check: (signal) => withQemu(socket, signal, async (client) => assertRuns(await statusOf(client))),
      pause: (signal) => withQemu(socket, signal, pauseQemu),
    };
  }
  const { uri, uuid } = guest;
  const virsh = new Virsh(uri, CONTROL_TIMEOUT_S);
  return {
    resume: { kind: 'libvirt', uri, uuid },
    check: async (signal) => assertRuns(await virsh.run(['domstate', uuid], { signal })),
    pause: async (signal, started) => void (await virsh.run(['suspend', uuid], { signal, started })),
  };
}

/** How it goes on, in words. */
export function describeResume(resume: Resume): string {
  if (resume.kind === 'commands') return resume.resume.join(' ');
  if (resume.kind === 'qmp') return `"cont" to the QEMU at ${resume.socket}`;
  return `virsh --connect ${resume.uri} resume ${resume.uuid}`;
}

/** Does nothing to an instance that is not paused. @throws Error with the reason; the signal's reason */
export async function resumeInstance(resume: Resume, signal: AbortSignal): Promise<void> {
  if (resume.kind === 'commands') await runCommand(resume.resume, { timeoutS: resume.timeout, signal });
  else if (resume.kind === 'qmp') await resumeQemu(resume.socket, signal);
  else await resumeDomain(resume, signal);
}

/** A domain that runs may still be about to be paused by a command that was ended: libvirt then carries out this one after that one. */
async function resumeDomain({ uri, uuid }: Extract<Resume, { readonly kind: 'libvirt' }>, signal: AbortSignal): Promise<void> {
  const virsh = new Virsh(uri, CONTROL_TIMEOUT_S);
  try {
    await virsh.run(['resume', uuid], { signal });
  } catch (error) {
    signal.throwIfAborted();
    // It was not paused.
    if ((await virsh.run(['domstate', uuid], { signal })) === 'paused') throw error;
  }
}

/** @throws Error */
function assertRuns(state: string): void {
  if (state !== 'running') throw new Error(`it does not run, its state is "${state}"`);
}

const statusSchema = z.object({ status: z.string() });

async function statusOf(client: QmpClient): Promise<string> {
  return statusSchema.parse(await client.execute('query-status')).status;
}

async function withQemu(socket: string, signal: AbortSignal, work: (client: QmpClient) => Promise<void>): Promise<void> {
  await using client = await QmpClient.connect(socket, { timeoutMs: CONTROL_TIMEOUT_S * 1000, signal });
  await work(client);
}

/** QEMU answers when all that the guest was writing has reached the disks. */
async function pauseQemu(client: QmpClient): Promise<void> {
  await client.execute('stop');
  const status = await statusOf(client);
  if (status !== 'paused') throw new Error(`its QEMU is in the state "${status}" after "stop"`);
}

async function resumeQemu(socket: string, signal: AbortSignal): Promise<void> {
  try {
    await withQemu(socket, signal, async (client) => {
      if ((await statusOf(client)) === 'paused') await client.execute('cont');
    });
  } catch (error) {
    // The guest has ended.
    if (!(error instanceof QmpGone)) throw error;
  }
}
