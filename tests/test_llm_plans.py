"""Policies that plan iterations, ELIS and prefix-aware volume, on traces to follow by hand, and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from openqueues.models.llm.engine import serve
from openqueues.models.llm.hardware import Hardware
from rounds_cases import STEP, SWAPS, served_ms, some


def test_rad_prefills_a_tile_until_a_tile_of_requests_decodes():
    """0-2 the first prompt, 1-3 the second, 2-3 the third, 3-4 all decode, and the last two end."""
    requests = some([0, 0, 0], [3, 2, 1], [3, 2, 2])
    assert served_ms(requests, "rad:tile=2") == ([2, 3, 3], [5, 4, 4])
    # With a tile of 4 the first prompt ends at 1 ms, and decodes when the others have, too.
    assert served_ms(requests, "rad:tile=4") == ([1, 2, 2], [4, 3, 3])


def test_work_conserving_orders_fill_the_budget_with_decoding_or_with_prompts_first():
    """Three tokens an iteration; the second prompt begins with the one that the first leaves."""
    requests = some([0, 0], [2, 6], [3, 1])
    assert served_ms(requests, "dai:chunk=3") == ([1, 4], [3, 4])
    assert served_ms(requests, "dai:chunk=3,prefill_first=1") == ([1, 3], [4, 3])


def test_s3_doubles_the_room_of_who_outgrows_its_bucket():
    """Room for 2 + 4 and 10 + 4 tokens; at 5 ms the first has made 5 and computes all again in one iteration."""
    limits = {"kv_tokens": 20, "block_tokens": 1}
    requests = some([0, 0], [2, 10], [6, 2], predicted_output_tokens=np.array([3.0, 2.0]))
    assert served_ms(requests, "s3:bucket=4", **limits)[1] == [6, 2]
    served = serve(requests, STEP, "s3:bucket=4", **limits)
    assert served.preemptions_of.tolist() == [1, 0] and served.recomputed_tokens == 6
    # If it is known to need 8, the second waits for it.
    known = some([0, 0], [2, 10], [6, 2])
    assert served_ms(known, "s3:bucket=4", **limits)[1] == [6, 8]


def test_a_bin_waits_until_it_fills_a_batch():
    """The second and fourth are a batch; the others, of other bins, go alone when they have waited enough."""
    requests = some([0] * 4, [1] * 4, [4, 2, 3, 1], predicted_output_tokens=np.array([300.0, 10, 150, 20]))
    assert served_ms(requests, "multibin:most_wait_s=0.001", max_batch=2)[1] == [6, 2, 9, 1]
    assert served_ms(requests, "multibin", max_batch=2)[1] == [30004, 2, 30007, 1]


def test_wait_begins_when_a_type_has_come_to_its_threshold():
    """8 in flight of answers of 3: thresholds of 8/4 = 2, reached at 1 and 9 ms; the rest waits 100 ms twice."""
    requests = some([0, 1, 5, 9], [1] * 4, [3] * 4)
    assert served_ms(requests, "wait:limit=8,most_wait_s=0.1") == ([2, 2, 10, 10], [110, 110, 210, 210])


def test_a_segment_of_nested_wait_goes_on_when_enough_have_come_to_it():
    """Thresholds of 2: iterations begin at 1, 6, 8 ms; at 8 ms the first pair has come to 2 tokens and goes on."""
    requests = some([0, 1, 5, 6, 7.5, 8], [1] * 6, [3] * 6)
    policy = "nestedwait:limit=32,most_wait_s=0.1,first=2,second=4,third=6,fourth=8"
    assert served_ms(requests, policy) == ([2, 2, 7, 7, 9, 9], [9, 9, 109, 109, 209, 209])


def test_slai_decodes_at_the_last_moment():
    """2 tokens an iteration. The short prompt is computed at 1 ms, the long one from 2 ms, while the first can wait."""
    requests = some([0, 1, 1], [1, 6, 2], [3, 1, 1])
    law = "chunk=2,offset=0,full_offset=0"
    assert served_ms(requests, f"slai:{law},tbt_s=0.0045")[1] == [7, 5, 2]
    assert served_ms(requests, f"slai:{law},tbt_s=0.0045,shortest=0")[1] == [7, 4, 5]
    # Due after 1.5 ms, at 3 ms, it takes a token of the long prompt's.
    assert served_ms(requests, f"slai:{law},tbt_s=0.0015")[1] == [6, 6, 2]
    relaxed = replace(requests, kind=np.array([1, 0, 0]))
    assert served_ms(relaxed, f"slai:{law},tbt_s=0.0015,loose_s=0.02")[1] == [7, 5, 2]


def test_the_dynamic_batch_follows_memory_and_the_time_of_a_token():
    """40 / (2 + 8) = 4 at first; then the answers are known to be 3, and the batch is 5 or, too slow, 3 and 2."""
    requests, limits = some([0] * 8, [2] * 8, [3] * 8), {"kv_tokens": 40, "block_tokens": 1}
    law = "safety=0,first_guess=8"
    assert served_ms(requests, f"dynamicbatch:{law},tbt_s=1", **limits)[1] == [3] * 4 + [6] * 4
    assert served_ms(requests, f"dynamicbatch:{law},tbt_s=0.0005", **limits)[1] == [3] * 4 + [6] * 3 + [9]


def test_lightllm_learns_the_lengths_that_ended():
    """At first 10 are feared, 22 to 19 tokens for both, so that the second waits; then 4 are known, and 9 tokens."""
    requests = some([0, 0, 4.5], [2, 2, 2], [4, 2, 2])
    for kv_tokens, ends in ((18, [4, 6, 7]), (30, [4, 2, 6.5])):
        found = served_ms(requests, "lightllm:longest=10", kv_tokens=kv_tokens, block_tokens=1, watermark=0)[1]
        assert found == ends, kv_tokens


def test_a_max_waits_for_the_longest_and_a_min_evicts_the_shortest():
    limits = {"block_tokens": 1, "watermark": 0}
    ends = {"predicted_low_tokens": np.array([1.0, 1.0]), "predicted_high_tokens": np.array([10.0, 4.0])}
    requests = some([0, 0], [2, 2], [4, 2], **ends)
    assert served_ms(requests, "amax", kv_tokens=10, **limits)[1] == [6, 2]
    assert served_ms(requests, "amin", kv_tokens=10, **limits)[1] == [4, 2]
    # 8 tokens in the third iteration and room for 7: the shorter by lower end or tokens made is evicted till 4 ms.
    for low, found in ((1.0, [6, 4]), (3.0, [4, 6])):
        ends["predicted_low_tokens"] = np.array([low, 1.0])
        requests = some([0, 0], [2, 2], [4, 4], **ends)
        assert served_ms(requests, "amin", kv_tokens=7, **limits)[1] == found, low


def test_fastserve_swaps_ahead_of_time():
    """Quanta of 2 and 4 ms; a tenth of a ms to move a token. At 2 ms the first, with 5 tokens, makes way."""
    requests, law = some([0, 0.5], [4, 4], [4, 2]), replace(SWAPS, swap_bytes_per_s=1e7)
    for kv_tokens, ahead, ends, moved in ((8, 0, [7, 4.5], 5), (11, 0.4, [6.5, 4], 5), (11, 0, [6, 4], 0)):
        policy, limits = f"fastserve-swap:base_ms=2,ahead={ahead}", {"kv_tokens": kv_tokens, "block_tokens": 1}
        assert served_ms(requests, policy, law, max_batch=1, watermark=0, **limits)[1] == ends
        assert serve(requests, law, policy, max_batch=1, watermark=0, **limits).swapped_tokens == moved


def test_fastserve_promotes_the_starved_now_and_then():
    """Quanta of 2, 4, 8 ms: the first leaves its queues at 2 and 6 ms, three come at 6 ms and take 2 ms each."""
    requests = some([0, 6, 6, 6], [1] * 4, [8, 2, 2, 2])
    policy = "fastserve-swap:base_ms=2,ahead=0,starve_s=0.002"
    assert served_ms(requests, policy, max_batch=1)[1] == [14, 8, 10, 12]
    # After 8 iterations it has starved for 2 ms and is the first of queue 0 again.
    assert served_ms(requests, f"{policy},every=8", max_batch=1)[1] == [10, 8, 12, 14]


def test_elis_preempts_at_the_end_of_a_window():
    """The short one comes at 0.5 ms and starts when the first has made 3 tokens, which is computed again at 5 ms."""
    assert served_ms(some([0, 0.5], [1, 1], [10, 2]), "elis:window=3", max_batch=1)[1] == [12, 5]
    assert served_ms(some([0, 0.5], [1, 1], [10, 2]), "elis:window=50", max_batch=1)[1] == [10, 12]


def test_the_volume_counts_what_the_prefix_cache_lacks():
    requests = some(
        [0, 0.5, 1], [8] * 3, [2] * 3, prefix_start=np.array([0, 2, 4, 6]),
        prefix_blocks=np.array([1, 2, 8, 9, 1, 2]), prefix_block_tokens=4,
    )  # fmt: skip
    assert served_ms(requests, "prefixvolume", max_batch=1, block_tokens=4)[1] == [2, 6, 4]
    assert served_ms(requests, "prefixvolume:prefix_cache=false", max_batch=1, block_tokens=4)[1] == [2, 4, 6]


@pytest.mark.parametrize("prefill_first", [0, 1])
def test_work_conserving_orders_serve_at_the_rate_of_full_iterations(prefill_first):
    """Theorem 2 of Dai et al.: 512 tokens in 11.28 + 4 x 35.47 ms, of 100 + 99 tokens to compute a request."""
    law, n = Hardware(name="dai", decode_step_ms=11.28, prefill_step_ms=11.28, tile_tokens=128, tile_ms=35.47), 8000
    requests = some(np.zeros(n), np.full(n, 100), np.full(n, 100))
    served = serve(requests, law, f"dai:chunk=512,prefill_first={prefill_first}", max_batch=n)
    fastest = n * 199 / 512 * 0.15316
    assert fastest - 1e-9 <= served.makespan_s < 1.01 * fastest


@pytest.mark.parametrize(
    ("ends", "width"), [("101,second=201,third=301,fourth=401", 100), ("600,second=700,third=800,fourth=900", 500)]
)
def test_multi_bin_batches_last_as_long_as_the_longest_of_their_bin(ends, width):
    """Guldogan et al.: the longest of B uniform lengths is on average B / (B + 1) of their bin above its start."""
    rng, batch = np.random.default_rng(2), 8
    outputs = rng.permutation(np.concatenate([rng.integers(low, low + 100, 40 * batch) for low in range(1, 501, 100)]))
    served = serve(some(np.zeros(1600), np.ones(1600), outputs), STEP, f"multibin:batch={batch},first={ends}")
    batches = 1600 // batch
    expected = 250.5 + width * (batch / (batch + 1) - 0.5)
    # The longest of 8 has a standard deviation of 0.1 of the width.
    assert abs(served.makespan_s * 1000 / batches - expected) < 3 * 0.1 * width / batches**0.5
