"""The stored study of the course: its tables hang together, can be made again, and show what the lessons say."""

import numpy as np
import pytest
import yaml

import pettutor as pt

BASELINES = ("MLEM", "MLEM + Gaussian", "OSEM", "quadratic MAP", "relative difference MAP", "Bowsher MAP", "kernel EM")


def test_stored_curves_are_means_of_the_stored_rows():
    curves, rows = pt.course.stored_curves(), pt.course.stored_rows()
    keys = ["method", "setting", "iteration", "fwhm", "region"]
    assert set(BASELINES) <= set(curves["method"]) and (curves["realisations"] == 20).all()
    means = rows.groupby(keys, dropna=False)[["crc", "nrmse", "bias"]].mean()
    found = curves.set_index(keys)[["crc", "nrmse", "bias"]].loc[means.index]
    assert found.to_numpy() == pytest.approx(means.to_numpy(), rel=1e-4, abs=1e-5)
    spread = rows.groupby(keys, dropna=False)["crc"].std() / np.sqrt(20)
    assert curves.set_index(keys)["crc_error"].loc[spread.index].to_numpy() == pytest.approx(spread, rel=1e-3)


def test_a_stored_study_can_be_made_again(tmp_path):
    """Two methods on the first scan: the numbers are those of the table."""
    settings = yaml.safe_load(pt.course.study_file().read_text(encoding="utf-8"))
    chosen = {name: settings["methods"][name] for name in ("MLEM", "OSEM")}
    study = pt.Study({**settings, "realisations": 1, "methods": chosen}, out=tmp_path)
    study.run(workers=0, progress=False)
    keys = ["method", "iteration", "region"]
    again = study.region_rows().set_index(keys)
    stored = pt.course.stored_rows().query("realisation == 0 and method in ['MLEM', 'OSEM']").set_index(keys)
    assert len(again) == len(stored) > 40
    for column in ("crc", "nrmse", "bias", "log_likelihood"):
        assert again[column].loc[stored.index].to_numpy() == pytest.approx(
            stored[column].to_numpy(), rel=2e-3, abs=2e-3
        )


def test_stored_study_that_is_none():
    with pytest.raises(ValueError, match=r"expected a stored study .*'baselines'.*, got 'other'"):
        pt.course.stored_curves("other")


def test_what_the_stored_study_shows():
    """The field's findings in kind, which the lessons tell."""
    curves, rows = pt.course.stored_curves(), pt.course.stored_rows()
    grey = {name: curves.query("region == 'grey matter' and method == @name") for name in BASELINES}
    # OSEM with 9 subsets: nine iterations of MLEM in a pass
    likelihood = rows.query("region == 'grey matter'").groupby(["method", "iteration"])["log_likelihood"].mean()
    mlem, osem = likelihood["MLEM"], likelihood["OSEM"]
    for passes in (1, 2, 3, 4, 6, 8, 11):
        before, after = mlem[mlem.index < 9 * passes], mlem[mlem.index > 9 * passes]
        assert before.empty or osem[passes] > before.max()
        assert after.empty or osem[passes] < after.min()
    # quieter than MLEM and a filter at equal contrast of the grey matter
    for name in ("relative difference MAP", "Bowsher MAP", "kernel EM"):
        common = [c for c in (0.45, 0.5, 0.55) if grey[name]["crc"].min() < c < grey[name]["crc"].max()]
        assert common
        for crc in common:
            noise = [np.interp(crc, *_by_crc(grey[method])) for method in (name, "MLEM + Gaussian")]
            assert noise[0] < noise[1], (name, crc)


def _by_crc(curve):
    ordered = curve.sort_values("crc")
    return ordered["crc"], ordered["std"]
