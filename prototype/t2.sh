#!/bin/sh
# Both seeds of t2, one after the other.
for seed in 0 1; do
  nice .venv/bin/python prototype/run.py t2 --seed $seed > prototype/logs/t2-seed$seed.log 2>&1
done
