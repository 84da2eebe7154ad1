import leven from 'leven';

const FARTHEST = 3;
const MOST = 3;

/** `Did you mean a or b?`, to stand before another sentence; nothing where no name is near. */
export function didYouMean(near: readonly string[]): string {
  return near.length === 0 ? '' : `Did you mean ${near.join(' or ')}? `;
}

/** The names that a misspelt one may have meant, the nearest first; at most three. */
export function nearestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(known)]
    .map((candidate) => ({ candidate, distance: leven(wanted, candidate.toLowerCase(), { maxDistance: FARTHEST + 1 }) }))
    .filter(({ candidate, distance }) => distance <= Math.min(FARTHEST, Math.ceil(candidate.length / 2)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, MOST)
    .map(({ candidate }) => candidate);
}
