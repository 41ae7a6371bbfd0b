stub train.sh
touch train.py
