import type { Diagnosis } from '@gantry/core';
import { diagnoseDefinitions } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH } from '../command-line/options.ts';
import { definitionAsJson } from '../output/definition.ts';
import { formatTable } from '../output/format.ts';

const command: CommandModule = defineCommand({
  arguments: [],
  options: OS_PATH,
  examples: ['gantry os list', 'gantry os list --os-path /srv/os'],
  run: async (session) => {
    const diagnoses = await diagnoseDefinitions(session.osSearchPath, session.signal);
    session.output.result(
      { operation: 'os-list', searchPath: session.osSearchPath, definitions: diagnoses.map(diagnosisAsJson) },
      describe(diagnoses),
    );
  },
});

export default command;

/** A table, and below it what is wrong: a column of reasons would make the table too wide. */
function describe(diagnoses: readonly Diagnosis[]): readonly string[] {
  const reasons = diagnoses.flatMap((diagnosis) =>
    diagnosis.valid ? [] : diagnosis.reasons.map((reason) => `${diagnosis.name} is invalid: ${reason}`),
  );
  const table = formatTable([['NAME', 'STATE', 'API', 'OPERATIONS', 'DIRECTORY'], ...diagnoses.map(describeRow)]);
  return [...table, ...(reasons.length === 0 ? [] : ['', ...reasons])];
}

function describeRow(diagnosis: Diagnosis): readonly string[] {
  const { name, directory = 'built in' } = diagnosis;
  if (!diagnosis.valid) return [name, 'INVALID', '-', '-', directory];
  const { apiVersion, operations } = diagnosis.definition;
  return [name, 'valid', String(apiVersion), [...operations].toSorted().join(','), directory];
}

function diagnosisAsJson(diagnosis: Diagnosis): Record<string, unknown> {
  return diagnosis.valid ? { ...diagnosis, definition: definitionAsJson(diagnosis.definition) } : { ...diagnosis };
}
