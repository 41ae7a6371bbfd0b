queuectl lock set gpu 2
queuectl enqueue --id job1 -- cp in.mov kept.mov
for id in job2 job3 job9; do queuectl enqueue --id $id -- true; done
