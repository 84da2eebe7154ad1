import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

/*
 * The inputs of a target that are kept: a text file with one in each line, as JSON text, or in base64 after `base64:`, or compressed before
 * that after `deflate:`. Lines that begin with `#` are remarks.
 */

/** A longer input is compressed, bytes. */
const MAX_PLAIN_BYTES = 1024;

export async function readCorpus(path: string): Promise<readonly Uint8Array[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').flatMap((line) => (line === '' || line.startsWith('#') ? [] : [decodeLine(line)]));
}

/** Adds inputs that the file does not have. @param remark a line before them */
export async function addToCorpus(path: string, inputs: readonly Uint8Array[], remark?: string): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => '');
  const known = new Set(before.split('\n'));
  const lines = [...new Set(inputs.map(encodeLine))].filter((line) => !known.has(line));
  if (lines.length === 0) return;
  const remarks = remark === undefined ? [] : [`# ${remark.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 200)}`];
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${before}${[...remarks, ...lines].join('\n')}\n`);
}

function encodeLine(input: Uint8Array): string {
  if (input.length > MAX_PLAIN_BYTES) return `deflate:${deflateRawSync(input, { level: 9 }).toString('base64')}`;
  const text = Buffer.from(input).toString('utf8');
  const isText = Buffer.from(text).equals(input) && !UNFIT.test(text);
  return isText ? JSON.stringify(text) : `base64:${Buffer.from(input).toString('base64')}`;
}

/** What would look like something else in an editor. */
const UNFIT = /[\p{Cf}\u0080-\u009F\u2028\u2029]/u;

function decodeLine(line: string): Uint8Array {
  if (line.startsWith('base64:')) return Buffer.from(line.slice('base64:'.length), 'base64');
  if (line.startsWith('deflate:')) return inflateRawSync(Buffer.from(line.slice('deflate:'.length), 'base64'));
  const text: unknown = JSON.parse(line);
  if (typeof text !== 'string') throw new TypeError(`not a line of a corpus: ${line.slice(0, 100)}`);
  return Buffer.from(text);
}
