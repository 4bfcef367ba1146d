"""The settings that there are, and the one form of each value."""

from __future__ import annotations

import pytest
from apportion_common.errors import InvalidArgument
from apportion_identity.domain.global_settings import KNOWN_SETTINGS, KnownSetting
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = st.sampled_from(list(KNOWN_SETTINGS.values()))


@pytest.mark.parametrize("setting", KNOWN_SETTINGS.values(), ids=lambda setting: setting.key)
def test_every_default_is_a_value_in_its_one_form(setting: KnownSetting) -> None:
    assert setting.canonical(setting.default) == setting.default
    assert setting.minimum <= setting.maximum
    assert setting.description.endswith(".")


@given(SETTINGS, st.text(max_size=60) | st.integers(-1_000, 200_000).map(str))
def test_a_value_is_rejected_or_has_one_form_that_it_keeps(setting: KnownSetting, text: str) -> None:
    try:
        value = setting.canonical(text)
    except InvalidArgument as error:
        reason = error.reason
    else:
        reason = ""
    if reason:
        assert reason in {"SETTING_VALUE_MALFORMED", "SETTING_OUT_OF_RANGE"}
        return
    assert setting.canonical(value) == value
    if setting.value_type == "int":
        assert setting.minimum <= int(value) <= setting.maximum
