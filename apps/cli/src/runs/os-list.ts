import type { Diagnosis } from '@gantry/core';
import { diagnoseDefinitions } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import { definitionAsJson } from '../output/definition.ts';
import type { Session } from '../session.ts';

/** Runs `gantry os list`. */
export async function run(session: Session): Promise<void> {
  const diagnoses = await diagnoseDefinitions(session.osSearchPath, session.signal);
  session.output.result(
    { operation: 'os-list', searchPath: session.osSearchPath, definitions: diagnoses.map(diagnosisAsJson) },
    describe(diagnoses),
  );
}

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
