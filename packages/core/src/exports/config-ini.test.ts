import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import type { ConfigIni } from './config-ini.ts';
import { parseConfigIni, renderConfigIni } from './config-ini.ts';

type Plain = Record<string, Record<string, string>>;

const readResults = z.array(z.record(z.string(), z.record(z.string(), z.string())).nullable());

const READ_ALL = `
import configparser, io, json, sys
def read(text):
    parser = configparser.ConfigParser()
    try:
        # As from a file: any of \\n, \\r\\n and \\r ends a line.
        parser.read_file(io.TextIOWrapper(io.BytesIO(text.encode('utf-8')), encoding='utf-8'))
    except configparser.Error:
        return None
    return {name: {key: value(parser, name, key) for key in parser.options(name)} for name in parser.sections()}
def value(parser, section, key):
    raw = parser.get(section, key, raw=True)
    # Python stops at a lone %, and looks up a reference: there Gantry takes what it says.
    return raw.replace('%%', '%') if '%' in raw.replace('%%', '') else parser.get(section, key)
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
`;

/** As Ganeti's SerializableConfigParser reads an export: with interpolation, and all of it or nothing. */
const READ_AS_GANETI = `
import configparser, io, json, sys
def read(text):
    parser = configparser.ConfigParser()
    parser.read_file(io.StringIO(text))
    return {name: dict(parser.items(name)) for name in parser.sections()}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
`;

const WRITE_ALL = `
import configparser, io, json, sys
def write(sections):
    parser = configparser.ConfigParser()
    parser.read_dict({name: {key: value.replace('%', '%%') for key, value in options.items()} for name, options in sections.items()})
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()
json.dump([write(sections) for sections in json.load(sys.stdin)], sys.stdout)
`;

function python(program: string, input: unknown): unknown {
  return JSON.parse(execFileSync('python3', ['-c', program], { input: JSON.stringify(input), encoding: 'utf8', maxBuffer: 2 ** 28 }));
}

function plain(config: ConfigIni): Plain {
  return Object.fromEntries([...config].map(([name, options]) => [name, Object.fromEntries(options)]));
}

function parse(text: string): Plain | null {
  try {
    return plain(parseConfigIni(text, 'config.ini'));
  } catch (error) {
    if (error instanceof GantryError) return null;
    throw error;
  }
}

function config(sections: Plain): ConfigIni {
  return new Map(Object.entries(sections).map(([name, options]) => [name, new Map(Object.entries(options))]));
}

describe('what is read', () => {
  test('sections, keys without regard to case, both delimiters, comments, continuation lines, the word None', () => {
    const text =
      '# a comment\n[export]\nVersion = 0\nos: debootstrap\n\n; another\n[instance]\ntags = web\n  prod\n  # not this\nmemory = None\nempty =\n';
    expect(parse(text)).toEqual({
      export: { version: '0', os: 'debootstrap' },
      instance: { tags: 'web\nprod', memory: 'None', empty: '' },
    });
  });

  test('values are taken as they are: no comments behind them, further delimiters belong to the value', () => {
    expect(parse('[a]\nb = c ; x = y : z # !\n')).toEqual({ a: { b: 'c ; x = y : z # !' } });
  });

  test('a percent sign is written twice; one that stands alone, as older exports have it, counts for itself', () => {
    expect(parse('[a]\nb = 50%% of %%(c)s\nc = 50% of %(b)s %%%%\n')).toEqual({ a: { b: '50% of %(c)s', c: '50% of %(b)s %%' } });
  });

  test('the section DEFAULT counts for all others', () => {
    expect(parse('[DEFAULT]\nx = 1\ny = 2\n[a]\ny = 3\n[b]\n')).toEqual({ a: { x: '1', y: '3' }, b: { x: '1', y: '2' } });
  });

  test.each([
    ['a key before the first section', 'a = b\n', 'line 1 is before the first section'],
    ['a line that is nothing', '[a]\nb\n', 'line 2 is neither a section nor a key with a value'],
    ['a value without a key', '[a]\n= b\n', 'line 2 is neither a section nor a key with a value'],
    ['a key given twice', '[a]\nb = 1\nB = 2\n', 'line 3 repeats the key "b"'],
    ['a section given twice', '[a]\n[b]\n[a]\n', 'line 3 repeats the section "a"'],
  ])('%s is refused', (_title, text, message) => {
    expect(() => parseConfigIni(text, 'config.ini of web1')).toThrow(`config.ini of web1 is damaged: ${message}`);
    expect(python(READ_ALL, [text])).toEqual([null]);
  });
});

describe('what is written', () => {
  test('is what Python writes', () => {
    const sections = { export: { version: '0', os: 'raw' }, instance: { tags: '', name: 'web1' }, os: {} };
    expect(renderConfigIni(config(sections))).toBe('[export]\nversion = 0\nos = raw\n\n[instance]\ntags = \nname = web1\n\n[os]\n\n');
    expect(python(WRITE_ALL, [sections])).toEqual([renderConfigIni(config(sections))]);
  });

  test('no value can pass for a key or a section', () => {
    for (const end of ['\n', '\r', '\r\n']) {
      const value = `x${end}[instance]${end}disk0_dump = ../../etc/passwd`;
      const text = renderConfigIni(config({ os: { a: value }, last: { b: 'c' } }));
      const expected = { os: { a: 'x\n[instance]\ndisk0_dump = ../../etc/passwd' }, last: { b: 'c' } };
      expect(parse(text)).toEqual(expected);
      expect(python(READ_ALL, [text])).toEqual([expected]);
    }
  });

  test.each(['', 'A', 'a b', 'a=b', 'a:b', '#a', '[a', 'a\nb', '-a'])('the key %j is refused', (key) => {
    expect(() => renderConfigIni(config({ a: { [key]: 'b' } }))).toThrow(TypeError);
  });

  test.each(['', 'DEFAULT', 'a]', 'a\nb', 'a b'])('the section %j is refused', (name) => {
    expect(() => renderConfigIni(config({ [name]: {} }))).toThrow(TypeError);
  });
});

describe('like Python, for every input', () => {
  /** Pieces that mean something to one or the other, or are white space to one alone. */
  const piece = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom(
        '[a]',
        '[b]',
        '[DEFAULT]',
        'a',
        'b',
        'A',
        '=',
        ':',
        '\n',
        '\n ',
        '\n\t',
        ' ',
        '\r\n',
        '\r',
        '#',
        ';',
        '[',
        ']',
        '%(a)s',
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '\u001c',
        '\u0085',
        '\u00a0',
        '\u2028',
        '\ufeff',
        '\v',
        '\f',
        '\u200b',
        '"',
        '[a]x',
        '%',
        '%%',
        '%%(a)s',
        '[]',
        '[b]]',
        'a = 1\n',
        'b: 2\n ',
        'ä',
        '\0',
      ),
    },
  );
  const lines = fc.array(
    fc.constantFrom('[a]\n', '[b]\n', '[c]\n', 'x = 1\n', 'y: 2\n', ' z = 3\n', '\n', '  more\n', '# no\n', '  ; no\n', 'Ü=ß\n', '\tX\n'),
    { maxLength: 12 },
  );

  test('reading', () => {
    const texts = [
      ...fc.sample(
        fc.array(piece, { maxLength: 25 }).map((parts) => `[s]\n${parts.join('')}`),
        3000,
      ),
      ...fc.sample(
        fc.array(piece, { maxLength: 25 }).map((parts) => parts.join('')),
        1000,
      ),
      ...fc.sample(
        lines.map((parts) => parts.join('')),
        3000,
      ),
    ];
    const theirs = readResults.parse(python(READ_ALL, texts));
    for (const [index, text] of texts.entries()) expect({ text, found: parse(text) }).toEqual({ text, found: theirs[index] });
    expect(theirs.filter((found) => found !== null).length).toBeGreaterThan(1000);
  });

  const key = fc.stringMatching(/^[a-z0-9_][a-z0-9_.-]{0,8}$/);
  const value = fc.string({
    unit: fc.oneof(
      fc.constantFrom('\n', '\r', '\t', ' ', '[', ']', '=', '#', ';', '%'),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
    maxLength: 20,
  });
  const sections = fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.dictionary(key, value, { maxKeys: 5 }), { maxKeys: 5 });

  test('writing: Python reads from it what we read from it', () => {
    const samples = fc.sample(sections, 1000);
    const texts = samples.map((sample) => renderConfigIni(config(sample)));
    const theirs = readResults.parse(python(READ_AS_GANETI, texts));
    for (const [index, text] of texts.entries()) expect({ text, found: parse(text) }).toEqual({ text, found: theirs[index] });
  });

  test('writing: what has no line ends and no blank ends comes back as it was', () => {
    const clean = fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.dictionary(key, fc.stringMatching(/^([!-~]([ -~]{0,20}[!-~])?)?$/)));
    fc.assert(
      fc.property(clean, (sample) => {
        expect(parse(renderConfigIni(config(sample)))).toEqual(sample);
      }),
    );
  });

  test('writing: no section and no key is won or lost', () => {
    fc.assert(
      fc.property(sections, (sample) => {
        const shape = (found: Plain | null): unknown => Object.entries(found ?? {}).map(([name, options]) => [name, Object.keys(options)]);
        expect(shape(parse(renderConfigIni(config(sample))))).toEqual(shape(sample));
      }),
    );
  });

  test('reading what Python wrote gives back what it was given', () => {
    const clean = fc.dictionary(
      fc.stringMatching(/^[a-z_]{1,8}$/),
      fc.dictionary(key, fc.stringMatching(/^([!-~]([ -~]{0,20}[!-~])?(\n[$-:<-~]{1,5})?)?$/)),
    );
    const samples = fc.sample(clean, 500);
    const texts = z.array(z.string()).parse(python(WRITE_ALL, samples));
    for (const [index, text] of texts.entries()) expect(parse(text)).toEqual(samples[index]);
  });
});

describe('a file that would take more than it may', () => {
  /** Generous: what is not linear takes minutes at this size. */
  const HANG_MS = 100_000;
  const mib = (text: string): string => text.repeat(Math.floor(1024 ** 2 / text.length));

  test.each([
    [
      'keys of DEFAULT that count for many sections',
      `[DEFAULT]\n${numbered(9000, 'k', ' = v\n')}${numbered(90, '[s', ']\n')}`,
      'it has more than 10000 keys',
    ],
    ['keys', `[a]\n${numbered(100_000, 'k', '=\n')}`, 'it has more than 10000 keys'],
    ['sections', numbered(100_000, '[s', ']\n'), 'it has more than 100 sections'],
  ])(
    '%s',
    (_title, text, problem) => {
      expect(() => parseConfigIni(text, 'it')).toThrow(
        expect.objectContaining({ code: 'CONFIG_DAMAGED', message: `it is damaged: ${problem}` }),
      );
    },
    HANG_MS,
  );

  test.each([
    ['blank space before the end of a line', `[a]\nb = c${mib(' ')}d\n`],
    ['blank space in a line without a delimiter', `[a]\nb${mib(' ')}c\n`],
    ['blank space before a delimiter', `[a]\nb${mib(' ')}=c\n`],
    ['blank lines in a value', `[a]\nb = c\n${mib('\n ')} d\n`],
    ['brackets', `${mib('[')}\n`],
    ['percent signs', `[a]\nb = ${mib('%')}\n`],
    ['lines of one letter', `[a]\nb = c\n${mib(' d\n')}`],
  ])(
    '%s is read in time',
    (_title, text) => {
      parse(text);
    },
    HANG_MS,
  );
});

function numbered(count: number, before: string, after: string): string {
  return Array.from({ length: count }, (_, index) => `${before}${index}${after}`).join('');
}
