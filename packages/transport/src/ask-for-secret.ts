import { openSync, writeSync } from 'node:fs';
import process from 'node:process';
import { ReadStream } from 'node:tty';

const CONTROL_C = '\u0003';
const LINE_ENDS: ReadonlySet<string> = new Set(['\r', '\n', '\u0004']);
const BACKSPACES: ReadonlySet<string> = new Set(['\b', '\u007f']);

/**
 * Asks for a secret on the terminal of this process, even if stdin and stdout are redirected, without echo. Undefined if there is no
 * terminal (opening `/dev/tty` fails: tty(4)) or no answer. Ctrl-C sends SIGINT to this process, as usual.
 */
export async function askForSecret(question: string): Promise<string | undefined> {
  const terminal = openTerminal();
  if (terminal === undefined) return undefined;
  const input = new ReadStream(terminal);
  try {
    input.setRawMode(true);
    writeSync(terminal, `${question}: `);
    const line = await readLine(input);
    writeSync(terminal, '\r\n');
    return line === '' ? undefined : line;
  } finally {
    input.setRawMode(false);
    input.destroy();
  }
}

function openTerminal(): number | undefined {
  try {
    return openSync('/dev/tty', 'r+');
  } catch {
    return undefined;
  }
}

async function readLine(input: ReadStream): Promise<string> {
  let line = '';
  input.setEncoding('utf8');
  for await (const chunk of input.iterator({ destroyOnReturn: false })) {
    for (const character of String(chunk)) {
      if (LINE_ENDS.has(character)) return line;
      if (character === CONTROL_C) {
        process.kill(process.pid, 'SIGINT');
        return '';
      }
      line = BACKSPACES.has(character) ? line.slice(0, -1) : line + character;
    }
  }
  return line;
}
