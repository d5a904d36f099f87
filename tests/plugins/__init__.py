"""What our test runs add to pytest.

durations.py  how long each test, folder and fixture took: build/durations.json and a table at the end
resources.py  a mark for each kind of server that a test starts, and a guard that no test starts one without its mark
drivers.py    on which databases a test runs
alone.py      tests beside which no other may run
schedule.py   which tests share a worker, and which worker takes what next
"""
