import type { CommandEntry } from '../commands.ts';
import { SECTIONS } from '../commands.ts';

/** Where help lists what no section has. */
export const OTHER_SECTION = 'Other';

/** The section of help that a command or group is listed in. */
export function sectionOf(name: string): string {
  const word = firstWord(name);
  return Object.entries(SECTIONS).find(([, words]) => words.includes(word))?.[0] ?? OTHER_SECTION;
}

/** Commands in the order of the sections. */
export function bySection(entries: readonly CommandEntry[]): readonly CommandEntry[] {
  const order = Object.values(SECTIONS).flat();
  const placeOf = ({ name }: CommandEntry): number => order.indexOf(firstWord(name));
  const listed = entries.filter((entry) => placeOf(entry) !== -1).toSorted((a, b) => placeOf(a) - placeOf(b));
  return [...listed, ...entries.filter((entry) => placeOf(entry) === -1)];
}

function firstWord(name: string): string {
  return name.split(' ', 1)[0] ?? name;
}
