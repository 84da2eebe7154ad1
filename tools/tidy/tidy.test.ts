import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BANNED_CONSTANT, BANNED_PHRASES } from './house-rules.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Generated files, history, and the rules themselves. */
const LEFT_OUT = /(?:^|\/)(?:node_modules|dist|coverage|\.[^/]+)(?:\/|$)|^docs\/reference\/api\/|^CHANGELOG\.md$|^tools\/tidy\//;

const TEXTS: ReadonlyMap<string, string> = new Map(await Promise.all((await textFiles()).map(read)));

async function textFiles(): Promise<readonly string[]> {
  const names = await Array.fromAsync(glob('**/*.{ts,cjs,md}', { cwd: ROOT, exclude: (name) => LEFT_OUT.test(name) }));
  return names.filter((name) => !LEFT_OUT.test(name)).toSorted();
}

async function read(name: string): Promise<readonly [name: string, text: string]> {
  return [name, await readFile(join(ROOT, name), 'utf8')];
}

/** Joins lines, because sentences continue in the next line of a comment, a string or a page. */
function inOneLine(text: string): string {
  return text.replaceAll(/ ?['`]? *\+?\n\s*(?:\*(?!\/)|\/\/|>)?\s*['`]?/g, ' ');
}

function bannedPhrases(text: string): readonly string[] {
  const line = inOneLine(text);
  return BANNED_PHRASES.flatMap(({ pattern, instead }) =>
    [...line.matchAll(new RegExp(pattern, `${pattern.flags}g`))].map((match) => {
      const around = line.slice(Math.max(0, match.index - 30), match.index + match[0].length + 30);
      return `"…${around}…" (say: ${instead})`;
    }),
  );
}

function bannedConstants(text: string): readonly string[] {
  const declared = [...text.matchAll(/\bconst ([A-Z][A-Z0-9_]*)\b/g)].flatMap(([, name = '']) => name);
  return declared.filter((name) => BANNED_CONSTANT.test(name)).map((name) => `${name} (say: MAX_… or MIN_…, with the unit last)`);
}

function problemsOf(name: string): readonly string[] {
  const text = TEXTS.get(name) ?? '';
  return [...bannedPhrases(text), ...(name.endsWith('.md') ? [] : bannedConstants(text))].map((problem) => `${name}: ${problem}`);
}

describe('comments, messages, pages and names of constants', () => {
  test('are read, and banned phrases are found', () => {
    expect(TEXTS.size).toBeGreaterThan(500);
    expect(bannedPhrases('/** A name that\n * is no name. */')).toEqual([expect.stringContaining('is no name')]);
    expect(bannedPhrases("'it is no longer there, and ' +\n  'there is no other'")).toEqual([]);
    expect(bannedPhrases("'begun by process 1: there are so ' +\n  'many'")).toHaveLength(2);
    expect(bannedConstants('const MOST_BYTES = 1;\nconst MAX_BYTES = 2;')).toEqual([expect.stringContaining('MOST_BYTES')]);
  });

  test('are in plain English, and limits start with MAX_ or MIN_', () => {
    expect([...TEXTS.keys()].flatMap(problemsOf)).toEqual([]);
  });
});

test('tests are called test, and not it', () => {
  const named = [...TEXTS].filter(([, text]) => /import \{[^}]*\bit\b[^}]*\} from 'vitest'/.test(text)).map(([name]) => name);
  expect(named).toEqual([]);
});

test('the text of an error within another message comes from a helper, which knows several failures: failureText, errorText', () => {
  const byHand = /instanceof Error\s*\?\s*\w+\.message\b[^:;]*:\s*String\(/;
  expect(byHand.test('`failed: ${error instanceof Error ? error.message : String(error)}`')).toBe(true);
  const sources = [...TEXTS].filter(([name]) => /^(?:packages|apps)\/[^/]+\/src\/.*(?<!\.test)\.ts$/.test(name));
  expect(sources.length).toBeGreaterThan(500);
  expect(sources.filter(([, text]) => byHand.test(text)).map(([name]) => name)).toEqual([]);
});

test('libraries of the system are called with stacks of one size: the first of them that is loaded sets it for all', () => {
  const setting = [...TEXTS].filter(([name, text]) => !name.endsWith('.test.ts') && /koffi\.config\(/.test(text));
  const sizes = setting.map(([, text]) => /(?:\b\w*STACK_BYTES = |async_stack_size: )(\d[\d* ]*\d)/.exec(text)?.[1]);
  expect(sizes.length).toBeGreaterThan(3);
  expect(new Set(sizes)).toEqual(new Set(['1024 * 1024']));
});

/** The first line of each test that polls with an `expect` other than its own, or of another function that does. */
function pollsOfOthers(text: string): readonly string[] {
  const parts = text.split(/^(?= *test\b|(?:async )?function |const )/m);
  return parts.filter((part) => !/\{ expect \}\) =>/.test(part.split(/\bexpect\s*\.poll\(/, 1)[0] ?? '')).flatMap(firstLineIfPolling);
}

function firstLineIfPolling(part: string): readonly string[] {
  return /\bexpect\s*\.poll\(/.test(part) ? [part.trimStart().split('\n', 1)[0] ?? ''] : [];
}

test('files with tests that run at once poll with the own expect of each: the one of the module belongs to the test that began last', () => {
  expect(pollsOfOthers("test('a', async () => {\n  await expect\n    .poll(f);\n});")).toEqual(["test('a', async () => {"]);
  expect(pollsOfOthers("test('a', async ({ expect }) => {\n  await expect.poll(f);\n});")).toEqual([]);
  const atOnce = [...TEXTS].filter(([name, text]) => name.endsWith('.test.ts') && /\b(?:test|describe)\.concurrent\b/.test(text));
  expect(atOnce.length).toBeGreaterThan(3);
  expect(atOnce.flatMap(([name, text]) => pollsOfOthers(text).map((line) => `${name}: ${line}`))).toEqual([]);
});

test('each of the files that are started first is one test file', () => {
  const [, list = ''] = /const LONG_FILES[^=]*= \[([^\]]*)\]/.exec(TEXTS.get('vitest.config.ts') ?? '') ?? [];
  const named = [...list.matchAll(/'([^']+)'/g)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(10);
  const files = [...TEXTS.keys()];
  const wrong = named.filter((name) => files.filter((file) => `/${file}`.endsWith(`/${name}.test.ts`)).length !== 1);
  expect(wrong).toEqual([]);
});
