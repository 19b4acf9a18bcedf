"""Which cells have to run again is found from the names that they use."""

import pytest
from notebook_cells import cells_to_run_again, look_at


@pytest.mark.parametrize(
    ("source", "reads", "binds"),
    [
        ("x = y + 1", {"y"}, {"x"}),
        ("x = 1\ny = x", set(), {"x", "y"}),
        ("y = x\nx = 1", {"x"}, {"x", "y"}),
        ("for k in range(n):\n    x = k", {"range", "n"}, {"k", "x"}),
        ("for k in ():\n    x = k\nprint(x)", {"print", "x"}, {"k", "x"}),  # perhaps not bound before
        ("if a:\n    x = 1\nz = x", {"a", "x"}, {"x", "z"}),
        ("with a as x:\n    z = x", {"a"}, {"x", "z"}),
        ("try:\n    x = a\nexcept E as e:\n    z = e", {"a"}, {"x", "z"}),
        ("x = [k * a for k in b]", {"a", "b"}, {"x"}),
        ("x = {k: {i for i in k if i in a} for k in b}, sum(k for k in c)", {"a", "b", "c", "sum"}, {"x"}),
        ("x = [k for k in b] + k", {"b", "k"}, {"x"}),
        ("import numpy as np\nnp.zeros(a)", {"a"}, {"np"}),
        ("%matplotlib inline\nx = a", {"get_ipython", "a"}, {"x"}),
        ("x += a", {"x", "a"}, {"x"}),
        ("(a, x), *z = b", {"b"}, {"a", "x", "z"}),
        ("print(f'{a:.{b}f}')", {"print", "a", "b"}, set()),
    ],
)
def test_names_of_a_cell(source, reads, binds):
    cell = look_at(source)
    assert (cell.reads, cell.binds) == (reads, binds)


def again(*cells):
    """Numbers of the cells to run where the first is another one, and nothing else is."""
    return list(cells_to_run_again(["x = 1", *cells], ["x = 2", *cells]))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["y = 3", "z = y"], [0]),
        (["y = x", "z = y", "w = 5"], [0, 1, 2]),
        (["x = 5", "y = x"], [0]),  # bound anew: as it was
        (["def f():\n    return x", "f()", "f"], [0, 1, 2, 3]),
        (["def f():\n    return g()", "def g():\n    return x", "y = f()"], [0, 2, 3]),
        (["def f(x):\n    return x", "f(3)"], [0]),
        (["f = lambda: x", "f()"], [0, 1, 2]),
        (["y = []", "y.append(x)", "z = y"], [0, 2, 3]),
        (["y = {}", "y['a'] = x", "z = y"], [0, 2, 3]),
        (["y = net()", "history = y.fit(x)", "y"], [0, 2, 3]),
        (["import numpy as np", "np.print(x)", "np.zeros(3)"], [0, 2]),
        (["for y in range(3):\n    print(y)", "print(y)"], [0]),
    ],
)
def test_what_follows_from_a_cell_that_differs(cells, expected):
    assert again(*cells) == expected


def test_the_names_that_a_cell_needs_are_those_of_its_functions_too():
    cells = ["y = 3", "def f(a):\n    return a + y + len(z)", "z = [1]", "f(x)"]
    assert cells_to_run_again(["x = 1", *cells], ["x = 2", *cells])[4] == {"f", "y", "z", "len"}


def test_what_a_cell_no_longer_binds_is_missed():
    assert list(cells_to_run_again(["x = 1", "print(x)"], ["...", "print(x)"])) == [0, 1]
