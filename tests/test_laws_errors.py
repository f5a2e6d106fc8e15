"""Everything that a user can get wrong in a law: a sentence naming law, parameter and what is right."""

import pytest
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law, prediction_law, size_law

SIZES = {
    "exponental": ["size law 'exponental'", "did you mean 'exponential'"],
    "zipf": ["size law 'zipf'", "known:", "weibull"],
    "": ["malformed"],
    "weibull": ["size law 'weibull'", "shape=NUMBER"],
    "weibull:shape=0": ["size law 'weibull'", "shape=0", "from 0.05 to 100"],
    "weibull:shape=-1": ["shape=-1", "from 0.05 to 100"],
    "weibull:shape=nan": ["shape=nan", "from 0.05 to 100"],
    "weibull:shape=inf": ["shape=inf"],
    "weibull:shape=true": ["shape=true"],
    "weibull:shape=half": ["shape=half"],
    "weibull:shap=0.5": ["'shap'", "did you mean 'shape'?"],
    "weibull:shape=0.5,men=2": ["parameter of size law 'weibull'", "did you mean 'mean'"],
    "weibull:shape=0.5,shape=1": ["'shape' twice"],
    "exponential:mean=0": ["size law 'exponential'", "mean=0", "above 0"],
    "exponential:mean=-2": ["mean=-2"],
    "exponential:rate=2": ["parameter of size law 'exponential' 'rate'", "mean"],
    "hyperexponential:scv=0.5": ["scv=0.5", "from 1 to 1e6"],
    "erlang": ["needs the parameter 'stages'"],
    "erlang:stages=2.5": ["stages=2.5", "whole numbers from 1 to 100"],
    "erlang:stages=1|101": ["stages=1|101", "whole numbers from 1 to 100"],
    "erlang:stages=1|2,means=1|3": ["needs the parameter 'weights'"],
    "erlang:stages=1|2,means=1,weights=1|1": ["2 stages, 1 means and 2 weights"],
    "lognormal:sigma=0": ["sigma=0", "above 0 and at most 10"],
    "lognormal:sigma=11": ["sigma=11", "at most 10"],
    "pareto:alpha=0,ratio=10": ["alpha=0", "above 0"],
    "pareto:alpha=1.5": ["needs the parameter 'ratio'"],
    "pareto:alpha=1.5,ratio=1": ["ratio=1", "above 1"],
    "uniform:low=2,high=1": ["high=1", "above low=2"],
    "uniform:low=-1,high=1": ["low=-1", "from 0"],
    "uniform:low=1": ["needs the parameter 'high'"],
    "uniform:low=1,high=3,mean=2": ["low, high and mean", "either"],
    "deterministic:mean=nan": ["mean=nan"],
    "points:values=1|2": ["needs the parameter 'weights'"],
    "points:values=1|2,weights=1": ["2 values and 1 weights", "a weight for each"],
    "points:values=2|1,weights=1|1": ["ascending"],
    "points:values=1|x,weights=1|1": ["values=1|x", "joined by bars"],
    "points:values=1|2,weights=1|-1": ["weights=1|-1", "above 0"],
    "empirical": ["needs the parameter 'file'"],
    "empirical:file=no-such.csv": ["cannot read", "no-such.csv", "path of a CSV file"],
    "ssjf:data=some": ["data=some", "auto, histogram or full"],
    "ssjf:classes=3": ["parameter of size law 'ssjf'"],
}
PREDICTIONS = {
    "exat": ["prediction law 'exat'", "did you mean 'exact'"],
    "exact:a=1": ["'exact' takes no parameters", "'a'"],
    "uniform": ["prediction law 'uniform'", "a=NUMBER"],
    "uniform:a=0": ["a=0", "above 0 and at most 1"],
    "uniform:a=1.5": ["a=1.5", "above 0 and at most 1"],
    "lognormal:sigma=-1": ["sigma=-1"],
    "lognormal:sigma=1,bias=0": ["bias=0", "above 0"],
    "bounded:low=2,high=1": ["high=1", "above low=2"],
    "bounded:low=0,high=1": ["low=0", "above 0"],
    "bounded:low=1,high=2,form=normal": ["form=normal", "uniform or loguniform"],
    "kbit": ["bits=NUMBER", "from 1 to 10"],
    "kbit:bits=0": ["bits=0", "from 1 to 10"],
    "kbit:bits=11": ["bits=11", "from 1 to 10"],
    "kbit:bits=2.5": ["bits=2.5", "whole number"],
    "kbit:bits=2,of=exponental": ["law in 'of' of prediction law 'kbit'", "did you mean 'exponential'"],
    "kbit:bits=2,of=kbit": ["law in 'of'", "'kbit'"],
    "kbit:bits=2,of=uniform": ["prediction law 'kbit': prediction law 'uniform'", "needs the parameter 'a'"],
    "kbit:bits=2,of=uniform,a=2": ["a=2", "at most 1"],
    "kbit:bits=2,of=uniform,b=0.5": ["needs the parameter 'a'"],
    "onebit": ["threshold=NUMBER"],
    "onebit:threshold=0": ["threshold=0", "above 0"],
    "onebit:threshold=1,sigma=2": ["takes no parameters", "'sigma'"],
    "confusion:threshold=1,miss=0.1": ["needs the parameter 'false_alarm'"],
    "confusion:threshold=1,miss=1.1,false_alarm=0": ["miss=1.1", "probability from 0 to 1"],
    "margin:threshold=1,scale=0": ["scale=0", "above 0"],
    "classifier": ["needs the parameter 'table'", "ssjf3"],
    "classifier:table=ssjf4": ["table of prediction law 'classifier' 'ssjf4'", "did you mean 'ssjf"],
    "classifier:table=no-such.csv": ["cannot read", "no-such.csv"],
    "constant:value=1": ["takes no parameters"],
    "ssjf:classes=4": ["classes=4", "3 or 5"],
}
JOINT = {
    ("exponential", "ssjf"): ["measured with the sizes 'ssjf'", "'exponential'", "classifier:table=ssjf3"],
    ("uniform", "onebit:threshold=3"): ["threshold=3", "'uniform'", "above 0 and at most 2"],
    ("deterministic", "onebit:threshold=1"): ["threshold=1", "all equal"],
    ("deterministic", "classifier:table=ssjf3"): ["'deterministic'", "3 classes", "density or more values"],
    ("pareto:alpha=2,ratio=50", "margin:threshold=0.1,scale=1"): ["threshold=0.1", "above 0.51"],
}
FILES = {
    "": ["is empty", "one size per line"],
    "# only a comment\n": ["is empty"],
    "length\n": ["header but no sizes"],
    "1\n2\n-3\n": ["'-3'", "line 3", "above 0"],
    "1\n0\n": ["'0'", "line 2", "above 0"],
    "1\nnan\n": ["'nan'", "line 2"],
    "1\ntwo\n": ["'two'", "line 2"],
    "a,b\n1,2\n": ["2 columns", "column=a|b"],
    "1,2\n": ["2 columns", "column=1..2"],
}


def _refused(make, *given):
    with pytest.raises(InputError) as caught:
        make(*given)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("text", SIZES)
def test_bad_size_laws(text):
    message = _refused(size_law, text)
    assert all(part in message for part in SIZES[text]), message


@pytest.mark.parametrize("text", PREDICTIONS)
def test_bad_prediction_laws(text):
    message = _refused(prediction_law, text)
    assert all(part in message for part in PREDICTIONS[text]), message


@pytest.mark.parametrize("pair", JOINT, ids=" with ".join)
def test_laws_that_do_not_fit(pair):
    message = _refused(joint_law, *pair)
    assert all(part in message for part in JOINT[pair]), message


@pytest.mark.parametrize("content", FILES)
def test_bad_files(content, tmp_path):
    file = tmp_path / "sizes.csv"
    file.write_text(content)
    message = _refused(size_law, f"empirical:file={file}")
    assert str(file) in message and all(part in message for part in FILES[content]), message


def test_other_bad_files(tmp_path):
    file = tmp_path / "sizes.csv"
    file.write_text("id,length\n1,2\n2\n")
    assert "did you mean 'length'" in _refused(size_law, f"empirical:file={file},column=lenght")
    assert "line 3" in _refused(size_law, f"empirical:file={file},column=length")
    file.write_bytes(b"\xff\xfe\x00\x01")
    assert "not a CSV text file" in _refused(size_law, f"empirical:file={file}")
    assert "cannot read" in _refused(size_law, f"empirical:file={tmp_path}")


@pytest.mark.parametrize(
    "content, part",
    [
        ("0.5,1,0\n0.5,0.5\n", "same count"),
        ("0.5,1,0\n0.5,a,0.5\n", "same count of numbers"),
        ("0.5,1,0\n", "row per class"),
        ("0.5,1,0\n0.4,0.5,0.5\n", "adding to 1"),
        ("0.5,1,0\n0.5,0.6,0.5\n", "adding to 1"),
        ("0.5,2,-1\n0.5,0.5,0.5\n", "adding to 1"),
        ("nan,1,0\n0.5,0.5,0.5\n", "adding to 1"),
    ],
)
def test_bad_tables(content, part, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(content)
    assert part in _refused(prediction_law, f"classifier:table={file}")


def test_what_is_not_text():
    assert "must be a text" in _refused(size_law, 3)
    assert "must be a text" in _refused(prediction_law, None)
