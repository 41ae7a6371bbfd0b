mkdir pictures && touch pictures/1.jpg "pictures/number 2.jpg"
printf 'name,address\nhere,127.0.0.1\n' > hosts.csv
printf 'letters\nreports\n' > list
echo '{"command": "true"}' > jobs.jsonl
