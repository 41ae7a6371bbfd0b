queuectl enqueue --id job1 -- true
