# Keeps one throw-away PostgreSQL: $1 its directory, $2 where its programs are. Does as it is told
# line by line and answers each with "done"; when nobody tells it anything any more, whatever became
# of them, the server ends and its directory goes.
dir=$1
bin=$2
trap '' INT
"$bin/initdb" -D "$dir/data" -U usher -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
  >"$dir/initdb.log" 2>&1 || exit 1
# A test may say otherwise behind it.
echo "listen_addresses = ''" >>"$dir/data/postgresql.conf"
start() {
  # Right after a kill, what is left of the last one may still be going.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-k $dir -c fsync=off \
      -c full_page_writes=off -c shared_buffers=64MB -c max_connections=200" start \
      </dev/null >/dev/null 2>&1 && return
    sleep 0.2
  done
  cat "$dir/log" >&2
  exit 1
}
while read -r word; do
  case $word in
    start) start ;;
    kill)
      # Its children as well: left alone, they would answer for a moment more.
      pid=$(head -n 1 "$dir/data/postmaster.pid")
      kill -9 "$pid" $(pgrep -P "$pid")
      ;;
    stop) "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null ;;
  esac
  echo done
done
"$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
rm -rf "$dir"
