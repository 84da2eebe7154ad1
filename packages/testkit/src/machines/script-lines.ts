import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** The outcome of a script in a machine. */
export interface ScriptOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running script in a machine. */
export interface MachineScript {
  /** Resolves when it has ended; rejects if the machine ends. */
  readonly outcome: Promise<ScriptOutcome>;
  /** Resolves as soon as its output contains the text; rejects if the script or machine ends before. */
  printed(text: string): Promise<void>;
}

/** One output stream of the running script, up to the mark after it. */
class Output {
  readonly #mark: string;
  readonly #end = Promise.withResolvers<{ readonly text: string; readonly status: number }>();
  #text = '';

  constructor(mark: string) {
    this.#mark = mark;
    this.#end.promise.catch(() => undefined);
  }

  get end(): Promise<{ readonly text: string; readonly status: number }> {
    return this.#end.promise;
  }

  has(text: string): boolean {
    return this.#text.includes(text);
  }

  take(text: string): void {
    this.#text += text;
    const at = this.#text.lastIndexOf(`${this.#mark} `);
    const status = at < 0 ? undefined : /^\w+ (\d+)\n/.exec(this.#text.slice(at))?.[1];
    if (status !== undefined) this.#end.resolve({ text: this.#text.slice(0, at), status: Number(status) });
  }

  fail(error: Error): void {
    this.#end.reject(error);
  }
}

/** Runs scripts in a machine, one at a time, over the three serial lines of its first process. */
export class ScriptLines {
  readonly #scripts: Duplex;
  readonly #ready = Promise.withResolvers<void>();
  #outputs: readonly [Output, Output] | undefined;
  #watchers: (() => void)[] = [];
  #ended: Error | undefined;

  constructor(scripts: Duplex, stdout: Duplex, stderr: Duplex) {
    this.#scripts = scripts;
    this.#ready.promise.catch(() => undefined);
    for (const [index, line] of [stdout, stderr].entries()) {
      line.setEncoding('utf8');
      line.on('data', (text: string) => this.#take(index, text));
      line.on('error', () => undefined);
    }
    scripts.on('error', () => undefined);
  }

  /** Resolves when the machine takes scripts. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** To be called when the previous script has ended. */
  start(script: string): MachineScript {
    if (this.#ended !== undefined) throw this.#ended;
    const mark = randomBytes(16).toString('hex');
    const outputs = [new Output(mark), new Output(mark)] as const;
    this.#outputs = outputs;
    this.#scripts.write(`${mark} ${Buffer.from(script).toString('base64')}\n`);
    const outcome = outcomeOf(outputs);
    outcome.catch(() => undefined);
    return { outcome, printed: (text) => this.#printed(outputs, text, outcome) };
  }

  /** The machine has ended: rejects all waiting promises with the reason. */
  end(error: Error): void {
    this.#ended ??= error;
    this.#ready.reject(error);
    for (const output of this.#outputs ?? []) output.fail(error);
  }

  async #printed(outputs: readonly Output[], text: string, outcome: Promise<unknown>): Promise<void> {
    const found = Promise.withResolvers<void>();
    const check = (): void => {
      if (outputs.some((output) => output.has(text))) found.resolve();
    };
    this.#watchers.push(check);
    check();
    const tooLate = outcome.then((result) => {
      check();
      throw new Error(`the script ended and did not print ${text}: ${JSON.stringify(result)}`);
    });
    await Promise.race([found.promise, tooLate]);
    this.#watchers = this.#watchers.filter((watcher) => watcher !== check);
  }

  #take(index: number, text: string): void {
    if (this.#outputs === undefined) this.#ready.resolve();
    else this.#outputs[index]?.take(text);
    for (const watcher of this.#watchers) watcher();
  }
}

async function outcomeOf([stdout, stderr]: readonly [Output, Output]): Promise<ScriptOutcome> {
  const [out, err] = await Promise.all([stdout.end, stderr.end]);
  return { exitCode: out.status, stdout: out.text, stderr: err.text };
}
