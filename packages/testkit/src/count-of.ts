import process from 'node:process';

/**
 * How often a test does something: as a variable of the environment says, such as that of a script, or `usual`. A number that cannot be read
 * would be none, and its test would pass.
 *
 * @throws RangeError unless it is a whole number above 0
 */
export function countOf(variable: string, usual: number): number {
  const text = process.env[variable];
  if (text === undefined) return usual;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new RangeError(`${variable} must be a whole number above 0, not ${JSON.stringify(text)}`);
  return Number(text);
}
