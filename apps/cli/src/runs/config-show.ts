import type { Configuration, ExplainedSetting, Origin, SettingsScope } from '@gantry/config';
import { explainSettings, isName, namedStore, policyNamed, withoutSecret, writtenValues } from '@gantry/config';
import { GantryError, nearestNames } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import { settingsOfEnvironment, variablesOf } from '../command-line/environment.ts';
import type { Session } from '../session.ts';

/** Runs `gantry config show`. */
export async function run(
  session: Session,
  [store]: readonly [string | undefined],
  { policy }: { readonly policy: string | undefined },
): Promise<void> {
  const configuration = await session.configuration();
  if (store === undefined && policy === undefined) showWritten(session, configuration);
  else showSettings(session, configuration, scopesOf(configuration, { store, policy }));
}

function showWritten({ output, env }: Session, configuration: Configuration): void {
  const { files } = configuration;
  const values = writtenValues(configuration).map(({ path, text, origin }) => ({
    path,
    value: text,
    file: origin.file,
    line: origin.line,
  }));
  const variables = Object.values(variablesOf(env)).map(({ variable: name, text }) => ({ name, value: withoutSecret(text) }));
  const rows = [
    ...values.map(({ path, value, file, line }) => [path, value, `${file}:${line}`]),
    ...variables.map(({ name, value }) => [name, value, 'environment']),
  ];
  const read = files.length === 0 ? ['no configuration file is there'] : files.map((file) => `read ${file}`);
  const table = rows.length === 0 ? [] : ['', ...formatTable([['SETTING', 'VALUE', 'FROM'], ...rows])];
  output.result({ operation: 'config-show', files, values, variables }, [...read, ...table]);
}

interface Scope extends SettingsScope {
  readonly store: string;
}

/** A policy alone is shown for each of its stores. @throws GantryError `USAGE` */
function scopesOf(configuration: Configuration, { store, policy }: SettingsScope): readonly Scope[] {
  if (store === undefined) return policyNamed(configuration, policy ?? '').stores.map((each) => ({ policy, store: each }));
  if (!isName(store) || namedStore(configuration, store) !== undefined) return [{ policy, store }];
  const known = [...configuration.stores.keys()];
  const [nearest] = nearestNames(store, known);
  throw new GantryError('USAGE', {
    message: `there is no store ${JSON.stringify(store)} in the configuration`,
    hint: nearest === undefined ? `It has ${known.length === 0 ? 'no stores' : known.join(', ')}.` : `Did you mean ${nearest}?`,
  });
}

function showSettings({ output, env, cwd }: Session, configuration: Configuration, scopes: readonly Scope[]): void {
  const environment = { texts: variablesOf(env), settings: settingsOfEnvironment({ env, cwd }) };
  const explained = scopes.map((scope) => ({ scope, settings: explainSettings(configuration, scope, environment) }));
  const settings = explained.flatMap(({ scope: { store }, settings: those }) =>
    those.map(({ name, text: value, from, origin }) => ({ store, name, value, from, file: origin?.file, line: origin?.line })),
  );
  const lines = explained.flatMap(({ scope, settings: those }, index) => (index === 0 ? [] : ['']).concat(describe(scope, those)));
  output.result({ operation: 'config-show', files: configuration.files, policy: scopes[0]?.policy, settings }, lines);
}

function describe({ store, policy }: Scope, settings: readonly ExplainedSetting[]): readonly string[] {
  const heading = `exports into ${store}${policy === undefined ? '' : ` by the policy ${policy}`}:`;
  return [heading, ...formatTable([['SETTING', 'VALUE', 'FROM'], ...settings.map(rowOf)])];
}

function rowOf({ name, text, from, origin }: ExplainedSetting): readonly string[] {
  return [name, text, origin === undefined ? from : `${from} (${placeOf(origin)})`];
}

function placeOf({ file, line }: Origin): string {
  return `${file}:${line}`;
}
