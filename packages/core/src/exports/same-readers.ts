/**
 * Whether two exports can be read by the same people: who reads one must be able to read the packs that it refers to, and nobody else
 * should. Of passphrases nobody can say whether they are the same.
 *
 * @param one recipients of a sealed export, none if it was encrypted with a passphrase; undefined for one that is not sealed
 */
export function haveSameReaders(one: readonly string[] | undefined, other: readonly string[] | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length > 0 && one.length === other.length && one.every((recipient) => other.includes(recipient));
}
