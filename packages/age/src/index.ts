export type { AgeErrorCode } from './errors.ts';
export { AgeError } from './errors.ts';
export { Identities } from './identities.ts';
export { generateHybridIdentity, generateX25519Identity } from 'age-encryption';
export { inArmor, withoutArmor } from './key-files.ts';
export type { NewFile } from './new-file.ts';
export { MAX_RECIPIENTS } from './limits.ts';
export { Recipients } from './recipients.ts';
export type { SealedFile, SealedSource } from './sealed-file.ts';
