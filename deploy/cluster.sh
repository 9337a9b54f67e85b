#!/usr/bin/env bash
# Several nodes on this machine, with a PostgreSQL and a Redis of their own and the demo; ended by Ctrl-C.
#
# NODES   how many, 2 to 9 (3)
# USHER   the program (the release build)
# BALANCER  haproxy or nginx: one before the nodes, by the example beside this file (none)
# DIR     where everything is kept (data/cluster); begun anew each time
set -euo pipefail
cd "$(dirname "$0")/.."

nodes=${NODES:-3}
usher=$(realpath "${USHER:-target/release/usher}")
dir=${DIR:-data/cluster}
http=18480 between=18450 metrics=18460 database=18432 redis=18379 sandbox=18481
# Where the examples of load balancers listen.
desk=18400
balancer=${BALANCER:-}
case $balancer in
"" | haproxy | nginx) ;;
*) echo "BALANCER is haproxy or nginx, not $balancer" >&2; exit 2 ;;
esac
if [ -n "$balancer" ] && [ "$nodes" != 3 ]; then
    echo "the examples of load balancers are for three nodes" >&2
    exit 2
fi

for port in $database $redis $sandbox ${balancer:+$desk}; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "something listens on port $port already; is another cluster running?" >&2
        exit 1
    fi
done

rm -rf "$dir"
mkdir -p "$dir/redis" "$dir/postgres"
dir=$(realpath "$dir")
bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -n 1)")

# PostgreSQL does not run as root.
as_server=()
if [ "$(id -u)" = 0 ]; then
    as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres: "$dir/postgres"
    # Where only root may go, it goes to a place of its own.
    if ! "${as_server[@]}" test -w "$dir/postgres"; then
        place=$(mktemp -d)
        chown postgres: "$place"
        rmdir "$dir/postgres"
        ln -s "$place" "$dir/postgres"
    fi
fi
data=$(realpath "$dir/postgres")

# Nodes know each other by it.
secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
pids=()
sleeper=
finish() {
    trap - EXIT INT TERM
    [ -z "$sleeper" ] || kill "$sleeper"
    echo "stopping"
    # The nodes first, so that they hand over in order.
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
        kill -INT "${pids[at]}" 2>/dev/null || true
        wait "${pids[at]}" 2>/dev/null || true
    done
    [ "$data" = "$dir/postgres" ] || rm -rf "$data"
}
trap finish EXIT INT TERM

(cd "$data" && "${as_server[@]}" "$bin/initdb" -D "$data" -U usher -A trust -E UTF8 --locale=C.UTF-8 >/dev/null)
(cd "$data" && exec "${as_server[@]}" "$bin/postgres" -D "$data" -c listen_addresses=127.0.0.1 \
    -c port=$database -c unix_socket_directories="$data") >"$dir/postgres.log" 2>&1 &
pids+=($!)
redis-server --bind 127.0.0.1 --port $redis --dir "$dir/redis" --appendonly yes --save "" >"$dir/redis.log" &
pids+=($!)
until "$bin/psql" -qAt -h 127.0.0.1 -p $database -U usher -d postgres -c "CREATE DATABASE usher" >/dev/null 2>&1; do
    kill -0 "${pids[0]}" || { cat "$dir/postgres.log"; exit 1; }
    sleep 0.2
done

for ((node = 1; node <= nodes; node++)); do
    mkdir -p "$dir/node-$node"
    USHER_CLUSTER_SECRET=$secret "$usher" --set data_dir="$dir/node-$node" \
        --set store.url="postgres://usher@127.0.0.1:$database/usher" \
        --set cluster.redis="redis://127.0.0.1:$redis" --set cluster.node="node-$node" \
        --set http.bind="127.0.0.1:$((http + 10 * node))" \
        --set cluster.bind="127.0.0.1:$((between + node))" \
        --set metrics.bind="127.0.0.1:$((metrics + node))" \
        --set http.trusted_proxies="127.0.0.1" \
        --set services.demo=true --set sandbox.on=true --set sandbox.bind="127.0.0.1:$sandbox" \
        --set log.format=human >"$dir/node-$node.log" 2>&1 &
    pids+=($!)
done

# All of them take what is brought to them; one says that the service runs there.
ready() {
    for ((node = 1; node <= nodes; node++)); do
        said=$(curl -sf "http://127.0.0.1:$((http + 10 * node))/readyz") || continue
        case $said in *'"here":1,'*) echo "$node"; return ;; esac
    done
    return 1
}
until owner=$(ready); do
    for pid in "${pids[@]}"; do kill -0 "$pid" || { tail -n 20 "$dir"/node-*.log; exit 1; }; done
    sleep 0.2
done

case $balancer in
haproxy)
    haproxy -f deploy/haproxy.cfg >"$dir/haproxy.log" 2>&1 &
    pids+=($!)
    ;;
nginx)
    printf 'daemon off; pid %s/nginx.pid; error_log %s/nginx.log; events {} http { access_log off;\n' \
        "$dir" "$dir" >"$dir/nginx.conf"
    cat deploy/nginx.conf >>"$dir/nginx.conf"
    echo "}" >>"$dir/nginx.conf"
    nginx -p "$dir" -c "$dir/nginx.conf" >"$dir/nginx.log" 2>&1 &
    pids+=($!)
    ;;
esac

cat <<TEXT
$nodes nodes, logs in $dir:
$(for ((node = 1; node <= nodes; node++)); do echo "  node-$node  http://127.0.0.1:$((http + 10 * node))  process ${pids[node + 1]}"; done)
node-$owner runs the demo's service; the others are doors to it (/readyz says so). Any of them will do:

${balancer:+  $usher agent --url http://127.0.0.1:$desk    # by $balancer
}  $usher agent --url http://127.0.0.1:$((http + 10 * (owner % nodes + 1)))    # an agent in the terminal
  $usher visit --sandbox http://127.0.0.1:$sandbox --wait Hello    # a visitor with a pretend phone
  kill -9 ${pids[owner + 1]}    # another node takes over within a lease and a half

Ctrl-C ends everything.
TEXT
sleep infinity &
sleeper=$!
wait $sleeper
