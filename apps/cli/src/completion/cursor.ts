import type { CommandModule } from '../command-line/command.ts';
import { COMMON_OPTIONS, HELP_OPTION } from '../command-line/common-options.ts';
import type { OptionSpec } from '../command-line/options.ts';

/** What the last word of a call of a command is. */
export type Cursor =
  | { readonly at: 'option'; readonly start: string }
  /** `before`: what of the word comes before the value, such as `--codec=`. */
  | { readonly at: 'value'; readonly spec: OptionSpec<unknown>; readonly before: string; readonly start: string }
  | { readonly at: 'argument'; readonly index: number; readonly start: string };

/** A call of a command, as far as it was typed. */
export interface TypedCall {
  readonly cursor: Cursor;
  /** The arguments before the cursor. */
  readonly args: readonly string[];
  /** The options before the cursor that were given, by their long names, with their values; a flag has no value. */
  readonly given: ReadonlyMap<string, readonly string[]>;
}

/** Reads the words of a call behind the name of the command, the last of which is being typed. */
export function readCall({ options }: Pick<CommandModule, 'options'>, words: readonly string[]): TypedCall {
  const specs = allOptions(options);
  const args: string[] = [];
  const given = new Map<string, readonly string[]>();
  const start = words.at(-1) ?? '';
  let awaiting: OptionSpec<unknown> | undefined;
  let onlyArguments = false;
  for (const word of words.slice(0, -1)) {
    if (awaiting !== undefined) {
      add(given, awaiting, word);
      awaiting = undefined;
    } else if (onlyArguments || !word.startsWith('-') || word === '-') args.push(word);
    else if (word === '--') onlyArguments = true;
    else {
      const [name, value] = splitOption(word);
      const spec = specs.find((each) => namesOf(each).includes(name));
      if (spec !== undefined && takesValue(spec) && value === undefined) awaiting = spec;
      else if (spec !== undefined) add(given, spec, value);
    }
  }
  return { cursor: cursorOf(start, awaiting, onlyArguments, args.length, specs), args, given };
}

function cursorOf(
  start: string,
  awaiting: OptionSpec<unknown> | undefined,
  onlyArguments: boolean,
  index: number,
  specs: readonly OptionSpec<unknown>[],
): Cursor {
  if (awaiting !== undefined) return { at: 'value', spec: awaiting, before: '', start };
  if (onlyArguments || !start.startsWith('-')) return { at: 'argument', index, start };
  const [name, value] = splitOption(start);
  const spec = specs.find((each) => namesOf(each).includes(name));
  if (value === undefined || spec === undefined) return { at: 'option', start };
  return { at: 'value', spec, before: `${name}=`, start: value };
}

/** What a command may be called with: its own options and those of every command. */
export function allOptions(options: CommandModule['options']): readonly OptionSpec<unknown>[] {
  return [...Object.values(options), ...COMMON_OPTIONS, HELP_OPTION];
}

/** The flags of an option, such as `-q` and `--quiet`. */
export function namesOf({ flags }: OptionSpec<unknown>): readonly string[] {
  return flags.match(/(?<![\w<[-])--?[\w-]+/g) ?? [];
}

function takesValue({ flags }: OptionSpec<unknown>): boolean {
  return /[<[]/.test(flags);
}

function splitOption(word: string): readonly [string, string?] {
  const at = word.startsWith('--') ? word.indexOf('=') : -1;
  return at === -1 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}

function add(given: Map<string, readonly string[]>, spec: OptionSpec<unknown>, value: string | undefined): void {
  const name = namesOf(spec).at(-1) ?? '';
  given.set(name, [...(given.get(name) ?? []), ...(value === undefined ? [] : [value])]);
}
