import type { ChangeMark, SnapshotRequest } from './provider.ts';

/** The mark that a request wants to go on from, as its provider reads its name; or why everything must be read: one clause. */
export type AskedMark<Parsed> = { readonly since: Parsed } | { readonly whyAll: string };

/** @param parse undefined for what is not a mark of Gantry */
export function askedMark<Parsed>(
  { since }: NonNullable<SnapshotRequest['track']>,
  provider: string,
  parse: (mark: ChangeMark) => Parsed | undefined,
): AskedMark<Parsed> {
  if (since === undefined) return { whyAll: 'there is no earlier mark' };
  if (since.provider !== provider) return { whyAll: `the mark was left by the provider ${since.provider}` };
  const parsed = parse(since);
  return parsed === undefined ? { whyAll: `"${since.name}" is not a mark of Gantry` } : { since: parsed };
}
