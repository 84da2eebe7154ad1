import { resolve } from 'node:path';
import type { Diagnosis, OsDefinition } from '@gantry/core';
import { checkOs, diagnoseDefinitions, selectOs } from '@gantry/core';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { formatTable } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs, withOsPath, withScripts } from './common.ts';

interface CheckOptions extends CommonOptions {
  readonly parameter?: Readonly<Record<string, string>>;
}

export function addOsCommands(program: Command, surroundings: Surroundings): void {
  const os = program.command('os').description('OS definitions: what is there, and whether it is sound.');
  addListCommand(os, surroundings);
  addShowCommand(os, surroundings);
  addCheckCommand(os, surroundings);
}

function addListCommand(os: Command, surroundings: Surroundings): void {
  const command = withOsPath(
    newCommand(os, 'list', 'List every OS definition on the search path, broken ones too.', [
      'gantry os list',
      'gantry os list --os-path /srv/os',
    ]),
  );
  runs<CommonOptions>(command, surroundings, async (session) => {
    const diagnoses = await diagnoseDefinitions(session.osSearchPath, session.signal);
    const rows = diagnoses.map((diagnosis) => [
      diagnosis.name,
      diagnosis.valid ? 'valid' : 'INVALID',
      diagnosis.valid ? `${diagnosis.definition.apiVersion}` : '-',
      diagnosis.valid ? [...diagnosis.definition.operations].toSorted().join(',') : diagnosis.reasons.join('; '),
      diagnosis.directory ?? 'built in',
    ]);
    session.output.result(
      { searchPath: session.osSearchPath, definitions: diagnoses.map(describeDiagnosis) },
      formatTable([['NAME', 'STATE', 'API', 'OPERATIONS', 'DIRECTORY'], ...rows]),
    );
  });
}

function addShowCommand(os: Command, surroundings: Surroundings): void {
  const command = withOsPath(
    newCommand(os, 'show <name>', 'Show one OS definition: variants, parameters, hypervisors, operations.', [
      'gantry os show debootstrap',
      'gantry os show raw',
    ]),
  );
  runs<CommonOptions>(command, surroundings, async (session, args) => {
    const { definition } = await selectOs(argument(args, 0), {
      searchPath: session.osSearchPath,
      forceVariant: true,
      signal: session.signal,
    });
    session.output.result({ definition: describeDefinition(definition) }, showDefinition(definition));
  });
}

function addCheckCommand(os: Command, surroundings: Surroundings): void {
  const command = withScripts(
    newCommand(os, 'check <name>', 'Check an OS definition, and parameters against it with its verify script.', [
      'gantry os check debootstrap+bookworm',
      'gantry os check image -O filesystem=ext4 -O suite=bookworm',
    ]),
  ).option('-O, --parameter <name=value>', 'an OS parameter; may repeat', collectParameters);
  runs<CheckOptions>(command, surroundings, async (session, args, options) => {
    const name = argument(args, 0);
    const parameters = options.parameter ?? {};
    await checkOs({ ...session.operation, os: name, parameters });
    const count = Object.keys(parameters).length;
    session.output.result(
      { operation: 'os-check', os: name, parameters: Object.keys(parameters) },
      `${name} is valid${count === 0 ? '' : `, and so are its ${count} parameters`}`,
    );
  });
}

function collectParameters(text: string, previous: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be name=value.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

function describeDefinition(definition: OsDefinition): Record<string, unknown> {
  return { ...definition, operations: [...definition.operations].toSorted() };
}

function describeDiagnosis(diagnosis: Diagnosis): Record<string, unknown> {
  return diagnosis.valid ? { ...diagnosis, definition: describeDefinition(diagnosis.definition) } : { ...diagnosis };
}

function showDefinition(definition: OsDefinition): string {
  const list = (values: readonly string[] | undefined, none: string): string =>
    values === undefined || values.length === 0 ? none : values.join(', ');
  const rows = [
    ['name', definition.name],
    ['directory', definition.directory === undefined ? 'built in' : resolve(definition.directory)],
    ['API versions', `${definition.apiVersions.join(', ')} (${definition.apiVersion} is used)`],
    ['operations', list([...definition.operations].toSorted(), 'none')],
    ['variants', list(definition.variants, 'none')],
    ['hypervisors', list(definition.hypervisors, 'any')],
    [
      'parameters',
      list(
        definition.parameters.map(({ name }) => name),
        'none',
      ),
    ],
    ...definition.parameters.map(({ name, description }) => [`  ${name}`, description]),
  ];
  return formatTable(rows);
}
