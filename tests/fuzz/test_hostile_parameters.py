"""Parameters of notebooks of any value."""
import pytest
from hostile import survives
from hypothesis import given
from hypothesis import strategies as st
from parameters import ALLOWED, check_value

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text().filter(lambda text: "/" not in text)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars, max_size=3)
near = st.sampled_from(["synthetic:", "synthetic:8", "pocket/", "aminet/w/o ", "celeba:", "cuda", "smoke", "."])


@pytest.fixture(scope="module", autouse=True)
def empty_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        patch.delenv("AMINET_FACES", raising=False)
        yield


@given(st.sampled_from(sorted(ALLOWED)), values | st.builds(str.__add__, near, st.text(max_size=5)))
def test_parameters(name, value):
    survives(lambda: check_value(name, value))
