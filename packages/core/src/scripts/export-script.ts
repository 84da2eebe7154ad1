import { setTimeout as wait } from 'node:timers/promises';
import type { PlainReader } from '../frames/plain-reader.ts';
import type { Instance } from '../instances/model.ts';
import type { ExportView } from './environment.ts';
import { exportEnvironment } from './environment.ts';
import { createRedactor } from '../report/redact.ts';
import { Interruption } from '../system/interruption.ts';
import { DEFAULT_GRACE_MS } from '../system/process-group.ts';
import { heldOpenError, succeeded } from './script-errors.ts';
import type { ScriptOptions } from './script-options.ts';
import type { ScriptRequest } from './script-process.ts';
import { ScriptProcess } from './script-process.ts';
import { requestScript } from './script.ts';
import { StdoutText } from './stdout-text.ts';
import type { SelectedOs } from './select.ts';

export interface ExportScriptOptions extends ScriptOptions {
  readonly instance: Instance;
  /** Which disk, by its index. */
  readonly disk: number;
  /** The disk's snapshot where there is one, else the disk itself. */
  readonly view: ExportView;
}

/**
 * The data of one disk, as its export script gives it. The script starts with the first read; the end comes only when the script has
 * exited with status 0 and all of its data was given.
 *
 * Reading throws GantryError `SCRIPT_START`, `SCRIPT_FAILED`, `SCRIPT_SIGNALLED`; the reason of the signal.
 */
export interface DiskData extends PlainReader, AsyncDisposable {
  /** What the script wrote to `EXP_SIZE_FD` so far, bytes; for display alone. */
  expectedBytes(): number | undefined;
  /** The script's last lines so far. */
  messages(): readonly string[];
  /** Ends the script if it still runs, and waits until nothing of it does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Prepares a run of the export script for one disk.
 * @throws GantryError `OS_OPERATION_UNSUPPORTED`, `OS_PARAMETER`
 */
export function runExportScript(os: SelectedOs, o: ExportScriptOptions): DiskData {
  const environment = exportEnvironment(os, o.instance, { debug: o.debug, index: o.disk, view: o.view });
  const request: ScriptRequest = { ...requestScript(os, 'export', environment, o.instance), disk: o.disk, writes: 'data' };
  return new ScriptData(request, o);
}

class ScriptData implements DiskData {
  readonly #request: ScriptRequest;
  readonly #options: ScriptOptions;
  readonly #interruption: Interruption;
  readonly #text = new StdoutText();
  #starting: Promise<ScriptProcess> | undefined;
  #script: ScriptProcess | undefined;
  #watch: HeldOpenWatch | undefined;
  #ended = false;

  constructor(request: ScriptRequest, options: ScriptOptions) {
    this.#request = request;
    this.#options = options;
    this.#interruption = new Interruption(options.signal);
  }

  expectedBytes(): number | undefined {
    return this.#script?.expectedSize.bytes;
  }

  messages(): readonly string[] {
    return this.#script?.messages ?? [];
  }

  async read(output: Uint8Array): Promise<number | undefined> {
    if (this.#ended) return undefined;
    this.#starting ??= this.#start();
    const script = await this.#starting;
    const reading = this.#readSome(script, output);
    try {
      const bytes = await this.#interruption.race(reading);
      if (bytes !== undefined) return bytes;
      await this.#interruption.race(script.exit);
    } catch (error) {
      if (error !== FAILED) throw error;
      await this.#readText(script, reading);
    }
    this.#ended = true;
    await script.close();
    const failure = script.failure(this.#text.lines(createRedactor(this.#request.secrets)));
    if (failure !== undefined) throw failure;
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#interruption.interrupt(new Error('the disk is no longer exported'));
    // Nothing is started any more.
    if (this.#starting === undefined) this.#ended = true;
    // One that could not be started has said so to the read that started it.
    const script = await this.#starting?.catch(() => undefined);
    this.#watch?.[Symbol.dispose]();
    await script?.[Symbol.asyncDispose]();
    this.#interruption[Symbol.dispose]();
  }

  async #start(): Promise<ScriptProcess> {
    const script = await ScriptProcess.start(this.#request, this.#options);
    this.#script = script;
    this.#watch = new HeldOpenWatch(script, this.#options.graceMs ?? DEFAULT_GRACE_MS, () =>
      this.#interruption.interrupt(heldOpenError(this.#request, script.messages)),
    );
    void this.#stopIfItFails(script);
    return script;
  }

  /** A script that failed is not listened to any longer. */
  async #stopIfItFails(script: ScriptProcess): Promise<void> {
    if (!succeeded(await script.exit)) this.#interruption.interrupt(FAILED);
  }

  async #readSome(script: ScriptProcess, output: Uint8Array): Promise<number | undefined> {
    this.#watch?.readBegins();
    try {
      const bytes = await script.stdout.readInto(output);
      if (bytes !== undefined) this.#text.take(output.subarray(0, bytes));
      return bytes;
    } finally {
      this.#watch?.readEnds();
    }
  }

  /** What a script that failed still has in its stdout, as long as that may be a message. `reading` is the read under way. */
  async #readText(script: ScriptProcess, reading: Promise<number | undefined>): Promise<void> {
    const until = performance.now() + LAST_TEXT_MS;
    let next = reading;
    while (performance.now() < until) {
      const bytes = await Promise.race([next, wait(until - performance.now(), undefined, { ref: false })]);
      if (bytes === undefined || !this.#text.mayGoOn) return;
      next = this.#readSome(script, Buffer.allocUnsafe(TEXT_BUFFER_BYTES));
    }
  }
}

/** More than a message has. */
const TEXT_BUFFER_BYTES = 8 * 1024;

/** How long the stdout of a script that failed is still read, should something that it left behind hold it open. */
const LAST_TEXT_MS = 500;

const FAILED: unique symbol = Symbol('the script failed');

/** Notices that the script has exited, but its stdout gives neither data nor its end. */
class HeldOpenWatch implements Disposable {
  readonly #onHeldOpen: () => void;
  readonly #limitMs: number;
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #exited = false;

  constructor(script: ScriptProcess, limitMs: number, onHeldOpen: () => void) {
    this.#limitMs = limitMs;
    this.#onHeldOpen = onHeldOpen;
    void this.#armAtExit(script);
  }

  readBegins(): void {
    this.#reading = true;
    this.#arm();
  }

  readEnds(): void {
    this.#reading = false;
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.readEnds();
  }

  async #armAtExit(script: ScriptProcess): Promise<void> {
    await script.exit;
    this.#exited = true;
    this.#arm();
  }

  #arm(): void {
    if (this.#reading && this.#exited) this.#timer = setTimeout(this.#onHeldOpen, this.#limitMs);
  }
}
