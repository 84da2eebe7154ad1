import { chmod, cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FAULTY_DEFINITIONS } from './os-definitions/faulty.ts';
import { writeOsDefinition } from './os-definitions/write-os-definition.ts';

export type { OsDefinitionFile, OsDefinitionFiles } from './os-definitions/write-os-definition.ts';
export { writeOsDefinition } from './os-definitions/write-os-definition.ts';

/** The definitions beside this file, as their authors would keep them: real scripts for real use. */
export const SOUND_DEFINITIONS: readonly string[] = ['cat', 'dump-ext4', 'env-dump', 'tar-ext4'];

/** Every sample definition: the correct ones, and those with one fault. */
export const OS_DEFINITIONS: readonly string[] = [...SOUND_DEFINITIONS, ...Object.keys(FAULTY_DEFINITIONS)];

/** The same from src and from dist. */
const SOURCES = fileURLToPath(new URL('../src/os-definitions', import.meta.url));

/** Writes sample definitions (by default all) into `directory`, which can then be on a search path. */
export async function writeOsDefinitions(directory: string, names: readonly string[] = OS_DEFINITIONS): Promise<void> {
  for (const name of names) {
    const files = FAULTY_DEFINITIONS[name];
    if (files !== undefined) await writeOsDefinition(directory, name, { files });
    else if (SOUND_DEFINITIONS.includes(name)) await copyDefinition(name, join(directory, name));
    else throw new Error(`unknown sample definition ${name}`);
  }
}

async function copyDefinition(name: string, to: string): Promise<void> {
  await cp(join(SOURCES, name), to, { recursive: true });
  // An archive or a download may have lost the execute bits.
  for (const file of await readdir(to)) await chmod(join(to, file), /\./.test(file) || file === 'ganeti_api_version' ? 0o644 : 0o755);
}
