import { Writable } from 'node:stream';
import { GantryError, terminalSafe } from '@gantry/core';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { splitLine } from '../../src/completion/shell-words.ts';
import { createOutput } from '../../src/output/output.ts';

/** What no terminal is to get: control characters, and what changes the direction of text. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const UNSAFE = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]|\p{Cs}/u;

let written = '';

/** Keeps what is written, as a stream that is not a terminal. */
function kept(): NodeJS.WriteStream {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk);
      done();
    },
  });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the rest is for terminals
  return stream as unknown as NodeJS.WriteStream;
}

function output(json: boolean, text: string): string {
  written = '';
  const stream = kept();
  const out = createOutput({ json, quiet: false, live: false, stdout: stream, stderr: stream });
  out.note(text);
  out.warn(text);
  out.event({ type: 'message', operation: 'export', instance: text, script: 'export', stream: 'stderr', line: text });
  out.event({ type: 'warning', operation: 'export', instance: text, message: text });
  out.result({ operation: text, [text]: text }, [text, text]);
  out.failure(new GantryError('DISK_IO', { message: text, hint: text, details: [text, text] }));
  out.failure(new Error(text));
  out.close();
  return written;
}

/** What commands print, on a terminal and as JSON, with texts of others in it: no sequence, no line of its own, no broken JSON. */
const target: FuzzTarget = textTarget({
  seeds: () => ['web1.example.com', 'a\nb', '\u001B[31mred\u001B[0m', '"', "it's \\ $x `y`", '\u202Eabc', '{"type":"result"}'],
  words: ['\u001B[', '\u001B]0;', '\u0007', '\u001B\\', '\u009B', '\r', '\ngantry: ', '\u2028'],
  maxBytes: 500,
  run(text) {
    const plain = output(false, text);
    if (UNSAFE.test(plain)) throw new Error(`unsafe: ${JSON.stringify(plain)}`);
    // A message of ours begins a line; a text of others never does so.
    const own = plain.split('\n').filter((line) => line.startsWith('gantry: ')).length;
    // But for that of an instance of this name.
    const shown = terminalSafe(text);
    if (!shown.startsWith('gantry: ') && shown !== 'gantry' && own !== 2)
      throw new Error(`${own} lines look like a failure: ${JSON.stringify(plain)}`);
    const lines = output(true, text).trimEnd().split('\n');
    if (lines.length !== 7) throw new Error(`${lines.length} lines of JSON`);
    for (const line of lines) {
      JSON.parse(line);
      if (UNSAFE.test(line)) throw new Error(`unsafe: ${JSON.stringify(line)}`);
    }
    splitLine(text);
  },
});

export default target;
