import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { licensesOf } from './licenses.ts';
import { programsOfPackages } from './programs.ts';

const START = fileURLToPath(new URL('../src/start.ts', import.meta.url));

/** Worker threads, of the S3 transport and of encrypted files: they are looked for beside what starts them. */
const MD5_THREAD = fileURLToPath(new URL('write/md5-thread.ts', import.meta.resolve('@gantry/transport-s3')));
const AGE_THREAD = fileURLToPath(new URL('age-thread.ts', import.meta.resolve('@gantry/age')));

/** Both have a part in C, which they look for beside themselves. The published package depends on nothing else. */
const OUTSIDE = ['koffi', 'ssh2'];

/**
 * Writes the command as it is published: one script that every call needs, and others that are loaded on demand. CommonJS, because
 * Node starts it faster; `docs/decisions/0004-one-bundle.md` has the figures. To be run with `--conditions=@gantry/source`.
 *
 * @returns the modules that went into each file, by the file's name
 */
export async function bundle(directory: string): Promise<ReadonlyMap<string, readonly string[]>> {
  await using build = await rolldown({
    input: { start: START, 'md5-thread': MD5_THREAD, 'age-thread': AGE_THREAD },
    platform: 'node',
    external: OUTSIDE,
    resolve: { conditionNames: ['@gantry/source', 'node', 'import', 'default'] },
    transform: { target: 'node22.18' },
    plugins: [programsOfPackages()],
  });
  const { output } = await build.write({
    dir: directory,
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: '[name]-[hash].cjs',
    cleanDir: true,
  });
  const chunks = output.filter((file) => file.type === 'chunk');
  const modules = new Map(chunks.map(({ fileName, moduleIds }) => [fileName, moduleIds]));
  await writeFile(join(directory, 'THIRD-PARTY-LICENSES.txt'), await licensesOf([...modules.values()].flat()));
  return modules;
}

if (import.meta.main) {
  const directory = fileURLToPath(new URL('../dist', import.meta.url));
  await mkdir(directory, { recursive: true });
  await bundle(directory);
}
