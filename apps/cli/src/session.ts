import type { Configuration, SourceOfInstance } from '@gantry/config';
import {
  addressOfSource,
  isName,
  loadConfiguration,
  namedStore,
  openInstance,
  openInstanceAnywhere,
  openInstanceSource,
  openPeer,
  openSourceOf,
  openStore,
} from '@gantry/config';
import type { DescribedInstance, OperationOptions } from '@gantry/core';
import { osSearchPath } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import type { PeerChannel, Store } from '@gantry/transport';
import type { Output } from './output/output.ts';

/** What `main` passes to every command. */
export interface CliContext {
  readonly output: Output;
  /** Whether output is JSON. */
  readonly json: boolean;
  /** Whether only results, warnings and errors are shown. */
  readonly quiet: boolean;
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** What `--config` gave. */
  readonly configFile?: string | undefined;
  /** Sets the exit status of a command that succeeded, but found something its caller should know. */
  readonly exitWith: (exitCode: number) => void;
}

/** Options that several commands have, as commander gives them. */
export interface CommonOptions {
  readonly stateDir?: string;
  readonly osPath?: readonly string[];
  readonly debug?: boolean;
  readonly forceVariant?: boolean;
  /** Bytes per second. */
  readonly limitRate?: number;
}

/** One call of a command: its options resolved, with the options that core takes for every operation. */
export interface Session extends CliContext {
  readonly osSearchPath: readonly string[];
  readonly operation: OperationOptions;
  /** What gantry.yaml says; read once, when it is first asked for. */
  readonly configuration: () => Promise<Configuration>;
  /** The store of that address, or with that name in the configuration; `write` for commands that write objects. */
  readonly open: (address: string, access: 'read' | 'write') => Promise<Store>;
  readonly openPeer: (address: string, program: string | undefined) => Promise<PeerChannel>;
  /** The instance of that address (a file, or of another source), whose disks are on this host. */
  readonly describe: (address: string) => Promise<DescribedInstance>;
  /** The same, wherever its disks are. */
  readonly describeAnywhere: (address: string) => Promise<DescribedInstance>;
  /** The source of the instance of that address. */
  readonly openSourceOf: (address: string) => Promise<SourceOfInstance>;
  readonly openInstances: (address: string) => Promise<InstanceSource>;
  readonly warn: (message: string) => void;
}

export function createSession(context: CliContext, options: CommonOptions): Session {
  const { output, signal, env, cwd, configFile } = context;
  const surroundings = { signal, env, cwd, warn: output.warn };
  const searchPath = osSearchPath({ flags: options.osPath ?? [], env });
  let loaded: Promise<Configuration> | undefined;
  const configuration = (): Promise<Configuration> => (loaded ??= loadConfiguration({ env, cwd, file: configFile, signal }));
  const stateDirectory = options.stateDir ?? env['GANTRY_STATE_DIR'];
  return {
    ...context,
    osSearchPath: searchPath,
    operation: {
      signal,
      onEvent: output.event,
      osSearchPath: searchPath,
      debug: options.debug === true,
      forceVariant: options.forceVariant === true,
      ...(stateDirectory === undefined ? {} : { stateDirectory }),
    },
    warn: output.warn,
    configuration,
    open: async (address, access) => {
      const store = isName(address) ? namedStore(await configuration(), address) : undefined;
      const bytesPerSecond = options.limitRate ?? store?.limitRate?.bytesPerSecond;
      return await openStore(store?.url ?? address, surroundings, { access, bytesPerSecond });
    },
    openPeer: (address, program) => openPeer(address, surroundings, program),
    describe: (address) => openInstance(address, surroundings),
    describeAnywhere: (address) => openInstanceAnywhere(address, surroundings),
    openSourceOf: (address) => openSourceOf(address, surroundings),
    openInstances: async (address) => {
      const source = isName(address) ? addressOfSource(await configuration(), address) : address;
      return await openInstanceSource(source, surroundings);
    },
  };
}
