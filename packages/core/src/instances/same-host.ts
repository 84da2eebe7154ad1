/** Whether two host names are those of one host: equal, or one is the short form of the other. */
export function isSameHost(one: string, other: string): boolean {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  return a === b || (a.split('.')[0] === b.split('.')[0] && (!a.includes('.') || !b.includes('.')));
}
