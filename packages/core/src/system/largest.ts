/** The largest of any number of values: `Math.max(...values)` fails where there are more than some 100,000. @returns `least` if none is larger */
export function largest(values: Iterable<number>, least: number = -Infinity): number {
  let found = least;
  for (const value of values) if (value > found) found = value;
  return found;
}
