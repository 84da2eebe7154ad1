import { expand } from '../placeholders.ts';
import type { ProviderOptions } from '../provider.ts';
import { defaultScratch } from '../scratch-directory.ts';
import type { GuestAgent } from './agent-freeze.ts';

/** What is known ahead of QEMU's own answers. */
export interface QemuSettings {
  /** The QMP socket, unless it is to be read from the command line of the QEMU that has the disk open. */
  readonly socket: (instanceName: string) => string | undefined;
  /** Directory for what the guest overwrites while its disks are read. */
  readonly scratch: string;
  /** Whether that is Gantry's own directory, which need not be there yet. */
  readonly isDefaultScratch: boolean;
  /** Bytes that must stay free there. */
  readonly reserveBytes: number;
  /** For each answer of QEMU, ms. */
  readonly timeoutMs: number;
  /** What freezes the guest around the moment of its snapshots; undefined if it is not to be frozen. */
  readonly agent: (instanceName: string) => GuestAgent | undefined;
}

const MIB = 1024 * 1024;
const DEFAULTS = { reserve: 64, timeout: 30, frozen: 10 };
/** For an answer of the agent, seconds: a guest that is busy answers late, but one without an agent never does. */
const MAX_AGENT_ANSWER_S = 30;

/** What the user says, and where that is silent what the source of the instance says. @returns undefined where neither says anything */
export function qemuSettings({ config, guest }: ProviderOptions): QemuSettings | undefined {
  const ofGuest = guest?.kind === 'qmp' ? guest.socket : undefined;
  const section = config?.qemu;
  if (section === undefined && ofGuest === undefined) return undefined;
  const { qmp, scratch, reserve, timeout, agent, frozen } = { ...DEFAULTS, ...section };
  return {
    socket: (instanceName) => (qmp === undefined ? ofGuest : expand(qmp, { instance: instanceName })),
    scratch: scratch ?? defaultScratch(),
    isDefaultScratch: scratch === undefined,
    reserveBytes: reserve * MIB,
    timeoutMs: timeout * 1000,
    agent: (instanceName) =>
      agent === undefined
        ? undefined
        : { socket: expand(agent, { instance: instanceName }), answerS: Math.min(Math.ceil(timeout), MAX_AGENT_ANSWER_S), frozenS: frozen },
  };
}
