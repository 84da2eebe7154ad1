import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fillPage, PAGES } from '../build/reference.ts';
import { COMMANDS } from '../src/commands.ts';
import { gantryCalls, parse } from './documented-calls.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const FOREIGN = new Set(['node_modules', '.git', '.turbo', 'dist']);

/** Every file of the repository below a directory, as it is called from there; what is installed or built has far more. */
async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(join(ROOT, directory), { withFileTypes: true });
  const names = entries.filter(({ name }) => !FOREIGN.has(name)).map((entry) => ({ entry, path: join(directory, entry.name) }));
  return (await Promise.all(names.map(async ({ entry, path }) => (entry.isDirectory() ? await filesBelow(path) : [path])))).flat();
}

/** Without the tests and groups of tests that run with all variants alone: each to the line that closes it, which is indented as it is. */
function withoutVariants(source: string): string {
  return source.replaceAll(/^( *)\w.*(?:skipIf\(!ALL_VARIANTS|runIf\(ALL_VARIANTS)(?:.*|[^]*?\n\1[)}\]]*)\);\n/gm, '');
}

const files = await filesBelow('');
const markdownFiles = files.filter((name) => name.endsWith('.md'));
/** Every source file that is published. */
const sourceFiles = files.filter((name) => /^(apps|packages)\/[^/]+\/src\/.*(?<!\.test)\.ts$/.test(name) && !name.includes('testkit'));

describe('the documentation', () => {
  test('is not named in hints: an installed Gantry does not include it', async () => {
    const named: string[] = [];
    for (const name of sourceFiles) {
      const lines = (await readFile(join(ROOT, name), 'utf8')).split('\n').filter((line) => !/^\s*(\*|\/[/*])/.test(line));
      named.push(...lines.filter((line) => /['"`].*(docs\/|README).*['"`]/.test(line)).map((line) => `${name}: ${line.trim()}`));
    }
    expect(named).toEqual([]);
  });

  test('has no broken link to a page or file', async () => {
    const broken: string[] = [];
    for (const name of markdownFiles) {
      const text = await readFile(join(ROOT, name), 'utf8');
      const prose = text.replaceAll(/^(`{3,})[^]*?^\1$/gm, '');
      for (const [, target = ''] of prose.matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)) {
        await stat(join(ROOT, dirname(name), target)).catch(() => broken.push(`${name}: ${target}`));
      }
    }
    expect(broken).toEqual([]);
  });

  test.each(Object.entries(PAGES))(
    'has the current generated parts in reference/%s (otherwise run pnpm docs:update)',
    async (name, makeParts) => {
      const page = await readFile(join(ROOT, 'docs', 'reference', name), 'utf8');
      expect(page).toBe(fillPage(page, await makeParts()));
    },
  );

  test('has exactly the parts that the code generates', () => {
    const part = (name: string, text: string): string => `<!-- made from the code: ${name} -->\n${text}\n<!-- end -->\n`;
    expect(fillPage(`a\n${part('x', 'old')}b\n`, new Map([['x', 'new']]))).toBe(`a\n${part('x', '\nnew\n')}b\n`);
    expect(() => fillPage('a\n', new Map([['x', 'new']]))).toThrow('lacks');
    expect(() => fillPage(part('y', ''), new Map())).toThrow('"y"');
    expect(() => fillPage(part('x', '') + part('x', ''), new Map([['x', 'new']]))).toThrow('twice');
  });

  test('names tests that are there, and run by default', async () => {
    const missing: string[] = [];
    let named = 0;
    for (const page of ['security', 'reliability']) {
      const text = await readFile(join(ROOT, 'docs', 'explanation', `${page}.md`), 'utf8');
      const files = new Map([...text.matchAll(/^\[([^\]]+)\]: \.\.\/\.\.\/(\S+)$/gm)].map(([, name = '', file = '']) => [name, file]));
      for (const [, title = '', name = ''] of text.matchAll(/\[([^\]]+)\]\[([^\]]+)\]/g)) {
        named += 1;
        const file = files.get(name) ?? name;
        const wanted = title.replaceAll(/\s+/g, ' ');
        const source = withoutVariants(await readFile(join(ROOT, file), 'utf8')).replaceAll('\\', '');
        if (!source.includes(`'${wanted}'`) && !source.includes(`"${wanted}"`)) missing.push(`${file}: ${wanted}`);
      }
    }
    expect(missing).toEqual([]);
    expect(named).toBeGreaterThan(15);
  });

  test('finds no test that only scripts/variants.sh runs', () => {
    const text = `test('a', () => {});
describe('b', () => {
  test.skipIf(!ALL_VARIANTS)('c', () => {});
  test.skipIf(!ALL_VARIANTS)(
    'd',
    async () => {},
  );
  describe.runIf(ALL_VARIANTS)('e', () => {
    const x = f();

    test('f', () => {});
  });
  test('g', () => {});
});
`;
    expect(withoutVariants(text).match(/'\w'/g)).toEqual(["'a'", "'b'", "'g'"]);
  });

  test('lists every page of each folder in an index', async () => {
    const missing: string[] = [];
    for (const index of ['docs/README.md', 'docs/decisions/README.md']) {
      const text = await readFile(join(ROOT, index), 'utf8');
      const pages = await readdir(join(ROOT, dirname(index)), { recursive: true });
      const own = pages.filter(
        (page) => page.endsWith('.md') && page !== 'README.md' && !/^(decisions\/(?!README)|reference\/api\/)/.test(page),
      );
      missing.push(...own.filter((page) => !text.includes(`(${page})`)).map((page) => `${index}: ${page}`));
    }
    expect(missing).toEqual([]);
  });

  test('has no line of more than 120 characters', async () => {
    const long: string[] = [];
    for (const name of markdownFiles) {
      const lines = (await readFile(join(ROOT, name), 'utf8')).split('\n');
      long.push(...lines.flatMap((line, index) => (line.length > 120 ? [`${name}:${index + 1}: ${line}`] : [])));
    }
    expect(long).toEqual([]);
  });

  test.each(COMMANDS)('has a section for gantry $name', async ({ name }) => {
    const text = await readFile(join(ROOT, 'docs', 'reference', 'commands.md'), 'utf8');
    const [word = ''] = name.split(' ');
    expect(text).toMatch(new RegExp(`^## .*gantry (?:${name}|${word}$)`, 'm'));
  });

  test('has only valid calls of gantry in its examples', async () => {
    const wrong: string[] = [];
    let calls = 0;
    for (const name of markdownFiles) {
      for (const call of gantryCalls(await readFile(join(ROOT, name), 'utf8'))) {
        calls += 1;
        await parse(call).catch((error: unknown) => wrong.push(`${name}: gantry ${call.join(' ')}: ${String(error)}`));
      }
    }
    expect(wrong).toEqual([]);
    expect(calls).toBeGreaterThan(40);
  });

  test.each([
    'gantry exprot a b',
    'gantry export a b --no-such',
    'gantry move web1.yaml ssh://node2',
    'gantry list /s --json=1',
    'gantry os',
  ])('would detect the mistake in an example: %s', async (line) => {
    const [call = []] = gantryCalls(`\`\`\`sh\n${line}\n\`\`\`\n`);
    await expect(parse(call)).rejects.toThrow();
  });
});
