mkdir /srv/gpu
program python 'sleep 4'; program torchrun 'sleep 4'
