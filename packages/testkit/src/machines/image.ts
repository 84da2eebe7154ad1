import { fileURLToPath } from 'node:url';
import { command } from '../disks/command.ts';

/** The same from src and from dist. */
const MAKE_IMAGE = fileURLToPath(new URL('../../src/machines/image/make-image.sh', import.meta.url));

/** The directory of the image from which machines start, made by `make-image.sh` once per recipe. That takes minutes on a busy machine. */
export async function machineImage(): Promise<string> {
  return command(MAKE_IMAGE);
}
