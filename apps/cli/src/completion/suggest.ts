import type { CommandModule } from '../command-line/command.ts';
import type { OptionSpec } from '../command-line/options.ts';
import { COMMANDS, GROUPS } from '../commands.ts';
import type { TypedCall } from './cursor.ts';
import { allOptions, namesOf, readCall } from './cursor.ts';
import type { ValueKind } from './value-kinds.ts';
import { kindOfOption, kindsOfArguments } from './value-kinds.ts';

/** What a word may become. */
export interface Suggestion {
  readonly value: string;
  /** In a few words. */
  readonly description?: string | undefined;
}

export interface Suggestions {
  /** The word, without quotes. */
  readonly word: string;
  readonly items: readonly Suggestion[];
  /** What the shell suggests besides. */
  readonly paths: Paths;
}

export type Paths = 'none' | 'files' | 'directories';

/** What is asked of stores, inventories and this machine. */
export interface Question {
  readonly kind: ValueKind;
  /** What of the value was typed. */
  readonly start: string;
  /** The store of the call, if it was given. */
  readonly store: string | undefined;
  /** Directories given with `--os-path`. */
  readonly osPath: readonly string[];
  /** What `--config` gave. */
  readonly configFile: string | undefined;
}

/** Answers a question with values, which need not start as asked. */
export type Listing = (question: Question) => Promise<readonly Suggestion[]>;

/** Values with other characters would need quotes, or a look at what they do on a terminal. */
const PLAIN = /^[\w.:@/=+,%~-]+$/;

const PATHS: Readonly<Partial<Record<ValueKind, Paths>>> = {
  directory: 'directories',
  file: 'files',
  instance: 'files',
  source: 'directories',
  store: 'directories',
};

/** What the last of the words behind `gantry` may become. */
export async function suggest(words: readonly string[], list: Listing): Promise<Suggestions> {
  const word = words.at(-1) ?? '';
  const at = firstArgument(words);
  const before = readCall({ options: {} }, words.slice(0, at + 1));
  if (at === words.length - 1) {
    const places = { store: undefined, osPath: [], configFile: undefined };
    return before.cursor.at === 'argument' ? plain(word, firstWords()) : await suggestForOption(before, word, {}, places, list);
  }
  const [first = '', second = '', ...deeper] = words.slice(at);
  const isGroup = Object.hasOwn(GROUPS, first);
  if (first === 'help') return plain(word, deeper.length === 0 ? firstWords() : wordsInGroup(second));
  if (isGroup && deeper.length === 0) return plain(word, wordsInGroup(first));
  const name = isGroup ? `${first} ${second}` : first;
  const entry = COMMANDS.find((each) => each.name === name);
  if (entry === undefined) return plain(word, []);
  const { default: module } = await entry.load();
  const call = readCall(module, words.slice(at + (isGroup ? 2 : 1)));
  return await suggestForCommand(name, module, call, before, word, list);
}

/** The index of the first word that is neither an option nor its value, or of the last word. */
function firstArgument(words: readonly string[]): number {
  const index = words.findIndex((word, at) => !word.startsWith('-') && words[at - 1] !== '--config');
  return index === -1 ? words.length - 1 : index;
}

/** @param before what came before the name of the command */
async function suggestForCommand(
  name: string,
  module: CommandModule,
  call: TypedCall,
  before: TypedCall,
  word: string,
  list: Listing,
): Promise<Suggestions> {
  const { cursor, args, given } = call;
  const specs = module.arguments;
  const kinds = kindsOfArguments(name, specs);
  const places = {
    store: args[kinds.indexOf('store')],
    osPath: given.get('--os-path') ?? [],
    configFile: (given.get('--config') ?? before.given.get('--config'))?.at(-1),
  };
  if (cursor.at !== 'argument') return await suggestForOption(call, word, module.options, places, list);
  const isRest = specs.at(-1)?.endsWith('...]') === true;
  const index = isRest ? Math.min(cursor.index, specs.length - 1) : cursor.index;
  if (index >= specs.length) return plain(word, optionItems(optionsLeft(module.options, given)));
  return await ofKind(word, '', { kind: kinds[index], start: cursor.start, ...places }, list);
}

async function suggestForOption(
  { cursor, given }: TypedCall,
  word: string,
  options: CommandModule['options'],
  places: Places,
  list: Listing,
): Promise<Suggestions> {
  if (cursor.at !== 'value') return plain(word, optionItems(optionsLeft(options, given)));
  const { spec, before, start } = cursor;
  if (spec.choices === undefined) return await ofKind(word, before, { kind: kindOfOption(spec.flags), start, ...places }, list);
  return plain(
    word,
    spec.choices.map((choice) => ({ value: `${before}${choice}` })),
  );
}

type Places = Pick<Question, 'store' | 'osPath' | 'configFile'>;

type OpenQuestion = Omit<Question, 'kind'> & { readonly kind: ValueKind | undefined };

async function ofKind(word: string, before: string, { kind, ...question }: OpenQuestion, list: Listing): Promise<Suggestions> {
  if (kind === undefined) return plain(word, []);
  const found = await list({ kind, ...question });
  const items = before === '' ? found : found.map(({ value, description }) => ({ value: `${before}${value}`, description }));
  return { ...plain(word, items), paths: PATHS[kind] ?? 'none' };
}

function plain(word: string, items: readonly Suggestion[]): Suggestions {
  return { word, items: items.filter(({ value }) => value.startsWith(word) && PLAIN.test(value)), paths: 'none' };
}

function firstWords(): readonly Suggestion[] {
  const commands = COMMANDS.filter(({ name, hidden }) => !name.includes(' ') && hidden !== true);
  return [
    ...commands.map(({ name, summary }) => ({ value: name, description: summary })),
    ...Object.entries(GROUPS).map(([value, description]) => ({ value, description })),
    { value: 'help', description: 'Show a command with its options and examples.' },
  ];
}

function wordsInGroup(group: string): readonly Suggestion[] {
  const commands = COMMANDS.filter(({ name }) => name.startsWith(`${group} `));
  return commands.map(({ name, summary }) => ({ value: name.slice(group.length + 1), description: summary }));
}

/** The options that may still be given: those that may repeat, too. */
function optionsLeft(options: CommandModule['options'], given: TypedCall['given']): readonly OptionSpec<unknown>[] {
  const mayRepeat = ({ description }: OptionSpec<unknown>): boolean => description.endsWith('may repeat');
  return allOptions(options).filter((spec) => mayRepeat(spec) || !given.has(namesOf(spec).at(-1) ?? ''));
}

function optionItems(specs: readonly OptionSpec<unknown>[]): readonly Suggestion[] {
  return specs.map((spec) => ({ value: namesOf(spec).at(-1) ?? '', description: spec.description }));
}
