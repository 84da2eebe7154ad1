import { errorText } from '../../report/error-text.ts';
import { endCommandOfKilledRun } from '../../system/run-command.ts';
import { domainState } from './domain.ts';
import type { LibvirtSnapshotConfig } from './libvirt-config.ts';
import type { FreezeRecord } from './libvirt-record.ts';
import type { Virsh } from './virsh.ts';
import { isGone } from './virsh.ts';

/*
 * File systems of a guest, frozen by its agent for a moment. A guest must not stay frozen, even if we are killed meanwhile. So before it
 * is frozen, a guard starts: a `virsh` that waits and thaws, again and again, as an agent that hung can still freeze when it goes on. When
 * the guest is thawed, the guard is ended.
 */

/** How often the guard thaws. */
const GUARD_ROUNDS = 30;

export interface AgentFreezeOptions {
  readonly virsh: Virsh;
  readonly uuid: string;
  readonly settings: Pick<LibvirtSnapshotConfig, 'freeze' | 'frozen' | 'timeout'>;
  /** Must resolve when the journal has it. */
  readonly remember: (freeze: FreezeRecord | undefined) => Promise<void>;
  readonly warn: (message: string) => void;
  readonly note?: ((message: string) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Whether libvirt did not even ask the agent (`qemuDomainAgentAvailable` in its qemu_domain.c). "Guest agent not available for now" is not
 * among these: libvirt says that when there was no answer in time, and the agent may carry out later what it was asked.
 */
function isNotAsked(error: unknown): boolean {
  return /agent is not (configured|connected)|domain is not running/.test(errorText(error));
}

/**
 * Freezes the guest's file systems as configured, does the work, and thaws.
 * @throws Error where they must be frozen and were not, or cannot be thawed; what the work throws; the signal's reason
 */
export async function whileFrozen(options: AgentFreezeOptions, work: () => Promise<void>): Promise<void> {
  const { settings, remember } = options;
  if (settings.freeze === 'never') return await work();
  await remember({});
  // Where something fails, the guard stays until the record is undone.
  const guard = new Guard(options);
  await guard.start();
  const failure = await freeze(options, guard);
  if (failure === undefined) await workAndThaw(options, work);
  else {
    await remember({ guard: guard.group });
    complain(options, failure);
    await work();
  }
  await guard.end();
  if (guard.isLate) complain(options, `the guest was thawed after ${settings.frozen} s, before its snapshot was taken`);
  await remember(undefined);
}

async function workAndThaw({ virsh, uuid, note, signal }: AgentFreezeOptions, work: () => Promise<void>): Promise<void> {
  const began = performance.now();
  try {
    await work();
  } finally {
    await thaw(virsh, uuid, signal);
  }
  note?.(`the file systems of the guest were frozen for ${Math.ceil(performance.now() - began)} ms`);
}

/** @returns why nothing is frozen @throws Error where the guest may be frozen anyway; the signal's reason */
async function freeze({ virsh, uuid, settings, remember, signal }: AgentFreezeOptions, guard: Guard): Promise<string | undefined> {
  try {
    await virsh.run(['domfsfreeze', uuid], {
      signal,
      timeoutS: settings.frozen,
      started: (freezing) => remember({ guard: guard.group, freezing }),
    });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (!isNotAsked(error)) await thawOrSay(error, { virsh, uuid, signal });
    return `the guest agent could not freeze its file systems: ${errorText(error)}`;
  }
}

/** @throws Error where the guest may be frozen now, or be frozen later */
async function thawOrSay(why: unknown, { virsh, uuid, signal }: Pick<AgentFreezeOptions, 'virsh' | 'uuid' | 'signal'>): Promise<void> {
  try {
    await thaw(virsh, uuid, signal);
  } catch (error) {
    signal.throwIfAborted();
    const message = `the guest agent does not answer, and could still freeze the guest: ${errorText(why)}; ${errorText(error)}`;
    throw new Error(message, { cause: error });
  }
}

function complain({ settings, warn }: AgentFreezeOptions, message: string): void {
  if (settings.freeze === 'require') throw new Error(message);
  warn(message);
}

/** Thaws: does nothing to a guest that is not frozen. @throws Error where it may still be frozen */
async function thaw(virsh: Virsh, uuid: string, signal: AbortSignal): Promise<void> {
  try {
    await virsh.run(['domfsthaw', uuid], { signal });
  } catch (error) {
    signal.throwIfAborted();
    // Without a line to an agent, no agent has frozen it.
    if (/agent is not configured/.test(errorText(error)) || (await hasEnded(error, virsh, uuid, signal))) return;
    throw new Error(`cannot thaw the guest: ${errorText(error)}`, { cause: error });
  }
}

/** libvirt says "domain is not running" of a guest that is paused, too. */
async function hasEnded(error: unknown, virsh: Virsh, uuid: string, signal: AbortSignal): Promise<boolean> {
  if (!isGone(error)) return false;
  try {
    return (await domainState(virsh, uuid, { signal })).state === 'shut off';
  } catch (failure) {
    signal.throwIfAborted();
    return isGone(failure);
  }
}

/** Ends what may still freeze or thaw after a killed run, and thaws. @throws Error where it may still be frozen */
export async function undoFreeze({ freezing, guard }: FreezeRecord, virsh: Virsh, uuid: string, signal: AbortSignal): Promise<void> {
  // Before that is in the journal, nothing was asked to freeze.
  if (freezing !== undefined) {
    await endCommandOfKilledRun(freezing);
    await thaw(virsh, uuid, signal);
  }
  if (guard !== undefined) await endCommandOfKilledRun(guard);
}

/** A process that thaws the guest after a while. It goes on if we are killed. */
class Guard {
  readonly #options: AgentFreezeOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #group: FreezeRecord['guard'];
  #startedAt = 0;

  constructor(options: AgentFreezeOptions) {
    this.#options = options;
  }

  get group(): FreezeRecord['guard'] {
    return this.#group;
  }

  /** Whether it may have thawed the guest. */
  get isLate(): boolean {
    return performance.now() - this.#startedAt > this.#options.settings.frozen * 1000;
  }

  /** Resolves when the journal has it and it is about to wait. */
  async start(): Promise<void> {
    const started = Promise.withResolvers<void>();
    this.#running = this.#run(() => started.resolve()).catch((error: unknown) => started.reject(error));
    await started.promise;
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(onStart: () => void): Promise<void> {
    const { virsh, uuid, settings, remember } = this.#options;
    // An event that no guest without a watchdog has: virsh has no other way to wait. Then it thaws, in any case.
    const round = `event ${uuid} --event watchdog --timeout ${Math.ceil(settings.frozen)}; domfsthaw ${uuid}`;
    await virsh.run([Array.from({ length: GUARD_ROUNDS }, () => round).join('; ')], {
      signal: this.#stop.signal,
      timeoutS: GUARD_ROUNDS * (settings.frozen + settings.timeout),
      started: async (group) => {
        this.#group = group;
        this.#startedAt = performance.now();
        await remember({ guard: group });
        onStart();
      },
    });
  }
}
