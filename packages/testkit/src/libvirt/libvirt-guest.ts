import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeGuestInitrd } from '../machines/guest-initrd.ts';
import { machineImage } from '../machines/image.ts';
import { WRITER_PAUSE } from '../machines/writing-guest.ts';
import type { Libvirtd } from './libvirtd.ts';

export interface LibvirtDisk {
  readonly file: string;
  /** `raw` where absent. */
  readonly format?: 'raw' | 'qcow2' | undefined;
  /** More attributes of its driver, such as `error_policy='report'`. */
  readonly driver?: string;
  /** XML of further elements, such as `<transient/>`. */
  readonly elements?: string;
}

export interface LibvirtGuestOptions {
  readonly name: string;
  /** A new one where absent. */
  readonly uuid?: string;
  /** They become vda, vdb and so on. `writes` needs two of the same size: a power of two of blocks of 4 KiB. */
  readonly disks: readonly LibvirtDisk[];
  /**
   * What it does: `answers` says how the first line of each disk begins, repeats lines, and shuts down when it is asked to; `writes` writes
   * numbered blocks, for `writtenUpTo`.
   */
  readonly does: 'answers' | 'writes';
  /**
   * For `writes`: a raw disk with an ext4, which becomes the last disk. The guest mounts it, writes to it all the while, and has Debian's
   * guest agent; the machine must have the package qemu-guest-agent.
   */
  readonly agentFiles?: string;
  /** XML of further devices. */
  readonly devices?: string;
  /** XML of further elements of the domain, such as `<title>`. */
  readonly elements?: string;
  /** XML of further elements in `<os>`, such as `<loader>`. */
  readonly os?: string;
}

/** A guest that libvirtd knows. It ends with libvirtd. */
export interface LibvirtGuest {
  readonly name: string;
  readonly uuid: string;
  /** Resolves when its console, since its last start, has text that matches. @returns the match @throws Error after two minutes */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  /** The number that a guest which writes wrote last to both disks. */
  written(): Promise<number>;
  /** Has what it says logged again: a domain that Gantry defined has no such file. It must be stopped. */
  log(): Promise<void>;
  /** Sends a line to its console. */
  tell(line: string): Promise<void>;
}

const INITS = {
  writes: fileURLToPath(new URL('../../src/machines/writer-init.sh', import.meta.url)),
  answers: fileURLToPath(new URL('../../src/libvirt/answering-init.sh', import.meta.url)),
};
/** Power button, and what reads it. */
const MODULES = ['drivers/acpi/button', 'drivers/input/evdev'];
/** The line to the agent. */
const AGENT_MODULES = ['drivers/char/virtio_console'];
const AGENT_CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
/** For a kernel to start in an emulated processor, on a busy machine, ms. */
const PATIENCE_MS = 300_000;

/** Defines a guest of 256 MiB, stopped. Started, its kernel needs 5 to 15 s. Needs what the machines' image needs. */
export async function defineLibvirtGuest(libvirtd: Libvirtd, options: LibvirtGuestOptions): Promise<LibvirtGuest> {
  const { name, does, uuid = randomUUID() } = options;
  const directory = join(libvirtd.directory, `guest-${uuid}`);
  await mkdir(directory);
  const image = await machineImage();
  const hasAgent = options.agentFiles !== undefined;
  const modules = [...(does === 'answers' ? MODULES : []), ...(hasAgent ? AGENT_MODULES : [])];
  const programs = hasAgent ? ['/usr/sbin/qemu-ga'] : [];
  const initrd = await makeGuestInitrd({ image, directory, init: INITS[does], modules, programs });
  const file = join(directory, 'domain.xml');
  await writeFile(file, domainXml({ ...options, uuid }, { kernel: join(image, 'vmlinux'), initrd, directory }));
  await libvirtd.virsh('define', file);
  const log = async (): Promise<void> => {
    const xml = await libvirtd.virsh('dumpxml', '--inactive', uuid);
    await writeFile(file, xml.replace(/<source mode='bind' path='[^']*\/console\.sock'\/>/, `$&${logXml(directory)}`));
    await libvirtd.virsh('define', file);
  };
  return { name, uuid, log, ...libvirtConsole(directory) };
}

/** The console of a guest that was defined with this directory's paths. */
function libvirtConsole(directory: string): Pick<LibvirtGuest, 'says' | 'written' | 'tell'> {
  const log = async (): Promise<string> => await readFile(join(directory, 'console.log'), 'utf8').catch(() => '');
  return {
    async says(pattern) {
      const end = performance.now() + PATIENCE_MS;
      for (;;) {
        const text = await log();
        const match = pattern.exec(text);
        if (match !== null) return match;
        if (performance.now() > end) throw new Error(`the guest did not say ${String(pattern)}, but: ${text.slice(-2000)}`);
        await delay(50);
      }
    },
    written: async () => Number([...(await log()).matchAll(/wrote (\d+)\r?\n/g)].at(-1)?.[1] ?? 0),
    tell: async (line) =>
      await new Promise((resolve, reject) => {
        const socket = connect(join(directory, 'console.sock'));
        socket.once('error', reject).once('close', () => resolve());
        socket.resume().end(`${line}\n`);
      }),
  };
}

interface Files {
  readonly kernel: string;
  readonly initrd: string;
  readonly directory: string;
}

function domainXml(options: LibvirtGuestOptions & { readonly uuid: string }, { kernel, initrd, directory }: Files): string {
  const { name, uuid, disks, agentFiles, elements = '', os = '', devices = '' } = options;
  // What the kernel does not know itself it hands to the first process, as its environment.
  const environment = `disks=${disks.length} DISKS=${disks.length} ${WRITER_PAUSE}${agentFiles === undefined ? '' : ' AGENT=1'}`;
  const agent = agentFiles === undefined ? '' : diskXml({ file: agentFiles, serial: 'files' }, disks.length) + AGENT_CHANNEL;
  return `<domain type='qemu'>
  <name>${escapeXml(name)}</name><uuid>${uuid}</uuid>${elements}
  <memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>${os}
    <kernel>${escapeXml(kernel)}</kernel><initrd>${escapeXml(initrd)}</initrd>
    <cmdline>console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check ${environment}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'><feature policy='disable' name='la57'/></cpu>
  <on_reboot>destroy</on_reboot>
  <devices>
    ${disks.map(diskXml).join('')}${agent}
    <serial type='unix'>
      <source mode='bind' path='${escapeXml(directory)}/console.sock'/>${logXml(directory)}
    </serial>
    <memballoon model='none'/>${devices}
  </devices>
</domain>
`;
}

function logXml(directory: string): string {
  return `<log file='${escapeXml(directory)}/console.log' append='off'/>`;
}

function diskXml(
  { file, format = 'raw', driver = '', elements = '', serial }: LibvirtDisk & { readonly serial?: string },
  index: number,
): string {
  return `<disk type='file' device='disk'><driver name='qemu' type='${format}' cache='none' discard='unmap' ${driver}/>
      <source file='${escapeXml(file)}'/><target dev='vd${String.fromCodePoint(0x61 + index)}' bus='virtio'/>
      ${serial === undefined ? '' : `<serial>${serial}</serial>`}${elements}</disk>`;
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' };

function escapeXml(text: string): string {
  return text.replace(/[&<>'"]/g, (character) => ESCAPES[character] ?? character);
}
