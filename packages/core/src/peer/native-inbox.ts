import type { NativeFile } from '../instances/inventory.ts';
import { isNativeName, MAX_NATIVE_BYTES, MAX_NATIVE_FILES, nativeListProblem } from '../instances/native-files.ts';
import type { Link } from './link.ts';
import type { Described, NativePart } from './messages.ts';
import { WireProblem } from './wire.ts';

/** Bytes of a native file in one message. */
const PART_BYTES = 128 * 1024;
const MAX_PARTS = MAX_NATIVE_FILES + MAX_NATIVE_BYTES / PART_BYTES;

/** Sends a native description: its bytes, then which files they are. */
export async function sendNative(link: Link, files: readonly NativeFile[]): Promise<void> {
  for (const [file, { bytes }] of files.entries()) {
    for (let at = 0; at < bytes.length; at += PART_BYTES)
      await link.send({ kind: 'native', file, data: Buffer.from(bytes.subarray(at, at + PART_BYTES)).toString('base64') });
  }
  await link.send({ kind: 'described', files: files.map(({ name, secret, bytes }) => ({ name, secret, size: bytes.length })) });
}

/** The receiver's side of {@link sendNative}: holds what has come of one description, within limits. */
export class NativeInbox {
  #parts: { readonly file: number; readonly bytes: Buffer }[] = [];
  #bytes = 0;

  /** @throws WireProblem */
  push({ file, data }: NativePart): void {
    const bytes = Buffer.from(data, 'base64');
    this.#bytes += bytes.length;
    this.#parts.push({ file, bytes });
    if (this.#bytes > MAX_NATIVE_BYTES || this.#parts.length > MAX_PARTS) throw new WireProblem('its native description is too large');
  }

  /** All parts have come. @throws WireProblem where they are not what the source says */
  take({ files }: Described): readonly NativeFile[] {
    const parts = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    const problem = nativeListProblem(files);
    if (problem !== undefined || !files.every(({ name }) => isNativeName(name)))
      throw new WireProblem(`its native description is not valid${problem === undefined ? '' : `: ${problem}`}`);
    return files.map(({ name, secret, size }, index) => {
      const bytes = Buffer.concat(parts.filter(({ file }) => file === index).map((part) => part.bytes));
      if (bytes.length !== size) throw new WireProblem(`${name} of its native description has ${bytes.length} bytes instead of ${size}`);
      return { name, secret, bytes };
    });
  }
}
