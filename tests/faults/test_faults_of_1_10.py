"""Server-side faults of 1.10 that no other test is named after; README.md says which test stands for which fault."""

from __future__ import annotations

import time

import numpy as np

from support.processes import fake_server
from support.raw_client import raw_client
from support.serving import connect
from support.waiting import wait_until


def test_a_long_text_with_no_special_token_is_cut_and_kills_no_worker() -> None:
    with fake_server('-no_special_token', '-max_seq_len', '5') as server:
        server.wait_until_ready()
        with connect(server, check_length=False) as client:
            long, short = client.encode(['the ' * 50, 'the'])
            assert long[1] == 5, 'the tokens of the row'
            assert short[1] == 3
            tokenized = client.encode([['the'] * 50], is_tokenized=True)
            assert tokenized[0, 1] == 5
            assert client.server_status['statistic']['num_worker_restart'] == 0
        assert server.stop() == 0


def test_results_that_nobody_has_read_yet_are_not_dropped_at_the_high_water_mark() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with raw_client(server, RCVHWM=1, RCVBUF=4096) as client:
            requests = 2500  # 1.10 keeps a thousand
            for number in range(requests):
                client.ask(['the'], number)
            with connect(server) as other:
                wait_until(lambda: other.server_status['statistic']['num_data_request'] == requests)
            answered = sorted(int(client.receive()[-1]) for _ in range(requests))
        assert answered == list(range(requests))
        assert server.stop() == 0


def test_a_late_subscriber_gets_its_answer_and_costs_the_others_no_time() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with (
            raw_client(server) as late,
            connect(server) as client,
        ):
            client.encode(['the'])
            late.leave()
            late.identity += b' again'
            timings = []
            for number in range(50):
                late.ask(['of'], number)
                started = time.monotonic()
                client.encode(['the'])
                timings.append(time.monotonic() - started)
            assert np.median(timings) < 0.1, '1.10 slept so long for each'
            late.subscribe()
            assert sorted(int(late.receive()[-1]) for _ in range(50)) == list(range(50))
        assert server.stop() == 0


def test_the_device_map_of_the_status_is_the_one_in_use() -> None:
    with fake_server('-num_worker', '2', '-device_map', '3') as server:  # and -cpu, which wins
        server.wait_until_ready()
        with connect(server) as client:
            status = client.server_status
            assert status['device_map'] == [-1, -1]
            assert [worker['device'] for worker in status['workers']] == [-1, -1]
        assert server.stop() == 0
