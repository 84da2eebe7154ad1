/*
 * An instance as core works with it: checked, paths absolute. Field names are Ganeti's own (docs/reference/formats/instance-file.md).
 */

export type DiskAccess = 'rw' | 'ro';
export type DiskBackendType = 'block' | 'file:loop' | 'file:blktap' | 'file:blktap2';
export type NicMode = 'bridged' | 'routed' | 'openvswitch' | 'ext';

export interface Disk {
  /** Absolute path of a block device or regular file; absent only where `uri` is given. */
  readonly path?: string;
  /** Userspace URI, such as `rbd:pool/image`. */
  readonly uri?: string;
  /** MiB, rounded up; absent if it was neither given nor read from the device yet. */
  readonly size?: number;
  readonly access: DiskAccess;
  readonly name?: string;
  readonly uuid?: string;
  readonly frontend_type?: string;
  /** Absent if the file does not say and the device was not examined yet. */
  readonly backend_type?: DiskBackendType;
}

export interface Network {
  readonly name: string;
  readonly uuid?: string;
  readonly subnet?: string;
  readonly gateway?: string;
  readonly subnet6?: string;
  readonly gateway6?: string;
  readonly mac_prefix?: string;
  readonly tags: readonly string[];
}

export interface Nic {
  readonly mac: string;
  readonly ip?: string;
  readonly mode: NicMode;
  readonly link: string;
  readonly vlan?: string;
  readonly name?: string;
  readonly uuid?: string;
  readonly frontend_type?: string;
  readonly network?: Network;
}

/** Parameters as scripts and `config.ini` see them: text. */
export type Parameters = Readonly<Record<string, string>>;

export interface Instance {
  readonly name: string;
  /** `os` or `os+variant`, as given. */
  readonly os: string;
  readonly hypervisor: string;
  readonly uuid?: string;
  readonly primary_node: string;
  readonly secondary_nodes: readonly string[];
  readonly disk_template?: string;
  readonly tags: readonly string[];
  readonly disks: readonly Disk[];
  readonly nics: readonly Nic[];
  readonly osparams: Parameters;
  /** Never shown, logged or exported unless requested. */
  readonly osparams_private: Parameters;
  readonly beparams: Parameters;
  readonly hvparams: Parameters;
}
