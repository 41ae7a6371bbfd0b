queuectl enqueue --id job1 --max-retries 0 -c "echo oops; exit 1"
queuectl enqueue --id a --hold -- true
queuectl enqueue --id b --hold -- true
echo '{"command": "true"}' > jobs.jsonl
queuectl worker start --drain >/dev/null 2>&1
