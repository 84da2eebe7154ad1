import type { Configuration, ExportSettings, OpenContext, SettingsScope, SourceOfInstance } from '@gantry/config';
import {
  comparableUrl,
  exportSettings,
  isName,
  mergeSettings,
  loadConfiguration,
  namedStore,
  openInstance,
  openInstanceAnywhere,
  openInstanceSource,
  openPeer,
  openSourceOf,
  openStore,
  policyNamed,
  rateAt,
  rateLimitOf,
  startsWithName,
} from '@gantry/config';
import type { DescribedInstance, OperationOptions } from '@gantry/core';
import { GantryError, lowerPriority, osSearchPath } from '@gantry/core';
import { limitOfEnvironment, maxRateOfEnvironment, settingsOfEnvironment } from './command-line/environment.ts';
import type { InstanceSource } from '@gantry/core/inventory';
import type { PeerChannel, Rate, Store } from '@gantry/transport';
import type { Output } from './output/output.ts';
import { cappedRate } from './capped-rate.ts';
import type { UnsealFlags } from './unsealing.ts';
import { unsealBy } from './unsealing.ts';

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
  /** The name of a policy of gantry.yaml. */
  readonly policy?: string;
}

/** What is done with a store. */
type Access = 'read' | 'write';

/** One call of a command: its options resolved, with the options that core takes for every operation. */
export interface Session extends CliContext {
  readonly osSearchPath: readonly string[];
  readonly operation: OperationOptions;
  /** What gantry.yaml says; read once, when it is first asked for. */
  readonly configuration: () => Promise<Configuration>;
  /**
   * What the environment says where no option does, else the policy, the store and the defaults of gantry.yaml. The policy is that of
   * `--policy`, unless another one is named. With `read` as {@link Access}, as for `rate`.
   */
  readonly settings: (scope: SettingsScope, access?: Access) => Promise<ExportSettings>;
  /**
   * The limit of the option, else of the environment, else that of gantry.yaml, which may change with the time of day; at most
   * `GANTRY_MAX_RATE`. To `read` from a store by its full address, a configuration that cannot be used is only a warning.
   */
  readonly rate: (scope: SettingsScope, access?: Access) => Promise<Rate | undefined>;
  /** The store of that address, or with that name in the configuration; `write` for commands that write objects. */
  readonly open: (address: string, access: Access, policy?: string) => Promise<Store>;
  /** The same, but sealed exports in it are opened, where there is an identity. */
  readonly openSealed: (address: string, access: Access, flags: UnsealFlags, policy?: string) => Promise<Store>;
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
  const { output, signal, env, cwd } = context;
  const surroundings = { signal, env, cwd, warn: output.warn };
  const searchPath = osSearchPath({ flags: options.osPath ?? [], env });
  const stateDirectory = options.stateDir ?? env['GANTRY_STATE_DIR'];
  const configured = readConfiguration(context, options);
  const { configuration } = configured;
  const ofInstance = async (address: string): Promise<OpenContext> => ({
    ...surroundings,
    // A word that may be the name of an inventory: only then the configuration is needed.
    ...(isName(address) || startsWithName(address) ? { inventories: (await configuration()).inventories } : {}),
  });
  const open: Session['open'] = async (address, access, policy) => {
    const url = isName(address) ? (namedStore(await configuration(), address)?.url ?? address) : address;
    return await openStore(url, surroundings, { access, bytesPerSecond: await configured.rate({ store: address, policy }, access) });
  };
  return {
    ...context,
    ...configured,
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
    open,
    openSealed: async (address, access, flags, policy) => {
      const { identities = [] } = await configured.settings({ store: address, policy }, access);
      const unseal = await unsealBy(context, flags, identities);
      return unseal(await open(address, access, policy));
    },
    openPeer: (address, program) => openPeer(address, surroundings, program),
    describe: async (address) => await openInstance(address, await ofInstance(address)),
    describeAnywhere: async (address) => await openInstanceAnywhere(address, await ofInstance(address)),
    openSourceOf: async (address) => await openSourceOf(address, await ofInstance(address)),
    openInstances: async (address) => await openInstanceSource(address, await ofInstance(address)),
  };
}

function readConfiguration(
  { output, env, cwd, signal, configFile }: CliContext,
  { policy: ofOption, limitRate }: CommonOptions,
): Pick<Session, 'configuration' | 'settings' | 'rate'> {
  let loaded: Promise<Configuration> | undefined;
  const load = async (): Promise<Configuration> => {
    const configuration = await loadConfiguration({ env, cwd, file: configFile, signal });
    if (ofOption !== undefined) lowerPriority(policyNamed(configuration, ofOption).priority);
    return configuration;
  };
  const configuration = (): Promise<Configuration> => (loaded ??= load());
  let hasWarned = false;
  /** On a rescue host, a configuration that cannot be used must not stand between somebody and the exports. */
  const usable = async ({ store, policy }: SettingsScope, access: Access): Promise<Configuration | undefined> => {
    try {
      return await configuration();
    } catch (error) {
      const isNeeded = access === 'write' || configFile !== undefined || policy !== undefined || store === undefined || isName(store);
      if (isNeeded || !(error instanceof GantryError) || !error.code.startsWith('CONFIGURATION_')) throw error;
      if (!hasWarned)
        output.warn(`the configuration does not count, nor its limits of the rate and allowed signers: ${error.message} [${error.code}]`);
      hasWarned = true;
      return undefined;
    }
  };
  return {
    configuration,
    settings: async ({ store, policy = ofOption }, access = 'write') => {
      const configured = await usable({ store, policy }, access);
      const named = store === undefined || isName(store) ? store : comparableUrl(store, cwd);
      const layers = configured === undefined ? [] : [exportSettings(configured, { store: named, policy })];
      return mergeSettings([...layers, settingsOfEnvironment({ env, cwd })]);
    },
    rate: async ({ store, policy = ofOption }, access = 'write') => {
      const most = maxRateOfEnvironment(env);
      const fixed = limitRate ?? limitOfEnvironment(env);
      if (fixed !== undefined) return cappedRate(fixed, most);
      const configured = await usable({ store, policy }, access);
      const limit = configured && rateLimitOf(configured, { store, policy });
      return cappedRate(limit && (() => rateAt(limit, new Date())), most);
    },
  };
}
