import { fileURLToPath } from 'node:url';
import { command } from '../disks/command.ts';

/** The same from src and from dist. */
const RECIPES = new URL('../../src/machines/image/', import.meta.url);

/** The directory of the image from which machines start, made by `make-image.sh` once per recipe. That takes minutes on a busy machine. */
export async function machineImage(): Promise<string> {
  return command(fileURLToPath(new URL('make-image.sh', RECIPES)));
}

/** The same with ZFS, for the engine `tcg` alone. Making it compiles the modules, which takes five to fifteen minutes. */
export async function zfsMachineImage(): Promise<string> {
  return command(fileURLToPath(new URL('zfs/make-zfs-image.sh', RECIPES)));
}
