import { createHash } from 'node:crypto';
import type { Occurrence } from '@gantry/policies';
import { uuidOfName } from './uuid.ts';

/** Made at random once, for names of exports that a fleet plans. */
const NAMESPACE = '0b9f1c52-5d0e-4b59-9a44-8c1d2a7f6e31';

/**
 * What is done beside exports. `store`: what follows the exports of a policy at one of its stores: copies into it, or verification and
 * retention. `restore`: an instance is restored, because a user asked for it.
 */
export type Work = 'store' | 'restore';

/** What a fleet works on: an instance or a store, by what a policy says of it. */
export interface Subject {
  readonly policy: string;
  /** For work at a store, the name of that. */
  readonly instance: string;
  /** Absent: it is exported. */
  readonly work?: Work | undefined;
  /** Of a restore: it only says what it would overwrite. */
  readonly dryRun?: boolean | undefined;
}

/** The export of an instance in one occurrence of its policy's window, or work at a store after one. */
export interface PlannedJob extends Subject {
  /** {@link jobId} of its subject and window. */
  readonly id: string;
  /** The node whose agent is to run it. */
  readonly node: string;
  /** When it may begin. */
  readonly window: Occurrence;
  /** Of work at a store: exports that began since then are new. */
  readonly since?: Date | undefined;
  /** Names of the stores that it is written into. */
  readonly stores?: readonly string[] | undefined;
  /** It does not begin earlier. */
  readonly startAfter: Date;
  /** Higher ones come first. */
  readonly priority: number;
}

/**
 * The id of what is done with a subject in the window that begins then. Two planners, or one that is started again, find the same one, so that a
 * window has each export once.
 */
export function jobId({ policy, instance, work }: Subject, windowBegin: Date): string {
  const parts = [policy, instance, windowBegin.toISOString()];
  return uuidOfName(NAMESPACE, JSON.stringify(work === undefined ? parts : [...parts, work]));
}

/**
 * When the export of a subject begins in a window: each has its own place in the first part of it, the same every night, so that not all of
 * a policy begin at once.
 *
 * @param spread how much of the window the beginnings fill, from 0 to 1
 */
export function startIn({ begin, end }: Occurrence, subject: Subject, spread: number): Date {
  const place = createHash('sha256').update(subjectKey(subject)).digest().readUInt32BE(0) / 2 ** 32;
  return new Date(begin.getTime() + Math.floor((end.getTime() - begin.getTime()) * spread * place));
}

/** A text that no other subject has. */
export function subjectKey({ policy, instance, work, dryRun }: Subject): string {
  if (work === undefined) return JSON.stringify([policy, instance]);
  return JSON.stringify([policy, instance, work, ...(dryRun === true ? ['dry run'] : [])]);
}

/** Whether an instance is exported, rather than something done beside exports. */
export function isExport({ work }: Pick<Subject, 'work'>): boolean {
  return work === undefined;
}

/** A subject in words, without its policy. */
export function subjectText({ instance, work, dryRun }: Pick<Subject, 'instance' | 'work' | 'dryRun'>): string {
  if (work === undefined) return instance;
  return `${dryRun === true ? 'dry run of ' : ''}${work} ${instance}`;
}

/** That of work at stores: exports come first. */
export const STORE_PRIORITY = 0;
/** That of an instance that was never exported. One minute more of age counts 1. */
export const MAX_PLANNED_PRIORITY = 10_000_000;
/** What a user asked for comes before everything that is planned. */
export const ASKED_PRIORITY = 100_000_000;
/** Who asks for a restore waits for it. */
export const RESTORE_PRIORITY = 1_000_000_000;

const MINUTE_MS = 60_000;

/** The priority of an export: the older the last one, the higher. */
export function priorityOf(lastGood: Date | undefined, now: Date): number {
  if (lastGood === undefined) return MAX_PLANNED_PRIORITY;
  const minutes = Math.floor((now.getTime() - lastGood.getTime()) / MINUTE_MS);
  return Math.min(MAX_PLANNED_PRIORITY - 1, Math.max(0, minutes));
}
