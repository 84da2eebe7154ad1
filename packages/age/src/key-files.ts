import { armor } from 'age-encryption';
import { AgeError } from './errors.ts';
import { isHeaderStart } from './header.ts';

/** One line of a file with keys: what is neither empty nor a comment. */
export interface KeyLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

/** The keys in a file as `age -i` and `age -R` take them: one in each line, empty lines and those that begin with `#` aside. */
export function keyLines(text: string): readonly KeyLine[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line, index) => ({ number: index + 1, text: line.trim() }))
    .filter((line) => line.text !== '' && !line.text.startsWith('#'));
}

const ARMOR_START = '-----BEGIN AGE ENCRYPTED FILE-----';

/** Whether the bytes are a file of age, in ASCII armor or not. */
export function isAgeFile(bytes: Uint8Array): boolean {
  return isHeaderStart(bytes) || isArmored(bytes);
}

/** The same file without ASCII armor. @throws AgeError `damaged` */
export function withoutArmor(bytes: Uint8Array): Uint8Array {
  if (!isArmored(bytes)) return bytes;
  try {
    return armor.decode(Buffer.from(bytes).toString('latin1'));
  } catch (error) {
    throw new AgeError('damaged', 'its ASCII armor is damaged', { cause: error });
  }
}

/** A file of age in ASCII armor. */
export function inArmor(bytes: Uint8Array): string {
  return armor.encode(bytes);
}

function isArmored(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 1024)).toString('latin1').trimStart().startsWith(ARMOR_START);
}
