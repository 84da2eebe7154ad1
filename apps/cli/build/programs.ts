import { chmod, copyFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Plugin } from 'rolldown';

const FILE_BESIDE_A_MODULE = /new URL\((?<quoted>[^,]*),\s*import\.meta\.url\)/g;

/** A file that is found from the bundle by the same words: the manifest, one up from `dist` as from `src`, and a thread of the same directory. */
const FOUND_FROM_DIST = /^'\.\.\/package\.json'$|^`\.\/[\w-]+\$\{extname\(import\.meta\.filename\)\}`$/;

/** Copies the shell scripts that our packages run from beside their modules, and has the bundle look for them beside itself. */
export function programsOfPackages(): Plugin {
  const programs = new Set<string>();
  return {
    name: 'programs-of-packages',
    transform: {
      filter: { id: { include: /\.ts$/, exclude: /node_modules/ }, code: 'import.meta.url' },
      handler(code, id) {
        return code.replaceAll(FILE_BESIDE_A_MODULE, (whole, quoted: string) => {
          if (FOUND_FROM_DIST.test(quoted)) return whole;
          const path = /^'([^']+\.sh)'$/.exec(quoted)?.[1];
          if (path === undefined) return this.error(`${id}: ${whole} would lead nowhere from the bundle`);
          programs.add(resolve(dirname(id), path));
          return `new URL('./${basename(path)}', import.meta.url)`;
        });
      },
    },
    async writeBundle({ dir = '.' }) {
      for (const program of programs) {
        const copy = join(dir, basename(program));
        await copyFile(program, copy);
        await chmod(copy, 0o755);
      }
    },
  };
}
