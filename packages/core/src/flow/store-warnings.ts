import type { Store } from '@gantry/transport';

/** That sealed exports were not looked into as deep as the others. */
export function ofClosed(count: number, depth: 'frames' | 'rehearsal', why: 'no identity' | 'of others'): string {
  const done = depth === 'rehearsal' ? 'not rehearsed' : 'verified by the SHA-256 of what is stored alone';
  const reason =
    why === 'no identity' ? '--identity FILE opens what is sealed' : 'none of the identities opens what is sealed (gantry keys check)';
  return `${count} sealed ${count === 1 ? 'export is' : 'exports are'} ${done}: ${reason}`;
}

/** Of a sealed export that was to be verified with identities of others. */
export function ofMismatch(reference: string): string {
  return `${reference} is verified by the SHA-256 of what is stored alone: none of the identities opens it (gantry keys check names its recipients)`;
}

/** Of exports without a signature, where signatures were checked, and none was required. */
export function ofUnsigned(count: number, { address }: Store): string {
  const which = count === 1 ? 'export is not signed' : 'exports are not signed';
  return `${count} ${which}: anybody who can write to ${address} may have made or changed ${count === 1 ? 'it' : 'them'} (--require-signature refuses)`;
}
