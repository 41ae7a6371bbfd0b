# Each command's examples begin with a store of their own; `fresh` makes it. In `done`, job1 has completed at its second
# attempt; in `dead` it is dead; in `waiting` it waits, with others.
export TZ=Europe/Berlin
for name in python make ffmpeg convert mail; do program $name; done
stub backup.sh; stub new.sh
printf '%s\n' 1.jpg '2 of 3.jpg' > pictures.txt
mkdir -p ~/.config/fish/completions  # as fish makes it when it first runs
program crontab 'echo "0 3 * * * /opt/backup.sh"'
mkdir "$STAGE/etc"; echo '0 4 * * * root /opt/tidy.sh' > "$STAGE/etc/crontab"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=laptop -days 2 2>/dev/null
export QUEUECTL_DB=queuectl.db
{
    queuectl init
    queuectl lock set licence 4
    queuectl lock set gpu units=0,1,2,3
    queuectl queue set video concurrency=2
    queuectl queue set mail rate=100/h
    queuectl schedule add nightly --cron "0 3 * * *" -- ./backup.sh
    queuectl token create monitor
    queuectl enqueue --id job2 --tag nightly -- true
    queuectl enqueue --id kept --batch import-7 -- true
    queuectl worker start --drain
} >/dev/null 2>&1
store() { mkdir -p "$STAGE/$1"; cp queuectl.db "$STAGE/$1/"; }
keep() { queuectl enqueue --id job1 --max-retries 1 --backoff-initial 10ms -c "$2" && queuectl worker start --drain && queuectl prune --shrink && store $1; }
cp queuectl.db "$STAGE/base.db"; cp queuectl.db "$STAGE/srv/jobs.db"
keep done 'echo "try $QUEUECTL_ATTEMPT"; test $QUEUECTL_ATTEMPT -ge 2' >/dev/null 2>&1
queuectl reset --yes 2>/dev/null; cp "$STAGE/base.db" queuectl.db
keep dead 'echo timed out; exit 1' >/dev/null 2>&1
queuectl reset --yes 2>/dev/null; cp "$STAGE/base.db" queuectl.db
for id in job1 job3 job9; do queuectl enqueue --hold --id $id -- cp in.mov kept.mov; done >/dev/null 2>&1
queuectl release --all 2>/dev/null; queuectl prune --shrink 2>/dev/null; store waiting

fresh() {
    unset -f queuectl
    if [ -e queuectl.db ]; then queuectl worker stop --now; queuectl reset --yes; fi
    case $1 in
        *"restore "*) cp "$STAGE/done/queuectl.db" other.db; queuectl --db other.db backup --replace /backups/queue.db
                      cp /backups/queue.db queue.db; return ;;
        *"import jobs.jsonl"*) cp "$STAGE/done/queuectl.db" other.db; queuectl --db other.db export jobs.jsonl --replace
                      queuectl --db other.db reset --yes; queuectl --db other.db init
                      queuectl() { command queuectl "$@" && command queuectl delete --all --force --yes; }; return ;;
        *"init"*) return ;;
        *"enqueue "* | *"schedule add"*) cp "$STAGE/base.db" queuectl.db ;;
        *"dlq "* | *"cancel "*) cp "$STAGE/dead/queuectl.db" . ;;
        *"set job1"* | *"move "* | *"hold "* | *"release "* | *"explain "*) cp "$STAGE/waiting/queuectl.db" . ;;
        *) cp "$STAGE/done/queuectl.db" . ;;
    esac
    case $1 in
        *"cancel "*) queuectl retry job1 ;;
        *"worker start"*) ;;
        *"worker "* | *"run --"* | *"status"* | *"doctor"*) queuectl worker start --detach --name night ;;
    esac
    case $1 in
        *"enqueue "* | *"schedule add"*) queuectl schedule delete nightly ;;
        *"export "*) rm -f jobs.jsonl ;;
        *"token create"*) queuectl token revoke monitor ;;
        *"copy --to"*) queuectl --db "$SERVER" reset --yes; queuectl() { from_where "$@"; } ;;
        *"worker stop"*) queuectl() { command queuectl worker start --detach --if-none --name night; command queuectl "$@"; } ;;
        *"dlq retry"* | *"dlq purge"*) queuectl() { again "$@"; } ;;
        *"queuectl reset"* | *"queuectl delete "*) queuectl() { yes_to "$@"; } ;;
    esac
} >/dev/null 2>&1
yes_to() { case "$*" in reset | *--state*) set -- "$@" --yes ;; esac; command queuectl "$@"; }
# The second example of `copy` brings back what the first one has taken to the server.
from_where() { case "$*" in *--keep) rm queuectl.db*; set -- --db "$SERVER" "$@" ;; esac; command queuectl "$@"; }
# What a person answers who is asked; and each line has a dead job of its own.
again() {
    command queuectl enqueue --id job1 --max-retries 0 --on-conflict ignore -- false >/dev/null 2>&1
    command queuectl worker start --drain >/dev/null 2>&1
    command queuectl "$@" --yes
}
