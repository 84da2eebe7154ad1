import { writeFile } from 'node:fs/promises';
import type { OsDefinitionFiles, TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, writeOsDefinition, writeOsDefinitions } from '@gantry/testkit';
import { expect } from 'vitest';
import type { SelectedOs } from '../../src/scripts/select.ts';
import { selectOs } from '../../src/scripts/select.ts';
import type { Instance } from '../../src/instances/model.ts';
import type { ProcessGroup } from '../../src/system/process-group.ts';
import { runningMembers } from '../../src/system/process-group.ts';
import { sampleInstance } from '../sample-instance.ts';

/** An instance with one disk, definitions to run for it, and an account of every process group that is started. */
export class ScriptBench implements AsyncDisposable {
  readonly path: string;
  /** To be handed to what runs a script. */
  readonly hooks: {
    readonly onStart: (group: ProcessGroup) => Promise<void>;
    readonly onEnd: (group: ProcessGroup) => Promise<void>;
  };
  readonly #directory: TemporaryDirectory;
  readonly #started: ProcessGroup[] = [];
  readonly #ended: ProcessGroup[] = [];

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    this.path = directory.path;
    this.hooks = {
      onStart: async (group) => void this.#started.push(group),
      onEnd: async (group) => void this.#ended.push(group),
    };
  }

  /** @param content of the disk */
  static async make(content: Uint8Array | string): Promise<ScriptBench> {
    const directory = await makeTemporaryDirectory();
    await writeFile(directory.file('disk0.img'), content);
    return new ScriptBench(directory);
  }

  /** Every group that was started. */
  get started(): readonly ProcessGroup[] {
    return this.#started;
  }

  /** Every group that was reported as ended. */
  get ended(): readonly ProcessGroup[] {
    return this.#ended;
  }

  file(name: string): string {
    return this.#directory.file(name);
  }

  instance(): Instance {
    return sampleInstance({ disks: [{ path: this.file('disk0.img'), size: 4, access: 'rw', backend_type: 'file:loop' }] });
  }

  /** One of the sample definitions. */
  async sample(name: string): Promise<SelectedOs> {
    await writeOsDefinitions(this.path, [name]);
    return selectOs(name, { searchPath: [this.path] });
  }

  /** A definition with this script, the body of a `/bin/sh` script. */
  async define(script: 'export' | 'import', body: string, files: OsDefinitionFiles = {}): Promise<SelectedOs> {
    await writeOsDefinition(this.path, 'mine', { files: { [script]: `#!/bin/sh\n${body}\n`, ...files } });
    return selectOs('mine', { searchPath: [this.path] });
  }

  /** @throws where a group that was started was not reported as ended, or still runs */
  async [Symbol.asyncDispose](): Promise<void> {
    expect(this.#ended).toEqual(this.#started);
    expect(this.#started.flatMap((group) => runningMembers(group))).toEqual([]);
    await this.#directory[Symbol.asyncDispose]();
  }
}
