import { GantryError } from '../report/errors.ts';

/** Bytes. Ganeti's own have some thousand. */
export const LARGEST_CONFIG: number = 1024 * 1024;

/** Sections by name, each with its values by lower-case key, in the order of the file. */
export type ConfigIni = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Its keys count for every section that does not have them itself. */
const DEFAULT_SECTION = 'DEFAULT';

/** What Python's `str.isspace` takes for white space. JavaScript's own `\s` and `trim` differ from it. */
const SPACE = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
const LEADING = new RegExp(`^[${SPACE}]+`);
const TRAILING = new RegExp(`[${SPACE}]+$`);
const SECTION = /^\[([^\n]+)\]/;
const OPTION = new RegExp(String.raw`^([^\n]*?)[${SPACE}]*[=:][${SPACE}]*([^\n]*)$`);

/**
 * Reads the dialect of Python's `configparser.RawConfigParser` (Python 3 documentation, "Supported INI File Structure"), in which
 * Ganeti keeps exports: `key = value` or `key: value`, keys without regard to case, continuation lines by indentation, comment
 * lines that start with `#` or `;`, no interpolation. A section or key that is given twice is refused, as Python does: nobody can
 * say which one was meant.
 *
 * @param source what to call it in messages
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

  constructor(source: string) {
    this.#source = source;
  }

  take(line: string): void {
    this.#line += 1;
    const text = strip(line);
    if (text.startsWith('#') || text.startsWith(';')) return;
    if (text === '') {
      this.#value?.push('');
      return;
    }
    const indent = LEADING.exec(line)?.[0].length ?? 0;
    if (this.#value !== undefined && indent > this.#indent) {
      this.#value.push(text);
      return;
    }
    this.#indent = indent;
    const section = SECTION.exec(text)?.[1];
    if (section === undefined) this.#addOption(text);
    else this.#addSection(section);
  }

  finish(): ConfigIni {
    const joined = new Map(
      [...this.#sections].map(([name, options]) => [name, new Map([...options].map(([key, lines]) => [key, joinLines(lines)]))] as const),
    );
    const defaults = joined.get(DEFAULT_SECTION);
    if (defaults === undefined) return joined;
    joined.delete(DEFAULT_SECTION);
    return new Map([...joined].map(([name, options]) => [name, new Map([...defaults, ...options])] as const));
  }

  #addSection(name: string): void {
    if (this.#sections.has(name) && name !== DEFAULT_SECTION) throw this.#damaged(`has the section ${JSON.stringify(name)} again`);
    this.#section = this.#sections.get(name) ?? new Map();
    this.#sections.set(name, this.#section);
    this.#value = undefined;
  }

  #addOption(text: string): void {
    if (this.#section === undefined) throw this.#damaged('stands before the first section');
    const [, name = '', value = ''] = OPTION.exec(text) ?? [];
    const key = strip(name).toLowerCase();
    if (key === '') throw this.#damaged('is neither a section nor a key with a value');
    if (this.#section.has(key)) throw this.#damaged(`has the key ${JSON.stringify(key)} again`);
    this.#value = [strip(value)];
    this.#section.set(key, this.#value);
  }

  #damaged(what: string): GantryError {
    return new GantryError('CONFIG_DAMAGED', { message: `${this.#source} is damaged: line ${this.#line} ${what}` });
  }
}

function joinLines(lines: readonly string[]): string {
  return lines.join('\n').replace(TRAILING, '');
}

function strip(text: string): string {
  return text.replace(LEADING, '').replace(TRAILING, '');
}

/**
 * Writes what {@link parseConfigIni} and Python read. Lines of a value after its first are indented, so that none can pass for a
 * key or a section; blank space around a value, and comment and empty lines inside of one, do not survive reading.
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
    return `${key} = ${value.replaceAll(/\r\n|\r|\n/g, '\n\t')}\n`;
  });
  return `[${name}]\n${lines.join('')}\n`;
}
