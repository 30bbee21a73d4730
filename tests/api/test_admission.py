from __future__ import annotations

import pytest

from hf_asr_endpoint.api.admission import RETRY_AFTER_S, Admission
from hf_asr_endpoint.errors import Overloaded


def test_permits_up_to_the_limit_and_refuses_one_more() -> None:
    admission = Admission(2)
    with admission.permit(), admission.permit(), pytest.raises(Overloaded, match="allowed: 2") as refused:
        admission.permit().__enter__()
    assert refused.value.retry_after_s == RETRY_AFTER_S


def test_a_permit_is_given_back_when_the_work_fails() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError), admission.permit():
        raise ZeroDivisionError
    with admission.permit():
        pass
