import type { Command } from 'commander';
import { createProgram } from '../src/command-line/program.ts';
import type { CliContext } from '../src/session.ts';

/** The arguments of every call of gantry in the shell examples of a page, and in its systemd units. */
export function gantryCalls(page: string): readonly (readonly string[])[] {
  const calls: (readonly string[])[] = [];
  // A block that holds another page is for a copy of the sources: see contributing.test.ts.
  const shown = page.replaceAll(/^(`{4,})[^]*?^\1$/gm, '');
  for (const [, indent = '', kind, body = ''] of shown.matchAll(/^( *)```(sh|ini)\n([^]*?)^\1```/gm)) {
    // To systemd, a percent sign begins something that it puts in.
    const lines = (kind === 'ini' ? body.replaceAll('%%', '%') : body).replaceAll(/\\\n\s*/g, '').split('\n');
    for (const line of lines) {
      const [, call] = /^(?:[A-Z_]+=\S+ |ExecStart=|\w+=\$\()*(?:\S*\/)?gantry (.*)$/.exec(line.slice(indent.length).trim()) ?? [];
      if (call !== undefined) calls.push(words(call));
    }
  }
  return calls;
}

/** The words as a shell splits them, up to the first comment, pipe, redirection or next command. */
function words(call: string): readonly string[] {
  const found: string[] = [];
  for (const [word] of call.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)) {
    if (/^(#|\d?[<>|&])/.test(word)) break;
    found.push(word.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2').replace(/[;)]$/, ''));
    if (/[;)]$/.test(word)) break;
  }
  return found;
}

/** Parses a call as gantry does, without running it. Rejects a wrong call with gantry's error. */
export async function parse(call: readonly string[]): Promise<void> {
  const program = await createProgram(call, CONTEXT);
  doNothing(program);
  await program.parseAsync(call, { from: 'user' });
}

function doNothing(command: Command): void {
  for (const each of command.commands) {
    if (each.commands.length === 0) each.action(() => undefined);
    doNothing(each);
  }
}

const ignore = (): void => undefined;

const CONTEXT: CliContext = {
  output: { event: ignore, note: ignore, warn: ignore, ask: ignore, result: ignore, bytes: ignore, failure: ignore, close: ignore },
  json: false,
  quiet: false,
  signal: new AbortController().signal,
  env: {},
  cwd: '/',
  exitWith: ignore,
};
