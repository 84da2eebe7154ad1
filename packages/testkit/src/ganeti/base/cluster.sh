# Sourced by lab.sh and node.sh: names, addresses, and the cluster itself.
nodes='node1 node2'

# Instances have the addresses from 10.77.0.101 on.
address_of() {
  case $1 in
  host) echo 10.77.0.1 ;;
  gnt) echo 10.77.0.10 ;;
  node*) echo "10.77.0.1${1#node}" ;;
  inst*) echo "10.77.0.$((100 + ${1#inst}))" ;;
  esac
}

write_hosts() {
  echo '127.0.0.1 localhost'
  for name in host gnt $nodes $(seq -f 'inst%g' 99); do echo "$(address_of "$name") $name.example.com $name"; done
}

# in_node NODE COMMAND…
in_node() {
  local number=${1#node}
  shift
  set -- "$(echo $pids | cut -d ' ' -f "$number")" "$@"
  nsenter --target "$1" --mount --uts --net --ipc --pid --root --wd \
    env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

init_cluster() {
  local node ssh=/root/.ssh
  for node in $nodes; do
    in_node "$node" sh -ec '
      mkdir -p /srv/ganeti/file-storage /srv/ganeti/shared /srv/ganeti/os
      printf "%s\n" /srv/ganeti/file-storage /srv/ganeti/shared >/etc/ganeti/file-storage-paths
      echo "RAPI_ARGS=--bind=0.0.0.0" >>/etc/default/ganeti'
  done
  in_node node1 gnt-cluster init --master-netdev=eth0 --enabled-hypervisors=fake,kvm --enabled-disk-templates=file,sharedfile,diskless \
    --file-storage-dir=/srv/ganeti/file-storage --shared-file-storage-dir=/srv/ganeti/shared --nic-parameters=link=br0 \
    --hypervisor-parameters=kvm:kernel_path=,vnc_bind_address=,use_chroot=False,security_model=none \
    --ipolicy-bounds-specs=min:disk-size=1,cpu-count=1,disk-count=0,memory-size=1,nic-count=0,spindle-use=0/max:disk-size=1048576,cpu-count=8,disk-count=16,memory-size=32768,nic-count=8,spindle-use=12 \
    gnt.example.com
  # The key that the cluster made.
  in_node node1 cat $ssh/id_rsa.pub | in_node node2 sh -ec "mkdir -p -m 700 $ssh; cat >$ssh/authorized_keys"
  in_node node1 gnt-node add --no-ssh-key-check node2.example.com
  # In place at once with its content and owner: ganeti-rapi reads it once, as soon as it sees it.
  in_node node1 sh -ec '
    cd /var/lib/ganeti/rapi
    echo "gantry rapi-secret write" >.users
    chown gnt-rapi:gnt-masterd .users
    chmod 640 .users
    mv .users users
    gnt-cluster copyfile /var/lib/ganeti/rapi/users
    gnt-network add --network=10.78.0.0/24 --gateway=10.78.0.1 --network6=2001:db8:78::/64 --gateway6=2001:db8:78::1 \
      --mac-prefix=aa:11:22 --tags=vlan78,prod lan78
    gnt-network connect -N mode=bridged,link=br1 lan78 default'
  for node in node2 node1; do in_node "$node" /usr/lib/ganeti/daemon-util stop-all; done
  for node in $nodes; do cp -a "$work/$node/upper" "$base/$node"; done
}

start_cluster() {
  local util=/usr/lib/ganeti/daemon-util
  # A master asks the other nodes whether they agree.
  in_node node2 $util start ganeti-noded &
  in_node node1 $util start ganeti-noded
  wait $!
  in_node node1 $util start-master
  # For a client outside of the network.
  in_node node1 socat UNIX-LISTEN:/run/rapi.sock,fork TCP:127.0.0.1:5080 >&2 &
  until in_node node1 gnt-cluster getmaster >&2; do sleep 0.1; done
}
