import type { KeyProblem } from '../../auth/key-problem.ts';

const HINT = 'Have the authority sign the key again, for that user and with a current validity.';

/**
 * The problem with a certificate; undefined if there is none.
 *
 * @param listing the output of `ssh-keygen -L -f FILE`; times are in this machine's time zone
 * @param user the user it is for; undefined if unknown
 */
export function certificateProblem(path: string, listing: string, user: string | undefined): KeyProblem | undefined {
  const why = problemOf(listing, user);
  return why === undefined ? undefined : { path, why, hint: HINT };
}

function problemOf(listing: string, user: string | undefined): string | undefined {
  if (/^\s*Type: .* host certificate$/m.test(listing)) return 'it is a host certificate';
  const [, from, to] = /^\s*Valid: (?:from|after|before) (\S+)(?: to (\S+))?$/m.exec(listing) ?? [];
  const isBefore = /^\s*Valid: before /m.test(listing);
  const [begin, end] = isBefore ? [undefined, from] : [from, to];
  if (end !== undefined && Date.parse(end) <= Date.now()) return `it expired at ${end}`;
  if (begin !== undefined && Date.parse(begin) > Date.now()) return `it is only valid from ${begin}`;
  const principals =
    /^\s*Principals: *\n((?:\s{16,}\S.*\n)+)/m
      .exec(listing)?.[1]
      ?.trim()
      .split(/\s*\n\s*/) ?? [];
  if (user === undefined || principals.length === 0 || principals.includes(user)) return undefined;
  return `it is for ${principals.join(', ')}, not for ${user}`;
}
