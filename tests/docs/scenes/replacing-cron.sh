export TZ=Europe/Berlin
queuectl worker start --detach
cat > "$STAGE/crontab" <<'END'
MAILTO=ops@example.org
PATH=/usr/local/bin:/usr/bin:/bin
0 3 * * *    /opt/backup.sh --all
*/5 * * * *  cd /srv && ./poll.sh
END
program crontab 'case $1 in -l) cat "$STAGE/crontab" ;; -r) rm "$STAGE/crontab" ;; esac'
