import { fileURLToPath } from 'node:url';
import { command } from '../disks/command.ts';

/** The same from src and from dist. */
const MAKE_BASE = fileURLToPath(new URL('../../src/ganeti/base/make-base.sh', import.meta.url));
export const LAB: string = fileURLToPath(new URL('../../src/ganeti/base/lab.sh', import.meta.url));

/**
 * The directory from which clusters start, made by `make-base.sh` once per recipe (about two minutes) in
 * `$XDG_CACHE_HOME/gantry/ganeti`, by default below `/var/cache`.
 */
export async function ganetiBase(): Promise<string> {
  return command(MAKE_BASE);
}
