#!/bin/sh
# t1 on the test split, once; then t1 from a second seed, measured on validation.
nice .venv/bin/python prototype/run.py t1 --test --split test > prototype/logs/t1-test.log 2>&1
nice .venv/bin/python prototype/run.py t1 --seed 1 > prototype/logs/t1-seed1.log 2>&1
