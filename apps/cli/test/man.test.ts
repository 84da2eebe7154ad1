import { readFile, readdir } from 'node:fs/promises';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ENVIRONMENT } from '../build/man/environment.ts';
import type { CommandModule } from '../src/command-line/command.ts';
import { COMMANDS } from '../src/commands.ts';

const BUILDER = fileURLToPath(new URL('../build/man.ts', import.meta.url));
const SHOWN = COMMANDS.filter(({ hidden }) => hidden !== true);

let pages: TemporaryDirectory;
let reference: string;

beforeAll(async () => {
  reference = await readFile(new URL('../../../docs/reference/commands.md', import.meta.url), 'utf8');
  pages = await makeTemporaryDirectory();
  await execa(process.execPath, ['--conditions=@gantry/source', BUILDER, pages.path], { env: { SOURCE_DATE_EPOCH: '1795680000' } });
});

afterAll(() => pages[Symbol.asyncDispose]());

/** A page as groff shows it on a terminal of 80 columns, without bold and hyphens at the ends of lines. */
async function shown(page: string): Promise<string> {
  const env = { MANWIDTH: '80', MANROFFOPT: '-rHY=0', LC_ALL: 'C.UTF-8', MANPAGER: 'cat' };
  const { stdout } = await execa('man', ['-l', pages.file(page)], { env });
  return stdout;
}

describe('the manual pages', () => {
  test('are those of gantry, of its configuration, of each command and of the fleet', async () => {
    const names = SHOWN.map(({ name }) => `gantry-${name.replaceAll(' ', '-')}.1`);
    expect((await readdir(pages.path)).toSorted()).toEqual(['gantry.1', 'gantry.yaml.5', 'gantry-fleet.1', ...names].toSorted());
  });

  test('have nothing that mandoc or groff remarks upon', async () => {
    const all = (await readdir(pages.path)).map((name) => pages.file(name));
    const mandoc = await execa('mandoc', ['-Tlint', ...all], { reject: false });
    expect(mandoc.stdout).toBe('');
    expect(mandoc.exitCode).toBe(0);
    const groff = await execa('man', ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', ...all], {
      env: { LC_ALL: 'C.UTF-8', MANWIDTH: '80' },
    });
    expect(groff.stderr).toBe('');
  });

  test.each(SHOWN)('say of gantry $name what help says, in 80 columns', async ({ name, summary, load }) => {
    const text = await shown(`gantry-${name.replaceAll(' ', '-')}.1`);
    // What commands print is shown as it is.
    expect(text.split('\n').filter((line) => line.length > 80 && !reference.includes(line.trim()))).toEqual([]);
    const words = text.replaceAll(/\s+/g, ' ');
    const { default: command }: { readonly default: CommandModule } = await load();
    expect(words.toLowerCase()).toContain(` - ${summary.toLowerCase().replace(/\.$/, '')}`);
    expect(words).toContain(command.description ?? summary);
    for (const { flags, description } of Object.values(command.options)) {
      expect(words).toContain(`${flags.replaceAll(/[<>]/g, '')} ${description}`);
    }
    for (const example of command.examples) expect(words.replaceAll(String.raw` \ `, ' ')).toContain(example);
  });

  test('explain what the reference explains, and every field of gantry.yaml', async () => {
    const prune = (await shown('gantry-prune.1')).replaceAll(/\s+/g, ' ');
    expect(prune).toContain('keeps seven days with exports, however long ago');
    const configuration = await shown('gantry.yaml.5');
    expect(configuration).toContain('stores.NAME.url');
    expect(configuration).toContain('policies.NAME.instances.except');
    expect(configuration).toMatch(/^WHAT WINS$/m);
  });

  test('say of gantry-fleet what its help says, and what its units read', async () => {
    const words = (await shown('gantry-fleet.1')).replaceAll(/\s+/g, ' ');
    expect(words).toContain('gantry-fleet restore [options] export Import INSTANCE or INSTANCE@EXPORT-ID on a node');
    expect(words).toContain('--node name the node whose disks are written (required)');
    expect(words).toContain('--listen address HOST:PORT, or a port of this host alone (default 127.0.0.1:8480)');
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const pattern = String.raw`\$GANTRY_FLEET_\w+|/etc/gantry/fleet[a-z.-]+`;
    const { stdout } = await execa('grep', ['-rohE', pattern, 'packaging/systemd'], { cwd: root });
    const read = new Set(stdout.split('\n').map((each) => each.replace('$', '')));
    expect(read.size).toBe(8);
    expect([...read].filter((each) => !words.includes(each))).toEqual([]);
  });

  test('are dated by SOURCE_DATE_EPOCH', async () => {
    expect(await shown('gantry.1')).toContain('2026-11-26');
  });

  test('name every variable that the sources read', async () => {
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const { stdout } = await execa(
      'grep',
      [
        '-rohE',
        '--include=*.ts',
        '--exclude=*.test.ts',
        '--exclude-dir=testkit',
        String.raw`env\??\.?\['GANTRY_\w+'\]`,
        'apps/cli/src',
        'packages',
      ],
      { cwd: root },
    );
    const read = new Set(stdout.match(/GANTRY_\w+/g));
    const named = new Set(ENVIRONMENT.map(([name]) => name));
    expect(read.size).toBeGreaterThan(5);
    expect([...read].filter((name) => !named.has(name) && !name.startsWith('GANTRY_TEST_'))).toEqual([]);
  });
});
