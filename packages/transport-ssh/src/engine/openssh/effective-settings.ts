import { homedir } from 'node:os';

/** The parts of `ssh -G` that are used here. */
export interface EffectiveSettings {
  /** The ciphers that ssh would offer, the fastest first; undefined if it reports none. */
  readonly ciphers: string | undefined;
  readonly identityFiles: readonly string[];
  readonly certificateFiles: readonly string[];
  readonly user: string | undefined;
}

/** Ciphers with processor support, in the order of their speed. */
const FAST_CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];

/** Parses the output of `ssh -G`: a keyword and its value on each line. */
export function parseEffectiveSettings(text: string): EffectiveSettings {
  const values = (keyword: string): readonly string[] =>
    text.split('\n').flatMap((line) => (line.startsWith(`${keyword} `) ? [line.slice(keyword.length + 1).trim()] : []));
  const files = (keyword: string): readonly string[] => values(keyword).map((path) => path.replace(/^~(?=\/)/, () => homedir()));
  return {
    ciphers: fastFirst(values('ciphers')[0]),
    identityFiles: files('identityfile'),
    certificateFiles: files('certificatefile'),
    user: values('user')[0],
  };
}

/** Exactly the ciphers that the configuration allows, with the fast ones first. */
function fastFirst(ciphers: string | undefined): string | undefined {
  const allowed = ciphers?.split(',').filter((cipher) => cipher !== '') ?? [];
  if (allowed.length === 0) return undefined;
  const fast = FAST_CIPHERS.filter((cipher) => allowed.includes(cipher));
  return [...fast, ...allowed.filter((cipher) => !fast.includes(cipher))].join(',');
}
