/* The counts of docs/decisions/0069-the-house-counted.md at any commit: `node bench/src/count-house.ts [COMMIT]`. */
import { dirname, join } from 'node:path';
import process from 'node:process';
import { execa } from 'execa';

const COMMIT = process.argv[2] ?? 'HEAD';
const CORE = 'packages/core/src/';
const options = { cwd: join(import.meta.dirname, '../..'), reject: false } as const;

const { stdout: tree } = await execa('git', ['ls-tree', '-r', '--name-only', COMMIT, 'apps', 'packages'], options);
const sources = tree
  .split('\n')
  .filter((name) => /^(apps|packages)\/[^/]+\/src\/.*\.ts$/.test(name) && !/\.test\.ts$|\/testing\/|^packages\/testkit\//.test(name));

/** A directory of core; files in none of them make up the room `.`. */
function roomOf(file: string): string {
  const [room = '', ...inside] = file.slice(CORE.length).split('/');
  return inside.length === 0 ? '.' : room;
}

const { stdout: found } = await execa('git', ['grep', '-E', "from '\\.[^']+'", COMMIT, '--', CORE], options);
const imports = found.split('\n').flatMap((line) => {
  const [, file = '', path = ''] = /^[^:]+:([^:]+):.*from '([^']+)'/.exec(line) ?? [];
  if (!sources.includes(file)) return [];
  const [from, to] = [roomOf(file), roomOf(join(dirname(file), path))];
  return from === to ? [] : [`${from} ${to}`];
});
const pairs = new Set(imports);
const bothWays = [...pairs].filter((pair) => pairs.has(pair.split(' ').toReversed().join(' ')));

async function naming(text: string): Promise<number> {
  const { stdout } = await execa('git', ['grep', '-lF', text, COMMIT, '--', ...sources], options);
  return stdout.split('\n').filter((line) => line !== '').length;
}

process.stdout.write(`source files: ${sources.length}
source files of core in no room: ${sources.filter((file) => file.startsWith(CORE) && roomOf(file) === '.').length}
imports between rooms: ${imports.length}
pairs of rooms with imports: ${pairs.size}
pairs with imports both ways: ${bothWays.length / 2} (${bothWays.join(', ')})
files that name the codec 'gzip': ${await naming("'gzip'")}
files that name the snapshots reflink: ${await naming('reflink')}
`);
