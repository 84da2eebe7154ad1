/** A phrase that comments, messages and pages should not contain, and what to say instead. */
export interface HouseRule {
  readonly pattern: RegExp;
  readonly instead: string;
}

/** Phrases that no colleague would say aloud. They are looked for in comments, strings and pages, across line breaks. */
export const BANNED_PHRASES: readonly HouseRule[] = [
  { pattern: /(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b)[a-z"'`$]/i, instead: 'is not a …' },
  { pattern: /\bthat is none\b/i, instead: 'that is not one' },
  { pattern: /\b(?:has|have) not (?:a|an|any|the|enough|been told)\b/i, instead: 'lacks, does not have' },
  { pattern: /\b(?:whoever|whatever|whichever|whomever)\b/i, instead: 'name who or what it is' },
  { pattern: /\b(?:let|lets|letting) go\b/i, instead: 'release, close, free' },
  { pattern: /\b(?:is|are|was|were|be|been|being) told\b/i, instead: 'is reported, knows, learns' },
  { pattern: /\bso many\b/i, instead: 'this many, the number itself' },
  { pattern: /\bin good order\b/i, instead: 'after cleanup' },
  { pattern: /\bwithout a word\b/i, instead: 'and no output' },
  { pattern: /\bbegun\b/i, instead: 'started' },
  { pattern: /\bto be had\b/i, instead: 'available, supported' },
  { pattern: /\bfor want of\b/i, instead: 'because … is missing' },
  { pattern: /\bin the midst\b/i, instead: 'in the middle, during' },
  { pattern: /\ball the same(?=[.,:;)])/i, instead: 'anyway' },
  { pattern: /\bnobody knows whom\b|\bby whom\b/i, instead: 'an unknown process' },
];

/** Constants must not start with these: limits start with MAX_ or MIN_, and have their unit last. */
export const BANNED_CONSTANT = /^(?:MOST|LARGEST|LONGEST|FEWEST|SMALLEST|SHORTEST|FARTHEST|HIGHEST|LOWEST)(?:_|$)/;
