#!/usr/bin/env bash
# `ray up` of cluster.yaml against an ssh server on this machine, in namespaces of its own: processes, mounts, network.
# Run by test_cluster_up.py as `unshare --pid --fork --mount-proc --kill-child --net --mount cluster_namespace.sh
# FOLDER PYTHON ROOT`. Ray stops every Ray process it sees: here it sees none but its own, which is checked first.
set -euo pipefail
folder=$1 python=$2 root=$3
export HOME=$folder/home

for entry in /proc/[0-9]*; do
    if tr '\0' ' ' <"$entry/cmdline" 2>/dev/null | grep -Eq 'raylet|gcs_server|^ray::'; then
        echo "processes from outside can be seen: not safe" >&2
        exit 3
    fi
done
ip link set lo up

# the ssh user of cluster.yaml, with a home in FOLDER: an entry in a copy of the account files that only we see
mkdir -p "$HOME/.ssh" "$folder/ray" /tmp/ray /run/sshd
chmod 700 "$HOME" "$HOME/.ssh"
mount --bind "$folder/ray" /tmp/ray
{ echo "flipsync:x:0:0::$HOME:/bin/bash"; cat /etc/passwd; } >"$folder/passwd"
{ echo "flipsync:*:19000:0:99999:7:::"; cat /etc/shadow; } >"$folder/shadow"
chmod 600 "$folder/shadow"
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/shadow" /etc/shadow
ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
cp "$HOME/.ssh/id_ed25519.pub" "$HOME/.ssh/authorized_keys"
ssh-keygen -q -t ed25519 -N '' -f "$folder/host_key"
/usr/sbin/sshd -f /dev/null -E "$folder/sshd.log" -h "$folder/host_key" -o ListenAddress=127.0.0.1 -o Port=22 \
    -o UsePAM=no -o PidFile=none -o PasswordAuthentication=no -o PermitRootLogin=prohibit-password -o StrictModes=no

# what `python3.11 -m venv` and pip would make over there, from what is installed here: there is no network
"$python" -m venv --without-pip "$HOME/flipsync-venv"
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$(echo "$HOME"/flipsync-venv/lib/python3*/site-packages)/installed.pth"
echo "$HOME/flipsync" >>"$(echo "$HOME"/flipsync-venv/lib/python3*/site-packages)/installed.pth"
printf '#!/bin/sh\nexec %s/flipsync-venv/bin/python -m ray.scripts.scripts "$@"\n' "$HOME" >"$HOME/flipsync-venv/bin/ray"
chmod 755 "$HOME/flipsync-venv/bin/ray"
grep -v 'pip install' "$root/cluster.yaml" >"$folder/cluster.yaml"

cd "$root"
export RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=
"$python" -m ray.scripts.scripts up "$folder/cluster.yaml" --yes --no-config-cache </dev/null >"$folder/up.log" 2>&1

cd / # workers import from where their driver stands, too
export RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
"$HOME/flipsync-venv/bin/python" - <<'CHECK'
import json, os, pathlib, subprocess, sys
import ray, flipsync
from flipsync.embedded.ports import listeners
os.environ["RAY_AUTH_TOKEN_PATH"] = str(pathlib.Path.home() / ".ray" / "auth_token")
ray.init(address="127.0.0.1:6379", log_to_driver=False)

@ray.remote
def where():
    import agents, flipsync
    return [agents.__file__, flipsync.__file__]

said = {
    "nodes": [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]],
    "task": ray.get(where.remote(), timeout=60),
    "open": [str(one) for one in listeners() if not one.loopback],
    "token_mode": oct((pathlib.Path.home() / ".ray" / "auth_token").stat().st_mode & 0o777),
}
ray.shutdown()
stranger = subprocess.run(
    [sys.executable, "-c", "import ray; ray.init(address='127.0.0.1:6379', log_to_driver=False)"],
    env={**os.environ, "RAY_AUTH_TOKEN_PATH": "/dev/null", "RAY_AUTH_TOKEN": "0" * 64}, capture_output=True, text=True,
)
said["stranger"] = [stranger.returncode, stranger.stderr[-2000:]]
print("SAID", json.dumps(said), flush=True)
CHECK
cd "$root"
"$python" -m ray.scripts.scripts down "$folder/cluster.yaml" --yes </dev/null >"$folder/down.log" 2>&1
for _ in {1..60}; do # the last of them go within moments
    left=$(for entry in /proc/[0-9]*; do
        tr '\0' ' ' 2>/dev/null <"$entry/cmdline" | grep -E 'raylet|gcs_server|^ray::' || true
    done)
    [[ -z $left ]] && break
    sleep 0.5
done
echo "LEFT ${left:-nothing}"
