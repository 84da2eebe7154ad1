import { GantryError } from '../report/errors.ts';
import type { Instance } from '../instances/model.ts';
import type { ScriptName } from './definition.ts';
import type { Environment } from './environment.ts';
import { createEnvironment, renameEnvironment, verifyEnvironment } from './environment.ts';
import { Interruption } from '../system/interruption.ts';
import type { OsParameters } from '../instances/parameter-variables.ts';
import type { ScriptOptions, ScriptOutcome } from './script-options.ts';
import type { ScriptRequest } from './script-process.ts';
import { ScriptProcess } from './script-process.ts';
import type { SelectedOs } from './select.ts';

export interface CreateScriptOptions extends ScriptOptions {
  readonly instance: Instance;
  /** An existing instance is reinstalled. */
  readonly reinstall?: boolean | undefined;
}

export interface RenameScriptOptions extends ScriptOptions {
  /** The instance under its old name. */
  readonly instance: Instance;
  readonly newName: string;
}

export interface VerifyScriptOptions extends ScriptOptions {
  readonly parameters: OsParameters;
  /** The instance that the parameters belong to, where known. */
  readonly instance?: Instance | undefined;
}

/*
 * All of these reject with GantryError `SCRIPT_START`, `SCRIPT_FAILED` or `SCRIPT_SIGNALLED` (with the script's last lines),
 * `OS_OPERATION_UNSUPPORTED` if the definition lacks the script, and the reason of the signal.
 */

/** Formats the disks and installs the instance. */
export async function runCreateScript(os: SelectedOs, o: CreateScriptOptions): Promise<ScriptOutcome> {
  return runToEnd(requestScript(os, 'create', createEnvironment(os, o.instance, o), o.instance), o);
}

/** Changes the name inside the installed system. */
export async function runRenameScript(os: SelectedOs, o: RenameScriptOptions): Promise<ScriptOutcome> {
  const renamed: Instance = { ...o.instance, name: o.newName };
  const environment = renameEnvironment(os, renamed, { debug: o.debug, oldName: o.instance.name });
  return runToEnd(requestScript(os, 'rename', environment, o.instance), o);
}

/** Lets the definition check the parameters. */
export async function runVerifyScript(os: SelectedOs, o: VerifyScriptOptions): Promise<ScriptOutcome> {
  const request = requestScript(os, 'verify', verifyEnvironment(os, o.parameters, o), o.parameters);
  return runToEnd({ ...request, arguments: ['parameters'] }, o);
}

/**
 * The request for a script without arguments, without input, and with messages on stdout; the caller changes what is different.
 * @throws GantryError `OS_OPERATION_UNSUPPORTED`
 */
export function requestScript(
  os: SelectedOs,
  script: ScriptName,
  environment: Environment,
  { osparams_private: secret }: Pick<OsParameters, 'osparams_private'>,
): ScriptRequest {
  const { name, directory, scripts } = os.definition;
  const path = scripts[script];
  if (path === undefined || directory === undefined) {
    throw new GantryError('OS_OPERATION_UNSUPPORTED', {
      message: `OS definition ${name} has no ${script} script`,
      hint: 'Use a definition that has one.',
    });
  }
  return {
    script,
    os: name,
    path,
    directory,
    disk: undefined,
    arguments: [],
    environment,
    secrets: Object.values(secret),
    reads: 'nothing',
    writes: 'messages',
  };
}

async function runToEnd(request: ScriptRequest, options: ScriptOptions): Promise<ScriptOutcome> {
  using interruption = new Interruption(options.signal);
  await using script = await ScriptProcess.start(request, options);
  await interruption.race(script.exit);
  await script.close();
  const failure = script.failure();
  if (failure !== undefined) throw failure;
  return { messages: script.messages };
}
