mkdir -p /srv/ci /srv/git
git init -q --bare -b main /srv/git/project.git
git init -q -b main . && git remote add origin /srv/git/project.git
printf 'all test:\n\techo $@\n' > Makefile
git add Makefile && git -c user.name=ana -c user.email=ana@example.org commit -qm 'first'
program mail
stub deploy
