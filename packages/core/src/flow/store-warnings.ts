import type { Store } from '@gantry/transport';

/** That sealed exports were not looked into as deep as the others. */
export function ofClosed(count: number, depth: 'frames' | 'stored' | 'present' | 'rehearsal'): string {
  const done = depth === 'rehearsal' ? 'not rehearsed' : 'verified by the SHA-256 of what is stored alone';
  return `${count} sealed ${count === 1 ? 'export is' : 'exports are'} ${done}: --identity FILE opens what is sealed`;
}

/** Of exports without a signature, where signatures were checked, and none was required. */
export function ofUnsigned(count: number, { address }: Store): string {
  const which = count === 1 ? 'export is not signed' : 'exports are not signed';
  return `${count} ${which}: anybody who can write to ${address} may have made or changed ${count === 1 ? 'it' : 'them'} (--require-signature refuses)`;
}
