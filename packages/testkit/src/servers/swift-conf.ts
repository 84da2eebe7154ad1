/** Shared by all servers of the cluster. */
export const SWIFT_CONF = `[swift-hash]
swift_hash_path_suffix = gantrytest
swift_hash_path_prefix = gantrytest

[storage-policy:0]
name = gold
default = yes

[swift-constraints]
max_header_size = 32768
`;

/** The configuration of an account, container or object server. */
export function storageConf(directory: string, { name, port }: { readonly name: string; readonly port: number }): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
swift_dir = ${directory}/etc
devices = ${directory}/srv
mount_check = false
user = root
workers = 0
disable_fallocate = true
fallocate_reserve = 0
log_address = /dev/null
log_level = WARNING

[pipeline:main]
pipeline = ${name}-server

[app:${name}-server]
use = egg:swift#${name}
lock_path = ${directory}/lock
`;
}

/** The configuration of the proxy, with the S3 API in its pipeline. */
export function proxyConf(directory: string, port: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
swift_dir = ${directory}/etc
user = root
workers = 0
log_address = /dev/null
log_level = WARNING

[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:proxy-logging]
use = egg:swift#proxy_logging

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:bulk]
use = egg:swift#bulk

[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
check_bucket_owner = false
allow_multipart_uploads = true
max_upload_part_num = 10000
min_segment_size = 5242880
dns_compliant_bucket_names = true
force_swift_request_proxy_log = false

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
max_manifest_size = 8388608

[filter:dlo]
use = egg:swift#dlo

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true

[filter:symlink]
use = egg:swift#symlink
`;
}
