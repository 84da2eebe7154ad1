import { GantryError } from '../report/errors.ts';

/** Those of Ganeti have a few thousand bytes. */
export const MAX_CONFIG_BYTES: number = 1024 * 1024;

/** Ganeti writes seven sections, with about 250 keys for the maximum number of disks and NICs. */
const MAX_SECTIONS = 100;
/** All sections together, each with the keys from `DEFAULT`: without a limit, their product could use up all memory. */
const MAX_KEYS = 10_000;

/** Sections by name, with their values by lower-case key, in the order of the file. */
export type ConfigIni = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Its keys apply to every section that does not have them itself. */
const DEFAULT_SECTION = 'DEFAULT';

/** Whitespace according to Python's `str.isspace`. JavaScript's `\s` and `trim` differ from it. */
const SPACES: ReadonlySet<string> = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);
const DELIMITERS = /[=:]/;

/**
 * Reads the dialect of Python's `configparser.ConfigParser` (Python 3 documentation, "Supported INI File Structure"), in which
 * Ganeti describes exports: `key = value` or `key: value`, case-insensitive keys, continuation lines by indentation, comment lines that
 * start with `#` or `;`, `%%` for `%`. A duplicate section or key is refused, as by Python: it is not clear which one was meant. Takes
 * time in proportion to the length of the text.
 *
 * A single `%`, which Python refuses, is taken literally: older exports of Gantry contain it. So is `%(name)s`, which Ganeti never writes
 * as a reference.
 *
 * @param source its name in messages
 * @throws GantryError `CONFIG_DAMAGED` with the line
 */
export function parseConfigIni(text: string, source: string): ConfigIni {
  const reader = new Reader(source);
  for (const line of text.split(/\r\n|\r|\n/)) reader.take(line);
  return reader.finish();
}

class Reader {
  readonly #source: string;
  readonly #sections = new Map<string, Map<string, string[]>>();
  #section: Map<string, string[]> | undefined;
  #value: string[] | undefined;
  #indent = 0;
  #line = 0;
  #keys = 0;

  constructor(source: string) {
    this.#source = source;
  }

  take(line: string): void {
    this.#line += 1;
    const indent = leadingSpaces(line);
    const text = strip(line);
    if (text.startsWith('#') || text.startsWith(';')) return;
    if (text === '') {
      this.#value?.push('');
      return;
    }
    if (this.#value !== undefined && indent > this.#indent) {
      this.#value.push(text);
      return;
    }
    this.#indent = indent;
    const section = sectionName(text);
    if (section === undefined) this.#addOption(text);
    else this.#addSection(section);
  }

  finish(): ConfigIni {
    const defaults = this.#sections.get(DEFAULT_SECTION) ?? new Map<string, string[]>();
    this.#sections.delete(DEFAULT_SECTION);
    if (this.#keys + defaults.size * this.#sections.size > MAX_KEYS) throw this.#tooManyKeys();
    return new Map(
      [...this.#sections].map(([name, options]) => [
        name,
        new Map([...defaults, ...options].map(([key, lines]) => [key, joinLines(lines)] as const)),
      ]),
    );
  }

  #addSection(name: string): void {
    if (this.#sections.has(name) && name !== DEFAULT_SECTION) throw this.#damagedLine(`repeats the section ${quote(name)}`);
    this.#section = this.#sections.get(name) ?? new Map();
    this.#sections.set(name, this.#section);
    this.#value = undefined;
    if (this.#sections.size > MAX_SECTIONS) throw this.#damaged(`it has more than ${MAX_SECTIONS} sections`);
  }

  #addOption(text: string): void {
    if (this.#section === undefined) throw this.#damagedLine('is before the first section');
    const delimiter = text.search(DELIMITERS);
    const key = delimiter === -1 ? '' : strip(text.slice(0, delimiter)).toLowerCase();
    if (key === '') throw this.#damagedLine('is neither a section nor a key with a value');
    if (this.#section.has(key)) throw this.#damagedLine(`repeats the key ${quote(key)}`);
    this.#value = [strip(text.slice(delimiter + 1))];
    this.#section.set(key, this.#value);
    this.#keys += 1;
    if (this.#keys > MAX_KEYS) throw this.#tooManyKeys();
  }

  #tooManyKeys(): GantryError {
    return this.#damaged(`it has more than ${MAX_KEYS} keys`);
  }

  #damagedLine(what: string): GantryError {
    return this.#damaged(`line ${this.#line} ${what}`);
  }

  #damaged(what: string): GantryError {
    return new GantryError('CONFIG_DAMAGED', { message: `${this.#source} is damaged: ${what}` });
  }
}

/** The text between the first bracket and the last; anything after it is ignored. */
function sectionName(text: string): string | undefined {
  const end = text.startsWith('[') ? text.lastIndexOf(']') : -1;
  return end < 2 ? undefined : text.slice(1, end);
}

function joinLines(lines: readonly string[]): string {
  const text = lines.join('\n');
  return text.slice(0, endWithoutSpaces(text)).replaceAll('%%', '%');
}

/* No regular expressions: for trailing whitespace they try every start of every run, which takes quadratic time. */

function strip(text: string): string {
  return text.slice(leadingSpaces(text), endWithoutSpaces(text));
}

function leadingSpaces(text: string): number {
  let start = 0;
  while (SPACES.has(text.charAt(start))) start += 1;
  return start;
}

function endWithoutSpaces(text: string): number {
  let end = text.length;
  while (SPACES.has(text.charAt(end - 1))) end -= 1;
  return end;
}

function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}

/**
 * Writes a file that {@link parseConfigIni} and Python can read. Further lines of a value are indented, so that they are not taken for
 * keys or sections. Whitespace around a value, and comment lines and empty lines in it, are lost when it is read.
 *
 * @throws TypeError for names of sections and keys that would be read as something else
 */
export function renderConfigIni(config: ConfigIni): string {
  return [...config].map(([name, options]) => renderSection(name, options)).join('');
}

function renderSection(name: string, options: ReadonlyMap<string, string>): string {
  if (!/^[A-Za-z0-9_.-]+$/.test(name) || name === DEFAULT_SECTION) throw new TypeError(`${JSON.stringify(name)} cannot name a section`);
  const lines = [...options].map(([key, value]) => {
    if (!/^[a-z0-9_][a-z0-9_.-]*$/.test(key)) throw new TypeError(`${JSON.stringify(key)} cannot be a key`);
    return `${key} = ${value.replaceAll('%', '%%').replaceAll(/\r\n|\r|\n/g, '\n\t')}\n`;
  });
  return `[${name}]\n${lines.join('')}\n`;
}
