import { isDeviceMapperUuid } from '../../disks/device-mapper.ts';
import { runLvm } from './commands.ts';

/*
 * A device that shows the beginning of a snapshot: of a disk that is smaller than the volume it is kept in, as one of DRBD with internal
 * metadata is.
 */

const SECTOR_BYTES = 512;

/**
 * @param number of the snapshot, `MAJOR:MINOR`
 * @returns its path
 * @throws Error with the command's last words; the signal's reason
 */
export async function makeView(name: string, number: string, bytes: number, signal: AbortSignal): Promise<string> {
  const table = `0 ${Math.floor(bytes / SECTOR_BYTES)} linear ${number} 0`;
  await runLvm(['dmsetup', 'create', name, '--uuid', uuidOf(name), '--table', table], { signal });
  return `/dev/mapper/${name}`;
}

/** Does nothing where there is none. @throws Error where somebody has it open */
export async function removeView(name: string, signal: AbortSignal): Promise<void> {
  if (await isDeviceMapperUuid(uuidOf(name))) await runLvm(['dmsetup', 'remove', '--retry', '--uuid', uuidOf(name)], { signal });
}

function uuidOf(name: string): string {
  return `GANTRY-${name}`;
}
