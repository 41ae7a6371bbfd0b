queuectl enqueue --id job1 -- true
queuectl enqueue --id job2 --hold -- true
queuectl worker start --drain
