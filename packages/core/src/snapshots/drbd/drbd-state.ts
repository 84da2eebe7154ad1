import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { Argv } from '../../system/run-command.ts';
import { runCommand } from '../../system/run-command.ts';

const TIMEOUT_S = 30;
/** Of a node with thousands of devices. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/** One device of DRBD as this node has it; words as DRBD's own. */
export interface DrbdState {
  readonly resource: string;
  /** `Primary`, `Secondary`. */
  readonly role: string;
  /** `UpToDate`, `Inconsistent`, `Diskless` … */
  readonly disk: string;
  /** With each peer: `Off`, `Established`, `SyncSource`, `SyncTarget` … */
  readonly replication: readonly string[];
  /** The device that holds its data, as it was named when it was attached. */
  readonly backing: string | undefined;
}

/**
 * Asks `drbdsetup`, whose two answers here are the same in versions 8.4 and 9.
 * @throws Error where it cannot be asked, or does not know the device; the signal's reason
 */
export async function readDrbdState(minor: number, signal: AbortSignal): Promise<DrbdState> {
  const events = await runDrbd(['drbdsetup', 'events2', '--now'], signal);
  return parseDrbdState(minor, events, await runDrbd(['drbdsetup', 'show'], signal));
}

async function runDrbd(argv: Argv, signal: AbortSignal): Promise<string> {
  try {
    return await runCommand(argv, { signal, timeoutS: TIMEOUT_S, keptBytes: MAX_OUTPUT_BYTES });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && errnoName(error.cause) === 'ENOENT') {
      throw new Error('drbdsetup is not installed (Debian package drbd-utils)', { cause: error });
    }
    throw new Error(`DRBD cannot be asked about it: ${errorText(error)}`, { cause: error });
  }
}

/**
 * @param events `drbdsetup events2 --now`: a line for each thing, such as `exists device name:r0 volume:0 minor:0 disk:UpToDate`
 * @param show `drbdsetup show`: blocks in braces, in which `device minor 0;` and `disk "/dev/vg/web1";` are of one volume
 * @throws Error where it does not have the device
 */
export function parseDrbdState(minor: number, events: string, show: string): DrbdState {
  const lines = events.split('\n').map(parseEvent);
  const device = lines.find(({ kind, fields }) => kind === 'device' && fields.get('minor') === String(minor))?.fields;
  const resource = device?.get('name');
  if (device === undefined || resource === undefined) throw new Error(`DRBD does not have a device with minor number ${minor}`);
  const ofResource = lines.filter(({ fields }) => fields.get('name') === resource);
  const peers = ofResource.filter(({ kind, fields }) => kind === 'peer-device' && fields.get('volume') === device.get('volume'));
  return {
    resource,
    role: ofResource.find(({ kind }) => kind === 'resource')?.fields.get('role') ?? 'Unknown',
    disk: device.get('disk') ?? 'DUnknown',
    replication: peers.map(({ fields }) => fields.get('replication') ?? 'Off'),
    backing: new RegExp(String.raw`\bdevice\s+minor\s+${minor};\s+disk\s+"([^"]+)";`).exec(show)?.[1],
  };
}

interface DrbdEvent {
  readonly kind: string;
  readonly fields: ReadonlyMap<string, string>;
}

function parseEvent(line: string): DrbdEvent {
  const [, kind = '', ...words] = line.trim().split(/\s+/);
  return { kind, fields: new Map(words.map((word) => splitOnce(word, ':'))) };
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
