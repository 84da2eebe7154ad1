import { chmod, copyFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Plugin } from 'rolldown';

const FILE_BESIDE_A_MODULE = /new URL\((?<quoted>[^,]*),\s*import\.meta\.url\)/g;

/** A package's manifest, however deep in `src` the module lies: from `dist` of the bundle it is one up. */
const MANIFEST = /^'(?:\.\.\/)+package\.json'$/;

/** A thread beside its module, which the bundle has beside itself too. */
const THREAD = /^`\.\/[\w-]+\$\{extname\(import\.meta\.filename\)\}`$/;

/** Copies the shell scripts that our packages run from beside their modules, and has the bundle look for them beside itself. */
export function programsOfPackages(): Plugin {
  const programs = new Set<string>();
  return {
    name: 'programs-of-packages',
    transform: {
      filter: { id: { include: /\.ts$/, exclude: /node_modules/ }, code: 'import.meta.url' },
      handler(code, id) {
        return code.replaceAll(FILE_BESIDE_A_MODULE, (whole, quoted: string) => {
          if (MANIFEST.test(quoted)) return `new URL('../package.json', import.meta.url)`;
          if (THREAD.test(quoted)) return whole;
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
