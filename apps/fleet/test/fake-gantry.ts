import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { killTree, processesWithVariable } from '@gantry/testkit';
import { execa } from 'execa';

/*
 * The program that agents start in their tests is a script: it notes that it was started, waits until a test says so where that wants it, and prints
 * what `gantry run --json` prints. When it is asked to end it notes that, and goes on, as one that cleans up. How that is for the real one
 * is tested with the commands.
 */
const SCRIPT = `#!/bin/sh
name=$4
[ "$1" = import ] && name=$3
cd "$FAKE_HOME"
echo "$*" >>"$name.started"
env >"$name.env"
trap 'echo TERM >>"$name.terms"' TERM
if [ -p "$name.hold" ]; then cat "$name.hold" & while kill -0 $! 2>/dev/null; do wait $!; done; fi
if [ -e "$name.kill" ]; then echo 'out of memory' >&2; kill -KILL $$; fi
if [ -e "$name.print" ]; then cat "$name.print"; exit 16; fi
echo "{\\"type\\":\\"result\\",\\"policies\\":[{\\"instances\\":[{\\"state\\":\\"exported\\",\\"reference\\":\\"$name@1\\",\\"plainBytes\\":5,\\"problems\\":[]}],\\"problems\\":[]}]}"
`;

/** What agents run in place of gantry, and the directory in which it says what it did. */
export class FakeGantry implements AsyncDisposable {
  readonly #home: string;

  private constructor(home: string) {
    this.#home = home;
  }

  static async make(home: string): Promise<FakeGantry> {
    const made = new FakeGantry(home);
    await writeFile(made.program, SCRIPT);
    await chmod(made.program, 0o755);
    return made;
  }

  /** Ends exports that a test which failed has left waiting. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await processesWithVariable('FAKE_HOME', this.#home)) await killTree(pid);
  }

  get program(): string {
    return join(this.#home, 'gantry');
  }

  /** That of the agent. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, FAKE_HOME: this.#home };
  }

  /** How many times the export of an instance was started. */
  async starts(instance: string): Promise<number> {
    return (await readFile(join(this.#home, `${instance}.started`), 'utf8').catch(() => '')).split('\n').length - 1;
  }

  /** Makes the export of an instance wait. @returns what has it go on */
  async hold(instance: string): Promise<() => Promise<void>> {
    const path = join(this.#home, `${instance}.hold`);
    await execa('mkfifo', [path]);
    return async () => await writeFile(path, '');
  }
}
