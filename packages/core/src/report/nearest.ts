import leven from 'leven';

const MAX_DISTANCE = 3;
const MAX_NAMES = 3;

/** `Did you mean a or b? `, to put before another sentence; empty where no name is similar. */
export function didYouMean(near: readonly string[]): string {
  return near.length === 0 ? '' : `Did you mean ${near.join(' or ')}? `;
}

/** The names that a misspelt one may have meant, the most similar first; at most three. */
export function nearestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(known)]
    .map((candidate) => ({ candidate, distance: leven(wanted, candidate.toLowerCase(), { maxDistance: MAX_DISTANCE + 1 }) }))
    .filter(({ candidate, distance }) => distance <= Math.min(MAX_DISTANCE, Math.ceil(candidate.length / 2)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, MAX_NAMES)
    .map(({ candidate }) => candidate);
}
