import { resolve } from 'node:path';
import type { Diagnosis, OsDefinition } from '@gantry/core';
import { checkOs, diagnoseDefinitions, selectOs } from '@gantry/core';
import { formatTable } from '../output/format.ts';
import type { CommonOptions, Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export interface CheckOptions extends CommonOptions {
  readonly parameter?: Readonly<Record<string, string>>;
}

export async function listDefinitions(session: Session): Promise<void> {
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
}

export async function showDefinitionOf(session: Session, args: readonly string[]): Promise<void> {
  const { definition } = await selectOs(argument(args, 0), {
    searchPath: session.osSearchPath,
    forceVariant: true,
    signal: session.signal,
  });
  session.output.result({ definition: describeDefinition(definition) }, showDefinition(definition));
}

export async function checkDefinition(session: Session, args: readonly string[], options: CheckOptions): Promise<void> {
  const name = argument(args, 0);
  const parameters = options.parameter ?? {};
  await checkOs({ ...session.operation, os: name, parameters });
  const count = Object.keys(parameters).length;
  session.output.result(
    { operation: 'os-check', os: name, parameters: Object.keys(parameters) },
    `${name} is valid${count === 0 ? '' : `, and so are its ${count} parameters`}`,
  );
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
