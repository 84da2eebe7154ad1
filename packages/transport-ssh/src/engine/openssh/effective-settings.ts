import { homedir } from 'node:os';

/** What `ssh -G` tells, as far as it is of use here. */
export interface EffectiveSettings {
  /** The ciphers that ssh would offer, the fastest first; undefined where it told none. */
  readonly ciphers: string | undefined;
  readonly identityFiles: readonly string[];
  readonly certificateFiles: readonly string[];
  readonly user: string | undefined;
}

/** Those that processors have instructions for, in the order of their speed. */
const FAST_CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];

/** Reads the output of `ssh -G`: a keyword and its value on each line. */
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

/** The very ciphers that the configuration allows, none added and none taken away, the fast ones moved to the front. */
function fastFirst(ciphers: string | undefined): string | undefined {
  const allowed = ciphers?.split(',').filter((cipher) => cipher !== '') ?? [];
  if (allowed.length === 0) return undefined;
  const fast = FAST_CIPHERS.filter((cipher) => allowed.includes(cipher));
  return [...fast, ...allowed.filter((cipher) => !fast.includes(cipher))].join(',');
}
