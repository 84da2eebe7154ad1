import type { Configuration } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import type { Figure, Sample } from '@gantry/programs';
import type { ExportOfRun } from './exports-of-run.ts';
import { exportsOf, problemsOf } from './exports-of-run.ts';
import type { RunHistory } from './run-history.ts';

const OUTCOMES = ['exported', 'copied', 'present', 'failed', 'left'] as const;

/** The figures of what the policies of the configuration did on this machine. */
export function figuresOf(histories: readonly RunHistory[], policies: Configuration['policies']): readonly Figure[] {
  return [...runFigures(histories), ...exportFigures(histories), maxAge(policies)].filter(({ samples }) => samples.length > 0);
}

function runFigures(histories: readonly RunHistory[]): readonly Figure[] {
  const runs = histories.flatMap(({ last }) => last ?? []);
  const each = (value: (run: PolicyRun) => number | undefined): readonly Sample[] =>
    runs.flatMap((run) => sampleOf({ policy: run.policy }, value(run)));
  return [
    {
      name: 'gantry_run_start_timestamp_seconds',
      unit: 'seconds',
      help: 'When the last run of the policy began, seconds since 1970.',
      samples: each(({ started }) => seconds(started)),
    },
    {
      name: 'gantry_run_duration_seconds',
      unit: 'seconds',
      help: 'How long the last run of the policy took.',
      samples: each(({ started, ended }) => (ended === undefined ? undefined : (Date.parse(ended) - Date.parse(started)) / 1000)),
    },
    {
      name: 'gantry_run_success',
      unit: '',
      help: '1 if the last run of the policy did all it should, else 0.',
      samples: each(({ outcome }) => Number(outcome === 'done')),
    },
    {
      name: 'gantry_run_problems',
      unit: '',
      help: 'What failed in the last run of the policy besides exports, such as verification and copies.',
      samples: each((run) => problemsOf(run).length),
    },
    {
      name: 'gantry_run_exports',
      unit: '',
      help: 'Exports of the last run of the policy, by what became of them.',
      samples: runs.flatMap((run) =>
        OUTCOMES.map((outcome) => ({
          labels: { policy: run.policy, outcome },
          value: exportsOf(run).filter((made) => made.outcome === outcome).length,
        })),
      ),
    },
  ];
}

function exportFigures(histories: readonly RunHistory[]): readonly Figure[] {
  const good = (value: (made: RunHistory['good'][number]) => number | undefined): readonly Sample[] =>
    histories.flatMap((history) => history.good.flatMap((made) => sampleOf(labelsOf(history, made), value(made))));
  return [
    {
      name: 'gantry_export_timestamp_seconds',
      unit: 'seconds',
      help: 'When the run began that made the last good export of the instance, or the export that a run found: seconds since 1970.',
      samples: good(({ at }) => seconds(at)),
    },
    {
      name: 'gantry_export_plain_bytes',
      unit: 'bytes',
      help: 'Plain bytes of the last good export of the instance.',
      samples: good(({ plainBytes }) => plainBytes),
    },
    {
      name: 'gantry_export_stored_bytes',
      unit: 'bytes',
      help: 'What the last good export of the instance stored.',
      samples: good(({ storedBytes }) => storedBytes),
    },
    {
      name: 'gantry_export_duration_seconds',
      unit: 'seconds',
      help: 'How long the last good export of the instance took.',
      samples: good(({ durationMs }) => (durationMs === undefined ? undefined : durationMs / 1000)),
    },
    {
      name: 'gantry_export_failed',
      unit: '',
      help: '1 if the last run of the policy could not export the instance, else 0.',
      samples: histories.flatMap((history) =>
        (history.last === undefined ? [] : exportsOf(history.last)).map((made) => ({
          labels: labelsOf(history, made),
          value: Number(made.outcome === 'failed'),
        })),
      ),
    },
  ];
}

function maxAge(policies: Configuration['policies']): Figure {
  const samples = [...policies.values()].flatMap(({ name, maxAgeMs }) =>
    sampleOf({ policy: name }, maxAgeMs === undefined ? undefined : maxAgeMs / 1000),
  );
  return { name: 'gantry_policy_max_age_seconds', unit: 'seconds', help: 'How old the last good export of an instance may be.', samples };
}

function labelsOf({ policy }: RunHistory, { instance, store = '' }: Pick<ExportOfRun, 'instance' | 'store'>): Sample['labels'] {
  return { policy, instance, store };
}

function sampleOf(labels: Sample['labels'], value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [{ labels, value }];
}

function seconds(time: string): number {
  return Date.parse(time) / 1000;
}
