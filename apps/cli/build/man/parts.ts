import { EXIT_CODES } from '../../src/command-line/exit-codes.ts';
import type { OptionSpec } from '../../src/command-line/options.ts';
import { bold, escape, heading, italic, item } from './roff.ts';

/*
 * What the pages of several commands have.
 */

export function exitStatus(): readonly string[] {
  return [heading('EXIT STATUS'), ...EXIT_CODES.map(({ code, meaning }) => item(bold(code), escape(meaning)))];
}

/** What a page says of an option. */
type ShownOption = Pick<OptionSpec<unknown>, 'flags' | 'description' | 'choices' | 'required' | 'default'>;

export function optionItem({ flags, description, choices, required, default: byDefault }: ShownOption): string {
  const notes = [
    ...(required === true ? ['required'] : []),
    ...(choices === undefined ? [] : [`one of ${choices.join(', ')}`]),
    ...(typeof byDefault === 'string' ? [`default ${byDefault}`] : []),
  ];
  return item(synopsisOf(flags), escape(notes.length === 0 ? description : `${description} (${notes.join('; ')})`));
}

/** Flags in bold, and in italics what the user replaces. */
export function synopsisOf(usage: string): string {
  const parts = usage.match(/<[^>]*>|--?\w[\w-]*|[^<-]+|-/g) ?? [];
  return parts
    .map((part) => {
      if (part.startsWith('<')) return italic(part.slice(1, -1));
      return part.startsWith('-') ? bold(part) : escape(part);
    })
    .join('');
}
