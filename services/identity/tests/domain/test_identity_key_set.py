"""Only what is public of the key set is ever given out."""

from __future__ import annotations

import json

import pytest
from apportion_common.errors import Unavailable
from apportion_identity.domain.key_set import public_key_set

KEY = {"kty": "OKP", "crv": "Ed25519", "x": "abc", "kid": "one", "use": "sig", "alg": "EdDSA"}


def test_a_public_key_set_is_given_as_it_is() -> None:
    assert json.loads(public_key_set(json.dumps({"keys": [KEY]}), keys_max=10)) == {"keys": [KEY]}


def test_a_private_member_never_leaves() -> None:
    text = json.dumps({"keys": [{**KEY, "d": "secret", "note": "internal"}]})
    assert json.loads(public_key_set(text, keys_max=10)) == {"keys": [KEY]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": ["one"]}',
        json.dumps({"keys": [{name: value for name, value in KEY.items() if name != "kid"}]}),
        json.dumps({"keys": [{**KEY, "kid": 1}]}),
        json.dumps({"keys": [KEY] * 3}),
    ],
)
def test_what_is_no_key_set_is_rejected_as_unavailable(text: str) -> None:
    with pytest.raises(Unavailable) as rejection:
        public_key_set(text, keys_max=2)
    assert rejection.value.reason == "KEY_SET_UNUSABLE"
