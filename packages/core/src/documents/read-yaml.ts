import type { Document, ErrorCode, Scalar } from 'yaml';
import { isNode, isScalar, Lexer, LineCounter, parseDocument, visit } from 'yaml';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';

/** Enough for networks and parameters that several NICs share; too few for a document that expands without end. */
const MAX_ALIASES = 100;
/**
 * Tokens of the parser: twice as many as the largest instance has, with 256 disks and NICs and 1000 parameters of each kind, and what a
 * configuration of a thousand policies has. For more the parser needs many seconds, and a thousand times their size in memory.
 */
const MAX_TOKENS = 200_000;
/** At most this many problems of a document are listed. */
const MAX_PROBLEMS = 20;

const TOO_MANY_ALIASES = `more than ${MAX_ALIASES} aliases (*name)`;
const TOO_DEEP = 'values nested too deeply';
const DUPLICATE_KEY = 'a field that was given already';
const BAD_ALIAS = 'an alias (*name) without its anchor (&name), or text that starts with *: write it in quotes';

/**
 * What is wrong, by the parser's error code. The parser's own messages quote parts of the document, which may be secrets.
 */
const REASONS: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_ALIAS,
  BAD_COLLECTION_TYPE: 'a tag that does not match its value',
  BAD_DIRECTIVE: 'an unknown directive (%…)',
  BAD_DQ_ESCAPE: 'an unknown escape (\\…) in double quotes',
  BAD_INDENT: 'wrong indentation',
  BAD_SCALAR_START: 'text that starts with a reserved character: write it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'fields within a line: text that contains ": " must be in quotes',
  BLOCK_IN_FLOW: 'an indented block inside brackets',
  KEY_OVER_1024_CHARS: 'a field name of more than 1024 characters',
  MISSING_CHAR: 'a missing bracket, comma, colon, space or quote',
  MULTILINE_IMPLICIT_KEY: 'a field name of several lines, or a line without a colon',
  MULTIPLE_DOCS: 'a second document (---): the file must contain only one',
  RESOURCE_EXHAUSTION: TOO_DEEP,
  TAB_AS_INDENT: 'a tab as indentation: use spaces',
  TAG_RESOLVE_FAILED: 'a tag (!name), which is not allowed, or text that starts with !: write it in quotes',
  UNEXPECTED_TOKEN: 'unexpected text',
};

/** What kind of document is read, for errors. */
export interface DocumentKind {
  /** What is described, such as `instance`. */
  readonly what: string;
  readonly syntaxCode: GantryErrorCode;
  /** A sentence that says where its format is described. */
  readonly hint: string;
}

/** One place of a document; both count from 1. */
export interface DocumentPlace {
  readonly line: number;
  readonly column: number;
}

/** A document that was read. */
export interface YamlDocument {
  /** Plain values; scalars are text or null. */
  readonly value: unknown;
  /** Where the value with this path is written; undefined if there is none. */
  placeOf(path: readonly PropertyKey[]): DocumentPlace | undefined;
}

/** What is wrong, and where: an offset into the text; undefined for the text as a whole. */
interface Problem {
  readonly offset: number | undefined;
  readonly reason: string;
}

/**
 * Reads one YAML 1.2 (or JSON) document into plain values. Numbers and booleans are returned as the text that was written, since almost
 * all fields of an instance are text: a UUID such as `7e5`, a VLAN `.100` or a parameter `010` stays as it is. Only null stays null.
 * Duplicate fields, tags, second documents and excessive aliases are refused.
 *
 * @throws GantryError with the code of `kind`, and line and column; never shows a part of the document
 */
export function readYaml(text: string, source: string, kind: DocumentKind): YamlDocument {
  const lines = new LineCounter();
  const syntaxError = (problems: readonly Problem[]): GantryError => describeProblems(source, lines, problems, kind);
  if (hasTooManyTokens(text)) throw syntaxError([{ offset: undefined, reason: `far more fields than any ${kind.what} has` }]);
  const { document, problems } = parse(text, lines);
  if (problems.length > 0) throw syntaxError(problems);
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return { value, placeOf: (path) => placeIn(document, lines, path) };
  } catch (error) {
    throw syntaxError([error instanceof RangeError ? { offset: undefined, reason: TOO_DEEP } : { offset: 0, reason: TOO_MANY_ALIASES }]);
  }
}

/** The parser, and what looks at its result, go as deep as the values are nested. */
function parse(text: string, lines: LineCounter): { readonly document: Document.Parsed; readonly problems: readonly Problem[] } {
  const document = orTooDeep(() =>
    parseDocument(text, {
      version: '1.2',
      schema: 'core',
      resolveKnownTags: false,
      // The parser's own check compares every key of a group with every other: minutes for 1 MiB of keys.
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: lines,
    }),
  );
  if (document === undefined) return { document: parseDocument(''), problems: [{ offset: undefined, reason: TOO_DEEP }] };
  const problems = parserProblems(document);
  if (problems.length > 0) return { document, problems };
  return { document, problems: orTooDeep(() => takeTextAsWritten(document)) ?? [{ offset: undefined, reason: TOO_DEEP }] };
}

/** Undefined where the stack is too small for it. */
function orTooDeep<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function placeIn(document: Document.Parsed, lines: LineCounter, path: readonly PropertyKey[]): DocumentPlace | undefined {
  const node = document.getIn(path, true);
  const offset = isNode(node) ? node.range?.[0] : undefined;
  if (offset === undefined) return undefined;
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

function hasTooManyTokens(text: string): boolean {
  let tokens = 0;
  for (const _token of new Lexer().lex(text)) {
    tokens += 1;
    if (tokens > MAX_TOKENS) return true;
  }
  return false;
}

function parserProblems(document: Document.Parsed): Problem[] {
  const problems = [...document.errors, ...document.warnings].slice(0, MAX_PROBLEMS).map(({ code, pos }) => ({
    offset: pos[0],
    reason: REASONS[code] ?? 'not YAML',
  }));
  if (document.directives.yaml.version !== '1.2') problems.push({ offset: 0, reason: 'not YAML 1.2' });
  return problems;
}

/** Restores the text of numbers and booleans, and finds problems that the parser accepts. */
function takeTextAsWritten(document: Document.Parsed): Problem[] {
  const problems: Problem[] = [];
  let aliases = 0;
  const add = (node: unknown, reason: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ offset: isNode(node) ? (node.range?.[0] ?? 0) : 0, reason });
  };
  visit(document, {
    Scalar(_key, node) {
      node.value = textOf(node);
    },
    Alias(_key, node) {
      // Resolving an alias searches the complete document.
      aliases += 1;
      if (aliases > MAX_ALIASES) {
        add(node, TOO_MANY_ALIASES);
        return visit.BREAK;
      }
      if (node.resolve(document) === undefined) add(node, BAD_ALIAS);
      return undefined;
    },
    Map(_key, { items }) {
      const seen = new Set<string>();
      for (const { key } of items) {
        const name = isScalar(key) ? (textOf(key) ?? '') : undefined;
        if (name === undefined) continue;
        if (seen.has(name)) add(key, DUPLICATE_KEY);
        seen.add(name);
      }
    },
    Pair(_key, pair) {
      // The schema would silently drop `__proto__`.
      if (!isScalar(pair.key) || pair.key.value === '__proto__') add(pair.key, 'a field name that is not plain text');
    },
  });
  return problems;
}

/** The text that was written; null stays null. */
function textOf({ value, source }: Scalar): string | null {
  return value === null || typeof value === 'string' ? value : (source ?? '');
}

function describeProblems(
  source: string,
  lines: LineCounter,
  problems: readonly Problem[],
  { syntaxCode, hint }: DocumentKind,
): GantryError {
  const texts = problems.map(({ offset, reason }) => {
    if (offset === undefined) return `${source}: ${reason}`;
    const { line, col } = lines.linePos(offset);
    return `${source}:${line}:${col}: ${reason}`;
  });
  return new GantryError(syntaxCode, {
    message: texts[0] ?? `${source}: not YAML`,
    details: texts.length > 1 ? texts : [],
    hint: `It must be one YAML 1.2 or JSON document. ${hint}`,
  });
}
