import type { Certificate } from './certificate.ts';

/** The ports of a cluster: two from `monitor` on, forty from `osd` on. */
export interface CephPorts {
  readonly monitor: number;
  readonly osd: number;
  readonly http: number;
  readonly https: number;
}

export interface CephConfOptions {
  readonly directory: string;
  readonly fsid: string;
  readonly ports: CephPorts;
  readonly certificate: Certificate;
  readonly store: 'memory' | 'disk';
}

/** The gateway's only key for SSE-KMS. */
export const KMS_KEY_ID = 'test-key';

/** The configuration of a test cluster with one monitor, one OSD and one gateway: no internal authentication, no replicas. */
export function cephConf({ directory, fsid, ports, certificate, store }: CephConfOptions): string {
  return `[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${ports.monitor},v1:127.0.0.1:${ports.monitor + 1}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = ${directory}
log_file = ${directory}/log/$name.log
admin_socket = ${directory}/$name.asok
pid_file = ${directory}/$name.pid
crash_dir = ${directory}
ms_mon_client_mode = crc
ms_bind_ipv6 = false
ms_bind_port_min = ${ports.osd}
ms_bind_port_max = ${ports.osd + 39}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05

[mon]
mon_data = ${directory}/mon
mon_cluster_log_file = ${directory}/log/cluster.log
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 1
mon_data_avail_crit = 0

[osd]
osd_data = ${directory}/osd
osd_objectstore = ${store === 'memory' ? 'memstore' : 'bluestore'}
osd_class_load_list = *
osd_class_default_list = *
memstore_device_bytes = 12884901888
bluestore_block_size = 34359738368
bluestore_block_create = true
bluestore_fsck_on_mkfs = false

[client.rgw]
rgw_data = ${directory}/rgw
rgw_frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:${ports.http} ssl_endpoint=127.0.0.1:${ports.https} ssl_certificate=${certificate.certFile} ssl_private_key=${certificate.keyFile}
rgw_dns_name = localhost
rgw_rados_pool_pg_num_min = 4
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = ${KMS_KEY_ID}=${Buffer.alloc(32, 'gantry').toString('base64')}
rgw_crypt_require_ssl = false
rgw_enable_usage_log = false
rgw_gc_obj_min_wait = 10
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
rgw_thread_pool_size = 64
`;
}
