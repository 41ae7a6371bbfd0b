program restic
program mail
