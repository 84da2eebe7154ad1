import { fileURLToPath } from 'node:url';
import { command } from '../disks/command.ts';

/** The same from src and from dist. */
const MAKE_IMAGE = fileURLToPath(new URL('../../src/machines/image/make-image.sh', import.meta.url));

/** What machines start from: a directory that `make-image.sh` made, once for each recipe. Making it takes minutes on a busy machine. */
export async function machineImage(): Promise<string> {
  return command(MAKE_IMAGE);
}
