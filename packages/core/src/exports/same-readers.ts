import { createHash } from 'node:crypto';

/**
 * Whether two exports can be read by the same people: who reads one must be able to read the packs that it refers to, and nobody else
 * should. Of passphrases nobody can say whether they are the same.
 *
 * @param one recipients of a sealed export, none if it was encrypted with a passphrase; undefined for one that is not sealed
 */
export function haveSameReaders(one: readonly string[] | undefined, other: readonly string[] | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length > 0 && isSameSet(one, other);
}

/** Whether both have the same, however often and in any order. */
export function isSameSet(one: readonly string[], other: readonly string[]): boolean {
  const [some, others] = [new Set(one), new Set(other)];
  return some.size === others.size && some.isSubsetOf(others);
}

/** The same for the same recipients: what this machine remembers of who reads an export, also if a store says something else later. */
export function digestOfReaders(recipients: readonly string[]): string {
  return createHash('sha256')
    .update(JSON.stringify([...new Set(recipients)].toSorted()))
    .digest('hex');
}
