# shellcheck shell=bash
# What the benchmarks share, to be sourced in the project's folder: copies of an instance of the lab, which are made in bulk and removed again,
# and the call of a module on a host.

# With it the UUIDs of all copies begin.
readonly copies=be9c0000

# elements KIND REPEAT COUNT: their UUIDs
elements() {
  local i
  for ((i = 1; i <= $3; i++)); do printf '%s-%04x-4%03x-8000-%012x\n' "$copies" "$1" "$2" $(($3 * 1000 + i)); done
}

sql() { lab/lab exec controller mysql --batch --skip-column-names "$@"; }

# original NAME HOST: the UUID of an instance there, which is booted unless it is there
original() {
  ansible-playbook --inventory=lab/inventory.yml lab/boot.yml --extra-vars="lab_instance_name=$1 lab_instance_host=$2" >/dev/null
  sql nova <<<"SELECT uuid FROM instances WHERE display_name = '$1' AND deleted = 0 AND uuid NOT LIKE '$copies-%' ORDER BY id DESC LIMIT 1"
}

# copy TABLE COLUMN OLD NEW [MORE]: SQL that copies the rows that have OLD
copy() {
  printf "CREATE TEMPORARY TABLE copy SELECT * FROM %s WHERE %s = '%s'; UPDATE copy SET id = 0, %s = '%s'%s;\n" \
    "$1" "$2" "$3" "$2" "$4" "${5:-}"
  printf 'INSERT INTO %s SELECT * FROM copy; DROP TEMPORARY TABLE copy;\n' "$1"
}

# copy_rows UUID NEW STATE: SQL that copies the instance's rows; STATE is what its own row is set to, an hour ago
copy_rows() {
  local table
  copy instances uuid "$1" "$2" ", updated_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR, created_at = UTC_TIMESTAMP() - INTERVAL 1 DAY, $3"
  for table in instance_extra instance_info_caches instance_system_metadata nova_api.instance_mappings nova_api.request_specs; do
    copy "$table" instance_uuid "$1" "$2"
  done
  copy block_device_mapping instance_uuid "$1" "$2" ', uuid = UUID()'
}

# copy_allocation UUID NEW: SQL that copies what it has in Placement
copy_allocation() {
  copy placement.consumers uuid "$1" "$2"
  copy placement.allocations consumer_id "$1" "$2"
}

# What a zombie's row is set to.
# shellcheck disable=SC2034 # of those who source this
readonly zombie="vm_state = 'deleted', deleted = 1, deleted_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR"

# copy_domains HOST UUID: defines a copy of the instance's domain for each UUID of the standard input
copy_domains() {
  # shellcheck disable=SC2016 # expanded on the host
  lab/lab exec "$1" bash -c '
    virsh dumpxml --inactive "$1" >/tmp/bench-domain.xml
    while read -r uuid; do
      sed -e "s/$1/$uuid/" -e "s#<name>.*</name>#<name>$uuid</name>#" -e "/<mac /d" /tmp/bench-domain.xml >/tmp/bench-copy.xml
      virsh define /tmp/bench-copy.xml
    done' bench "$2" >/dev/null
}

# remove_copies: removes all copies, and what calls left of them
remove_copies() {
  local table host
  for host in compute1 compute2; do
    # shellcheck disable=SC2016 # expanded on the host
    lab/lab exec "$host" bash -c '
      for uuid in $(virsh list --all --uuid); do [[ $uuid != "$1"-* ]] || virsh undefine "$uuid"; done
      rm -rf /var/backups/nova-orphan/"$1"-* /var/lib/nova/instances/"$1"-*' bench "$copies" </dev/null >/dev/null
  done
  {
    printf "DELETE FROM placement.allocations WHERE consumer_id LIKE '%s-%%';\n" "$copies"
    printf "DELETE FROM placement.consumers WHERE uuid LIKE '%s-%%';\n" "$copies"
    printf "DELETE e FROM instance_actions_events e JOIN instance_actions a ON a.id = e.action_id WHERE a.instance_uuid LIKE '%s-%%';\n" "$copies"
    for table in instance_actions instance_extra instance_info_caches instance_system_metadata block_device_mapping instance_faults \
      nova_api.instance_mappings nova_api.request_specs; do
      printf "DELETE FROM %s WHERE instance_uuid LIKE '%s-%%';\n" "$table" "$copies"
    done
    printf "DELETE FROM instances WHERE uuid LIKE '%s-%%';\n" "$copies"
  } | sql nova
}

# install_module HOST MODULE
install_module() {
  lab/lab exec "$1" sh -c 'cat >/tmp/bench-module && chmod +x /tmp/bench-module' <"playbooks/library/$2"
}

# call_module HOST: calls what was installed there with the arguments of the standard input; prints the seconds, or its message if it fails
call_module() {
  lab/lab exec "$1" bash -c '
    cat >/tmp/bench-arguments
    TIMEFORMAT=%R
    { time /tmp/bench-module /tmp/bench-arguments >/tmp/bench-answer; } 2>&1
    python3 -c "import json, sys; a = json.load(open(\"/tmp/bench-answer\")); a.get(\"failed\") and sys.exit(a[\"msg\"][:1000])"'
}
