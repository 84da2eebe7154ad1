import type { InstanceFilter, InstanceSummary } from './inventory.ts';

/** Whether a filter allows an instance: any of its patterns matches, and the instance has all of its tags. */
export function isListed({ name, tags }: Pick<InstanceSummary, 'name' | 'tags'>, filter: InstanceFilter): boolean {
  const { patterns = [], tags: wanted = [] } = filter;
  return (patterns.length === 0 || patterns.some((pattern) => matchesName(pattern, name))) && wanted.every((tag) => tags.includes(tag));
}

/**
 * Whether `pattern`, in which `*` stands for any number of characters, matches all of `name`. Without a regular expression: a pattern
 * with many stars could keep one busy for ever.
 */
export function matchesName(pattern: string, name: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  if (others.length === 0) return pattern === name;
  const last = others.pop() ?? '';
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
