mkdir raw
touch raw/1.mov "raw/two words.mov" raw/it\'s.mov
program ffmpeg 'while [ $# -gt 1 ]; do shift; done; case $1 in pipe:*) ;; *) echo encoded > "$1" ;; esac'
program ffprobe 'echo 60'
program rsync
