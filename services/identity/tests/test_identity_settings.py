"""Settings that operators change at run time: known keys only, audited, acting without a restart (spec 01, data)."""

from __future__ import annotations

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.global_settings import KNOWN_SETTINGS
from apportion_identity.limits import SETTINGS_CACHE_S
from apportion_identity.store.settings import SettingStore
from identity_harness import OPERATOR
from people_harness import PeopleHarness


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    return PeopleHarness(service_database("identity"))


def setting_of_process(harness: PeopleHarness) -> GlobalSettings:
    """The settings as another process has them."""
    return GlobalSettings(harness.database, SettingStore())


async def test_every_setting_has_its_default_until_it_is_set(harness: PeopleHarness) -> None:
    listed = (await harness.call(OPERATOR, "ListGlobalSettings", pb.ListGlobalSettingsRequest())).settings
    assert [one.key for one in listed] == sorted(KNOWN_SETTINGS)
    by_key = {one.key: one for one in listed}
    assert (by_key["invite_token_ttl_hours"].value, by_key["invite_daily_limit"].value) == ("48", "100")
    assert not by_key["invite_daily_limit"].HasField("updated_at")
    assert by_key["shared_mail_domains"].value_type == "list"
    assert all(one.description.endswith(".") for one in listed)


async def test_a_change_is_audited_with_what_was_before(harness: PeopleHarness) -> None:
    await harness.set("invite_daily_limit", " 7 ")
    changed = await harness.set("invite_daily_limit", "8")
    assert (changed.value, changed.updated_at.ToDatetime(harness.clock.now().tzinfo)) == ("8", harness.clock.now())
    read = await harness.call(OPERATOR, "GetGlobalSetting", pb.GetGlobalSettingRequest(key="invite_daily_limit"))
    assert read.setting == changed
    assert harness.rows("SELECT action, resource, actor, before, after FROM audit_entry ORDER BY at") == [
        (
            "global_setting.set",
            "global_setting/invite_daily_limit",
            OPERATOR.subject,
            {"value": before},
            {"value": after, "reason": "the test says so"},
        )
        for before, after in (("100", "7"), ("7", "8"))
    ]


async def test_a_change_acts_at_once_here_and_within_seconds_in_other_processes(harness: PeopleHarness) -> None:
    other = harness.process()
    elsewhere = setting_of_process(harness)
    assert await elsewhere.get_int("invite_daily_limit") == 100
    await harness.set("invite_daily_limit", "5")
    assert await elsewhere.get_int("invite_daily_limit") == 100
    harness.pass_time(seconds=SETTINGS_CACHE_S)
    assert await elsewhere.get_int("invite_daily_limit") == 5
    here = other.use_cases.settings
    assert await here.get_int("invite_daily_limit") == 5
    await harness.set("invite_daily_limit", "6", parts=other)
    assert await here.get_int("invite_daily_limit") == 6


async def test_a_clock_that_is_set_back_does_not_keep_an_old_value(harness: PeopleHarness) -> None:
    elsewhere = setting_of_process(harness)
    assert await elsewhere.get_int("invite_daily_limit") == 100
    await harness.set("invite_daily_limit", "5")
    harness.pass_time(hours=-1)
    assert await elsewhere.get_int("invite_daily_limit") == 5


async def test_lists_are_kept_in_one_form_and_without_doubles(harness: PeopleHarness) -> None:
    kept = await harness.set("shared_mail_domains", "Mail.example, BÜCHER.example\n mail.EXAMPLE.")
    assert kept.value == "mail.example,xn--bcher-kva.example"
    assert await setting_of_process(harness).get_list("shared_mail_domains") == (
        "mail.example",
        "xn--bcher-kva.example",
    )
    relays = await harness.set("trusted_mail_relays", "service_account:mx2 service:identity")
    assert relays.value == "service:identity,service_account:mx2"
    assert (await harness.set("trusted_mail_relays", "")).value == ""


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("invite_daily_limit", "many", "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "", "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "1.5", "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "1e3", "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "٣", "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "9" * 400, "SETTING_VALUE_MALFORMED"),
        ("invite_daily_limit", "-1", "SETTING_OUT_OF_RANGE"),
        ("invite_token_ttl_hours", "0", "SETTING_OUT_OF_RANGE"),
        ("invite_token_ttl_hours", "721", "SETTING_OUT_OF_RANGE"),
        ("conflict_due_hours", "0", "SETTING_OUT_OF_RANGE"),
        ("shared_mail_domains", "mail.example, not a name!", "SETTING_VALUE_MALFORMED"),
        ("shared_mail_domains", "127.0.0.1", "SETTING_VALUE_MALFORMED"),
        ("trusted_mail_relays", "mx.example", "SETTING_VALUE_MALFORMED"),
        ("trusted_mail_relays", " ".join(f"service:mx{n}" for n in range(101)), "SETTING_OUT_OF_RANGE"),
    ],
)
async def test_what_a_setting_cannot_say_is_rejected_and_changes_nothing(
    harness: PeopleHarness, key: str, value: str, reason: str
) -> None:
    request = pb.SetGlobalSettingRequest(key=key, value=value, reason="a mistake")
    assert await harness.reason(OPERATOR, "SetGlobalSetting", request) == ("INVALID_ARGUMENT", reason)
    assert harness.rows("SELECT count(*) FROM global_setting") == [(0,)]


async def test_a_setting_that_nobody_would_obey_is_not_found(harness: PeopleHarness) -> None:
    unknown = ("NOT_FOUND", "SETTING_NOT_FOUND")
    request = pb.SetGlobalSettingRequest(key="invite_dayly_limit", value="1", reason="a mistake")
    assert await harness.reason(OPERATOR, "SetGlobalSetting", request) == unknown
    assert await harness.reason(OPERATOR, "GetGlobalSetting", pb.GetGlobalSettingRequest(key="")) == unknown


async def test_a_value_from_elsewhere_that_would_have_been_rejected_counts_as_the_default(
    harness: PeopleHarness,
) -> None:
    for key, value in (("invite_daily_limit", "-5"), ("trusted_mail_relays", "everybody")):
        harness.write(
            "INSERT INTO global_setting (key, value, value_type, scope, updated_at)"
            " VALUES (%s, %s, 'text', 'global', now())",
            key,
            value,
        )
    settings = setting_of_process(harness)
    assert await settings.get_int("invite_daily_limit") == 100
    assert await settings.get_list("trusted_mail_relays") == ()
