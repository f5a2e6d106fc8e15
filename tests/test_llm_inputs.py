"""Requests and traces: what they hold, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from openqueues.models.errors import InputError
from openqueues.models.llm import Requests, from_columns, read_trace
from openqueues.models.llm.requests import BATCH, INTERACTIVE

# Requests


def test_defaults_of_requests():
    requests = Requests([0.0, 1.0], [3, 4], [5, 6])
    assert len(requests) == 2
    assert requests.input_tokens.dtype == requests.output_tokens.dtype == np.int64
    assert requests.predicted_output_tokens is None and requests.refresh_every == 0
    assert requests.kind.tolist() == [INTERACTIVE] * 2 and requests.kind.dtype == np.int8
    assert requests.deadline_s.tolist() == [np.inf] * 2 and requests.price.tolist() == [0.0] * 2
    assert requests.prefix_start.tolist() == requests.refreshed_start.tolist() == [0, 0, 0]
    with pytest.raises(ValueError):
        requests.input_tokens[0] = 1


def test_requests_keep_no_hold_on_the_arrays_they_are_given():
    arrival = np.array([0.0, 1.0])
    requests = Requests(arrival, [3, 4], [5, 6])
    arrival[0] = 0.5
    assert requests.arrival_s[0] == 0.0


def test_the_first_requests_alone():
    requests = Requests(
        [0.0, 1.0, 2.0], [3, 4, 5], [5, 6, 7], prefix_start=[0, 2, 2, 3], prefix_blocks=[7, 8, 9],
        refresh_every=2, refreshed_start=[0, 1, 3, 6], refreshed=[1.0, 2, 3, 4, 5, 6],
    )  # fmt: skip
    two = requests.first(2)
    assert two.input_tokens.tolist() == [3, 4] and two.prefix_blocks.tolist() == [7, 8]
    assert two.refreshed_start.tolist() == [0, 1, 3] and two.refreshed.tolist() == [1, 2, 3]


BAD_REQUESTS = [
    ({"arrival_s": []}, "there are no requests"),
    ({"arrival_s": [1.0, 0.5]}, "arrival_s of request 1 is before that of the one before it"),
    ({"arrival_s": [0.0, np.nan]}, "arrival_s of request 1 is nan"),
    ({"arrival_s": [-1.0, 0.0]}, "arrival_s of request 0 is -1"),
    ({"arrival_s": [0.0, np.inf]}, "arrival_s of request 1 is inf"),
    ({"input_tokens": [0, 1]}, "input_tokens of request 0 is 0"),
    ({"input_tokens": [1.5, 1]}, "input_tokens of request 0 is 1.5"),
    ({"output_tokens": [1, 10**10]}, "output_tokens of request 1 is 1e+10"),
    ({"output_tokens": [1]}, "output_tokens has the shape (1,), but there are 2 requests"),
    ({"output_tokens": ["1", "two"]}, "output_tokens must be an array of numbers"),
    ({"kind": [0, 2]}, "kind of request 1 is 2"),
    ({"deadline_s": [np.nan, 1]}, "deadline_s of request 0 is nan"),
    ({"price": [-1, 1]}, "price of request 0 is -1"),
    ({"predicted_output_tokens": [1, np.inf]}, "predicted_output_tokens of request 1 is inf"),
    ({"predicted_low_tokens": [1, 2]}, "needs both predicted_low_tokens and predicted_high_tokens"),
    ({"predicted_low_tokens": [1, 3], "predicted_high_tokens": [1, 2]}, "of request 1 is from 3 to 2"),
    ({"prefix_start": [0, 1, 1], "prefix_blocks": [1, 2]}, "prefix_start must ascend from 0"),
    ({"prefix_start": [0, 1, 2], "prefix_blocks": [1, -2]}, "prefix_blocks holds a negative id"),
    ({"refreshed_start": [0, 1, 2], "refreshed": [1, 2]}, "refresh_every of renewed predictions"),
    ({"refreshed_start": [0, 1, 2], "refreshed": [1, np.nan], "refresh_every": 2}, "refreshed must hold finite"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), BAD_REQUESTS, ids=[s for _, s in BAD_REQUESTS])
def test_bad_requests_get_a_sentence(changes, sentence):
    fields = {"arrival_s": [0.0, 1.0], "input_tokens": [3, 4], "output_tokens": [5, 6]}
    with pytest.raises(InputError, match=r"^[^\n]*\.$") as caught:
        Requests(**(fields | changes))
    assert sentence in str(caught.value)


# Traces


def written(tmp_path, text: str):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_with_everything(tmp_path):
    path = written(
        tmp_path,
        "# a comment\n"
        "output_tokens,arrival_s,input_tokens,class,predicted_output_tokens,prefix_blocks,deadline_s,price,colour\n"
        "5,2.5,10,batch,4.5,1 2 3,,0.5,red\n"
        "\n"
        "6,0.5,20,,7,,9,,blue\n"
        "7,2.5,30,interactive,8,1,inf,2,green\n",
    )
    requests = read_trace(path)
    assert requests.arrival_s.tolist() == [0.5, 2.5, 2.5]
    # Sorted by arrival; of two that arrive together, the one that is first in the file is first.
    assert requests.input_tokens.tolist() == [20, 10, 30]
    assert requests.output_tokens.tolist() == [6, 5, 7]
    assert requests.predicted_output_tokens.tolist() == [7, 4.5, 8]
    assert requests.kind.tolist() == [INTERACTIVE, BATCH, INTERACTIVE]
    assert requests.deadline_s.tolist() == [9, np.inf, np.inf]
    assert requests.price.tolist() == [0, 0.5, 2]
    assert requests.prefix_start.tolist() == [0, 0, 3, 4] and requests.prefix_blocks.tolist() == [1, 2, 3, 1]


def test_a_plain_table_is_read_like_any_other(tmp_path):
    """Tables of numbers take a faster way than others; a comment is enough for the slower one."""
    rng = np.random.default_rng(0)
    text = "arrival_s,price,output_tokens,input_tokens,predicted_output_tokens\n" + "".join(
        f"{rng.random()!r},{rng.random():.3g},{rng.integers(1, 99)},{rng.integers(1, 99)},{rng.random():e}\n"
        for _ in range(200)
    )
    plain, other = read_trace(written(tmp_path, text)), read_trace(written(tmp_path, f"# a comment\n{text}"))
    for name in ("arrival_s", "price", "output_tokens", "input_tokens", "predicted_output_tokens"):
        assert np.array_equal(getattr(plain, name), getattr(other, name))
    assert len(plain) == 200 and np.all(np.diff(plain.arrival_s) >= 0)
    path = written(tmp_path, f"{HEAD},prefix_blocks\n0,1,1,7\n")
    assert read_trace(path).prefix_blocks.tolist() == [7]


def test_a_trace_without_predictions(tmp_path):
    assert (
        read_trace(written(tmp_path, "arrival_s,input_tokens,output_tokens\n0,1,1\n")).predicted_output_tokens is None
    )
    text = "arrival_s,input_tokens,output_tokens,predicted_output_tokens\n0,1,1,\n1,1,1,\n"
    assert read_trace(written(tmp_path, text)).predicted_output_tokens is None


HEAD = "arrival_s,input_tokens,output_tokens"
BAD_TRACES = [
    ("", "is empty: give a header"),
    (f"{HEAD}\n", "has no requests"),
    ("arrival_s,input_tokens\n0,1\n", "has no column 'output_tokens'"),
    ("t,input_tokens,output_tokens\n0,1,1\n", "has no column 'arrival_s'. It has t, input_tokens, output_tokens"),
    (f"{HEAD},arrival_s\n0,1,1,0\n", "has the column 'arrival_s' twice"),
    (f"{HEAD}\n0,1\n", "has 2 cells in line 2, but 3 columns"),
    (f"{HEAD}\n0,1,1,9\n", "has 4 cells in line 2, but 3 columns"),
    (f"{HEAD}\n0,1,1\nnan,1,1\n", "has 'nan' in line 3, column 'arrival_s', but it must be a finite number"),
    (f"{HEAD}\n-0.5,1,1\n", "has '-0.5' in line 2, column 'arrival_s'"),
    (f"{HEAD}\ninf,1,1\n", "has 'inf' in line 2, column 'arrival_s'"),
    (f"{HEAD}\nsoon,1,1\n", "has 'soon' in line 2, column 'arrival_s'"),
    (f"{HEAD}\n,1,1\n", "has '' in line 2, column 'arrival_s'"),
    (f"{HEAD}\n0,1.5,1\n", "has '1.5' in line 2, column 'input_tokens', but it must be a whole number from 1"),
    (f"{HEAD}\n0,0,1\n", "has '0' in line 2, column 'input_tokens'"),
    (f"{HEAD}\n0,-3,1\n", "has '-3' in line 2, column 'input_tokens'"),
    (f"{HEAD}\n0,1,\n", "has '' in line 2, column 'output_tokens'"),
    (f"{HEAD}\n0,1,nan\n", "has 'nan' in line 2, column 'output_tokens'"),
    (f"{HEAD}\n0,1,1e12\n", "has '1e12' in line 2, column 'output_tokens'"),
    (f"{HEAD},predicted_output_tokens\n0,1,1,4\n1,1,1,\n", "has '' in line 3, column 'predicted_output_tokens'"),
    (f"{HEAD},predicted_output_tokens\n0,1,1,-4\n", "has '-4' in line 2, column 'predicted_output_tokens'"),
    (f"{HEAD},class\n0,1,1,urgent\n", "has 'urgent' in line 2, column 'class', but it must be interactive or batch"),
    (f"{HEAD},deadline_s\n0,1,1,-1\n", "has '-1' in line 2, column 'deadline_s'"),
    (f"{HEAD},deadline_s\n0,1,1,late\n", "has 'late' in line 2, column 'deadline_s'"),
    (f"{HEAD},price\n0,1,1,inf\n", "has 'inf' in line 2, column 'price'"),
    (f"{HEAD},prefix_blocks\n0,1,1,1 -2\n", "has '1 -2' in line 2, column 'prefix_blocks'"),
    (f"{HEAD},prefix_blocks\n0,1,1,1.5\n", "has '1.5' in line 2, column 'prefix_blocks'"),
    (f'{HEAD}\n0,1,"1\n', "is not a CSV text file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BAD_TRACES, ids=[s[:60] for _, s in BAD_TRACES])
def test_a_bad_trace_gets_a_sentence(tmp_path, text, sentence):
    with pytest.raises(InputError) as caught:
        read_trace(written(tmp_path, text))
    assert sentence in str(caught.value) and "trace.csv" in str(caught.value)


def test_files_that_are_no_traces(tmp_path):
    with pytest.raises(InputError, match="cannot read the trace .*none.csv"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot read the trace"):
        read_trace(tmp_path)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="is not a CSV text file"):
        read_trace(tmp_path / "binary.csv")


def test_columns_of_numbers_are_read_like_texts():
    columns = {
        "arrival_s": np.array([1.0, 0.0]),
        "input_tokens": np.array([3, 4]),
        "output_tokens": np.array([5.0, 6.0]),
        "prefix_blocks": [[1, 2], None],
        "class": [None, "batch"],
        "deadline_s": np.array([np.nan, 7.0]),
    }
    requests = from_columns(columns, "the table")
    assert requests.input_tokens.tolist() == [4, 3] and requests.output_tokens.tolist() == [6, 5]
    assert requests.kind.tolist() == [BATCH, INTERACTIVE] and requests.deadline_s.tolist() == [7, np.inf]
    assert requests.prefix_start.tolist() == [0, 0, 2] and requests.prefix_blocks.tolist() == [1, 2]
    with pytest.raises(InputError, match="the table has True in row 1, column 'input_tokens'"):
        from_columns(columns | {"input_tokens": [True, 4]}, "the table")
    with pytest.raises(InputError, match="the table has nan in row 2, column 'output_tokens'"):
        from_columns(columns | {"output_tokens": np.array([1.0, np.nan])}, "the table")
