import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import type { DocumentKind } from './read-yaml.ts';
import { readYaml } from './read-yaml.ts';

const KIND: DocumentKind = {
  what: 'instance',
  syntaxCode: 'INSTANCE_FILE_SYNTAX',
  hint: 'gantry schema prints the format of instance files.',
};

function failure(text: string): GantryError {
  try {
    readYaml(text, 'web1.yaml', KIND);
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

describe('what is taken', () => {
  test('numbers and truth values are the text that was written', () => {
    const text = 'uuid: 7e5\nvlan: .100\noctal: 010\nhex: 0x1F\ntruth: True\nbig: 12345678901234567890\nversion: 1.10\nnegative: -0\n';
    expect(readYaml(text, 'web1.yaml', KIND).value).toEqual({
      uuid: '7e5',
      vlan: '.100',
      octal: '010',
      hex: '0x1F',
      truth: 'True',
      big: '12345678901234567890',
      version: '1.10',
      negative: '-0',
    });
  });

  test('what other versions of YAML take for something else is text: MAC addresses, yes and no, dates', () => {
    expect(readYaml('mac: 10:00:00:35:40:01\nanswer: no\nday: 2026-11-23\ntime: 12:30:45', 'web1.yaml', KIND).value).toEqual({
      mac: '10:00:00:35:40:01',
      answer: 'no',
      day: '2026-11-23',
      time: '12:30:45',
    });
  });

  test('null stays null, however it is written', () => {
    expect(readYaml('a:\nb: ~\nc: null\nd: ""', 'web1.yaml', KIND).value).toEqual({ a: null, b: null, c: null, d: '' });
  });

  test('JSON, with any text that JSON can hold', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ unit: 'grapheme' })), (document) => {
        expect(readYaml(JSON.stringify(document), 'web1.json', KIND).value).toEqual(document);
      }),
    );
  });

  test('a value that several fields share by an alias', () => {
    expect(readYaml('a: &lan {name: lan}\nb: *lan', 'web1.yaml', KIND).value).toEqual({ a: { name: 'lan' }, b: { name: 'lan' } });
  });
});

describe('what is refused, with its place', () => {
  test.each([
    ['a second document', 'a: 1\n---\nb: 2', 'web1.yaml:2:1: a second document'],
    ['a field given twice', 'a: 1\nb: 2\na: 3', 'web1.yaml:3:1: a field that was given already'],
    ['a field given twice, once as a number and once as text', '{1: a, "1": b}', 'web1.yaml:1:8: a field that was given already'],
    ['a field given twice in JSON', '{"a": 1,\n "a": 2}', 'web1.yaml:2:2: a field that was given already'],
    ['a tag', 'a: !binary aGk=', 'web1.yaml:1:4: a tag'],
    ['a tag that YAML itself defines, but not in its core', 'a: !!set {b}', 'web1.yaml:1:4: a tag'],
    ['an alias without its anchor', 'a: 1\nb: *c', 'web1.yaml:2:4: an alias (*name) without its anchor'],
    ['a tab as indentation', 'disks:\n\t- path: a', 'web1.yaml:2:1: a tab as indentation'],
    ['a field within a line', 'a: b: c', 'web1.yaml:1:4: fields within a line'],
    ['a quote that is not closed', 'a: "b\nc: d', 'web1.yaml:2:5: '],
    ['another version of YAML', '%YAML 1.1\n---\na: yes', 'web1.yaml:1:1: not YAML 1.2'],
    ['a field name that is not text', '? [a, b]\n: c', 'web1.yaml:1:3: a field name that is not plain text'],
    ['a field name that objects treat in a way of their own', '__proto__: {a: b}', 'web1.yaml:1:1: a field name that is not plain text'],
    ['text that is not YAML', '@', 'web1.yaml:1:1: '],
  ])('%s', (_title, text, message) => {
    const error = failure(text);
    expect(error.code).toBe('INSTANCE_FILE_SYNTAX');
    expect(error.message).toContain(message);
  });

  test('aliases that unfold to more than a machine can hold, at once', () => {
    const levels = Array.from({ length: 30 }, (_, level) => `l${level + 1}: &l${level + 1} [*l${level}, *l${level}, *l${level}]`);
    expect(failure(`l0: &l0 [a, a]\n${levels.join('\n')}`).message).toContain('more than 100 aliases');
  });

  test('values nested without end', () => {
    expect(failure('['.repeat(100_000)).code).toBe('INSTANCE_FILE_SYNTAX');
  });

  test('every problem is listed', () => {
    expect(failure('a: *b\nc: *d').details).toHaveLength(2);
  });

  test('nothing of the document is repeated: it may be a secret', () => {
    for (const value of [
      '*hunter2',
      '!hunter2',
      '@hunter2',
      '"hunter2',
      'x: hunter2',
      '%hunter2',
      '[hunter2',
      '{hunter2: *hunter2}',
      '\t- hunter2',
    ]) {
      const { message, details } = failure(`name: a\nosparams_private:\n  root_password: ${value}\n  root_password: hunter2`);
      expect([message, ...details].join('\n')).not.toContain('hunter2');
    }
  });
});

test('any text is read or refused, never anything else', () => {
  const yamlish = fc.array(
    fc.constantFrom('a', ':', ' ', '\n', '-', '[', ']', '{', '}', '&x', '*x', '!', '"', "'", '#', '|', '>', '?', ',', '1', '\t'),
    {
      maxLength: 40,
    },
  );
  fc.assert(
    fc.property(yamlish, (parts) => {
      try {
        readYaml(parts.join(''), 'web1.yaml', KIND);
      } catch (error) {
        expect(error).toBeInstanceOf(GantryError);
      }
    }),
    { numRuns: 2000 },
  );
});

describe('a document that would take more than it may', () => {
  /** Generous: what is not linear takes minutes at this size. */
  const HANG_MS = 100_000;
  const numbered = (count: number, text: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => text(index)).join('');

  test.each([
    ['keys', numbered(80_000, (index) => `k${index}: v\n`)],
    ['one key again and again', 'a: b\n'.repeat(200_000)],
    ['keys within brackets', `{${numbered(80_000, (index) => `k${index}: v, `)}}`],
    ['a list', `tags: [${'a,'.repeat(500_000)}]`],
    ['aliases', `a: &a x\ntags: [${'*a ,'.repeat(100_000)}]`],
    ['brackets', '['.repeat(1_000_000)],
    ['quotes', '"'.repeat(1_000_000)],
    ['comments', '#\n'.repeat(500_000)],
  ])(
    '%s',
    (_title, text) => {
      expect(failure(text)).toMatchObject({ code: 'INSTANCE_FILE_SYNTAX', message: 'web1.yaml: far more fields than any instance has' });
    },
    HANG_MS,
  );

  test(
    'the most that may be is read in time: more keys than any instance has',
    () => {
      const text = numbered(25_000, (index) => `k${index}: v\n`);
      expect(Object.keys(z.record(z.string(), z.string()).parse(readYaml(text, 'web1.yaml', KIND).value))).toHaveLength(25_000);
    },
    HANG_MS,
  );

  test(
    'the list of problems ends after 20',
    () => {
      expect(failure('a: b\n'.repeat(25_000)).details).toHaveLength(20);
    },
    HANG_MS,
  );

  test(
    'many aliases, each of which would be looked up in the whole document',
    () => {
      expect(failure(`a: &a x\ntags: [${'*a ,'.repeat(30_000)}]`).message).toContain('more than 100 aliases');
    },
    HANG_MS,
  );
});

test.each([
  ['in brackets', '['.repeat(50_000)],
  ['by colons in a line', `${': aa'.repeat(20_000)}\n: b`],
  ['by dashes in a line', '- '.repeat(50_000)],
  ['by indentation', Array.from({ length: 600 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join('')],
])('values nested without end %s are refused, or read', (_, text) => {
  try {
    readYaml(text, 'web1.yaml', KIND);
  } catch (error) {
    expect(error).toMatchObject({ name: 'GantryError', code: 'INSTANCE_FILE_SYNTAX' });
  }
});

test('where the stack is too small for values nested in a line, the error says so', () => {
  expect(failure(`${': aa'.repeat(3000)}\n: b`).message).toContain('values nested too deeply');
});
