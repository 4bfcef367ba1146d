"""Every limit of the identity service, with its unit in its name."""

from __future__ import annotations

from typing import Final

KEYS_MAX: Final = 100
"""Keys of a set: the signing key, its successor, and those that tokens in use were signed with."""

DOMAIN_TEXT_CHARS_MAX: Final = 1_000
"""A name as a caller spells it, as the contract allows it."""
DOMAIN_CHARS_MAX: Final = 253
LABEL_CHARS_MAX: Final = 63
"""RFC 1035, section 2.3.4."""

DNS_RECORDS_MAX: Final = 100
"""Records of one answer; a larger one counts as a failure, for a part of it must not be taken for the whole."""
DNS_RECORD_BYTES_MAX: Final = 4_096
"""One TXT record with its strings joined: a 4096-bit RSA key takes about 800."""
DNS_CNAMES_MAX: Final = 10
"""Aliases that one answer may lead over."""
DNS_ATTEMPTS_MAX: Final = 3
"""Tries of one question, over the servers in turn, within its time."""
DNS_PARALLEL_MAX: Final = 64
"""Questions under way at once in one process."""
DNS_CACHE_ENTRIES_MAX: Final = 10_000
"""Answers that one process keeps; the one that is over first makes room."""
DNS_CACHE_FOUND_S_MAX: Final = 300
"""Longest time that records are kept, however long their own: who changes a key need not wait longer."""
DNS_CACHE_ABSENT_S_MAX: Final = 30
"""Longest time that "there is none" is kept: its owner is about to publish it. Failures are never kept."""
DNS_RETRY_AFTER_S: Final = 60
"""After which time a caller is told to try again when the DNS fails."""
TREE_WALK_QUERIES_MAX: Final = 8
"""RFC 9989, section 4.10."""
SPF_VALUE_BYTES_MAX: Final = 2_048
"""Longest SPF record that is read; RFC 7208 section 3.4 recommends 450."""
SPF_TERM_CHARS_MAX: Final = 300
"""Longest term of one: a name has 253 at most, and what pyspf does with a term takes the square of its length."""
SPF_LOOK_UPS_MAX: Final = 10
"""Terms of a record that may cause queries (RFC 7208, section 4.6.4)."""
INSPECTION_ROUNDS_MAX: Final = 30
"""Rounds of questions for one inspection: SPF's includes are asked one after the other."""
INSPECTION_QUESTIONS_MAX: Final = 300
"""Questions of one inspection: selectors, the tree walk and what SPF leads to."""
INSPECTIONS_BURST_MAX: Final = 10
"""Inspections that one caller makes at once before the rate counts."""
INSPECTIONS_PER_MINUTE_MAX: Final = 20
"""Inspections of one caller in the long run: each asks the DNS some forty questions."""
INSPECTION_KEYS_MAX: Final = 10_000
"""Callers whose inspections are counted."""
FINDINGS_MAX: Final = 100
INSPECTION_ADVICE_MAX: Final = 50
"""Findings and pieces of advice of one inspection, as the contract allows them."""
FINDING_NAME_CHARS_MAX: Final = 300
FINDING_VALUE_CHARS_MAX: Final = 4_096
FINDING_ADVICE_CHARS_MAX: Final = 1_000

SMTP_DRAINED_BYTES_MAX: Final = 4_194_304
"""Of a message that is too long already: what is read of it so that the client hears why."""
SMTP_LINE_BYTES_MAX: Final = 1_000
"""A line of a message with its CRLF, a stuffed dot apart (RFC 5321, section 4.5.3.1.6)."""
SMTP_COMMAND_BYTES_MAX: Final = 512
"""A command line (RFC 5321, section 4.5.3.1.4)."""
SMTP_DOMAIN_CHARS_MAX: Final = 255
SMTP_PATH_CHARS_MAX: Final = 256
"""The domain of a path, and a path with its angle brackets (RFC 5321, section 4.5.3.1)."""
SMTP_CONNECTIONS_MAX: Final = 200
SMTP_CONNECTIONS_PER_PEER_MAX: Final = 10
"""Connections that are open at once: in all, and of one IPv4 address or IPv6 /64 network."""
SMTP_CONNECTION_BURST_MAX: Final = 60
SMTP_MESSAGE_BURST_MAX: Final = 60
"""Connections and messages of a peer in a burst; as many again in SMTP_REFILL_S."""
SMTP_REFILL_S: Final = 60
SMTP_PEERS_MAX: Final = 20_000
"""Peers whose rate is remembered."""
SMTP_COMMANDS_MAX: Final = 200
"""Command lines of one connection. So many times SMTP_COMMAND_BYTES_MAX is all that is read of it outside messages."""
SMTP_MESSAGES_PER_CONNECTION_MAX: Final = 20
"""Messages that one connection may begin."""
SMTP_RECIPIENTS_MAX: Final = 1
"""Recipients of one message: it proves one claim and gets one reply. Others are told to come again (452)."""
SMTP_UNKNOWN_RECIPIENTS_MAX: Final = 5
"""Recipients of one connection that there are none of."""
SMTP_VERIFICATIONS_MAX: Final = 8
"""Messages that are verified at once; others wait."""
SMTP_COMMAND_TIMEOUT_S: Final = 300
"""From one command to the next, and for a whole message (RFC 5321, section 4.5.3.2)."""
SMTP_CONNECTION_TIMEOUT_S: Final = 900
SMTP_VERIFY_TIMEOUT_S: Final = 120
"""For the verdict on a message, the wait for its turn included."""
SMTP_CLOSE_TIMEOUT_S: Final = 5
"""For a client to take our last word."""
SMTP_SHUTDOWN_TIMEOUT_S: Final = 4
"""For verdicts in the making when the service ends."""
SMTP_REPLY_CHARS_MAX: Final = 400
"""A line of a reply; the standard allows 512 with code and CRLF."""

MESSAGE_BYTES_MAX: Final = 1_048_576
"""One message, as the contract allows it."""
HEADERS_MAX: Final = 1_000
"""Header fields of one message."""
HEADER_LINE_BYTES_MAX: Final = 998
"""RFC 5322, section 2.1.1, without the line's end."""
ADDRESS_FIELD_BYTES_MAX: Final = 4_096
"""A From or To field with all its folds: each has one mailbox."""
LOCAL_PART_CHARS_MAX: Final = 64
LOCAL_PART_BYTES_MAX: Final = 64
"""RFC 5321, section 4.5.3.1.1; in bytes where there are characters beyond ASCII."""
ADDRESS_CHARS_MAX: Final = 320
"""A mail address, as the contract and the tables allow it."""
RECIPIENTS_MAX: Final = 10
"""Addresses of one message among which the claim's is looked for."""
MAIL_SUBJECT_BYTES_MAX: Final = 1_000
"""What of a subject is looked at: the marks of replies and automatic mail are at its beginning."""
SIGNATURES_MAX: Final = 10
"""DKIM signatures of one message."""
SIGNED_NAMES_MAX: Final = 300
"""Names in one signature's h=, oversigning included."""
RSA_KEY_BITS_MIN: Final = 1_024
RSA_KEY_BITS_MAX: Final = 4_096
"""RFC 8301, section 3.2; longer keys cost more than they prove."""
SIGNATURE_CLOCK_SLOP_S: Final = 300
"""By how much a signer's clock may be wrong: after x=, and before t=."""
VERIFICATION_ROUNDS_MAX: Final = 30
"""Rounds of questions for one message: SPF's includes are asked one after the other."""
VERIFICATION_QUESTIONS_MAX: Final = 300
"""Questions to the DNS for one message: keys, the tree walk and what SPF leads to."""

SECRET_KEY_BYTES: Final = 32
"""Every key and token that is drawn at random, and every key in a file."""
SEALING_KEYS_MAX: Final = 4
"""Keys of the key encryption key file: the one that seals, and older ones that still open."""
SERVICE_ACCOUNT_TOKEN_LIFE_S: Final = 45
"""With the verifiers' leeway of 5 s a token ends within a minute of its account's revocation; nothing is spread."""
USER_TOKEN_LIFE_S: Final = 600
KEY_TAIL_S: Final = USER_TOKEN_LIFE_S + 60
"""How long a key verifies after its successor has begun: the longest life, the leeway, and clocks that disagree."""
KEY_PUBLISH_LEAD_S: Final = 90
"""How long a key is published before it signs: three polls of the verifiers."""
KEY_AGE_DAYS: Final = 30
"""After signing for so long a key gets a successor."""
KEY_CHECK_S: Final = 60
"""Between two looks whether one is due."""
KEY_SET_CACHE_MS: Final = 1_000
"""How long an answer of GetJwks holds: whoever asks all the time costs the database one query a second."""
ID_TOKEN_LEEWAY_S: Final = 5
"""By how much an issuer's clock may differ."""
ID_TOKEN_AGE_S_MAX: Final = 86_400
"""An identity token is not taken for longer, whatever end its issuer sets."""
ID_TOKEN_SUBJECT_CHARS_MAX: Final = 255
"""OpenID Connect Core 1.0, section 2: sub has at most 255 ASCII characters."""
ID_TOKEN_AMR_ITEMS_MAX: Final = 16
ID_TOKEN_AMR_CHARS_MAX: Final = 50
ID_TOKEN_KID_CHARS_MAX: Final = 256
ID_TOKEN_TIME_S_MAX: Final = 1 << 53
"""A time of an identity token, in seconds since 1970: what every reader of JSON holds exactly."""
ISSUERS_MAX: Final = 50
ISSUERS_FILE_BYTES_MAX: Final = 65_536
"""Configured issuers, and their file."""
ISSUER_KEYS_MAX: Final = 100
ISSUER_ANSWER_BYTES_MAX: Final = 262_144
"""An issuer's key set, and the answer of HTTP that it comes in."""
ISSUER_KEYS_FRESH_S: Final = 3_600
"""After so long an issuer's keys are fetched again."""
ISSUER_KEYS_STALE_S_MAX: Final = 86_400
"""Keys of an issuer that does not answer are used no longer."""
ISSUER_ASK_PAUSE_S: Final = 10
"""Between two fetches from one issuer, however many unknown key ids come."""
ISSUER_TIMEOUT_S: Final = 5
ISSUER_WAITERS_MAX: Final = 64
"""Sign-ins that wait for one issuer's keys at once."""
ISSUER_RSA_BITS_MIN: Final = 2_048
"""RFC 7518, section 3.3."""
CREDENTIAL_FAILURES_PER_PEER_MAX: Final = 20
CREDENTIAL_FAILURES_REFILL_PER_S: Final = 0.2
"""Wrong keys and identity tokens of one address: a burst, and one every 5 s from then on. Good ones are not counted.
As every rate here it is counted in each process: with n replicas there are up to n times as many."""
SIGN_INS_PER_PEER_MAX: Final = 200
SIGN_INS_REFILL_PER_S: Final = 50
"""Identity tokens of one address, good and bad ones: what a gateway may send, and what checking them may cost."""
TOKENS_PER_HOLDER_MAX: Final = 30
TOKENS_REFILL_PER_S: Final = 0.5
"""Tokens that one service account or user gets: a burst, and one every 2 s from then on."""
LIMITED_KEYS_MAX: Final = 10_000
"""Addresses or holders that one rate limit counts at once."""

DELEGATIONS_MAX: Final = 1_000
"""Names that one claim delegates, as the contract allows them in an answer."""
ATTEMPTS_PER_DAY_MAX: Final = 1_000
"""Rejected messages of one claim that are recorded a day; more are rejected all the same."""
CLAIM_MOVED_TRIES_MAX: Final = 5
"""How often a change of a claim is tried because another took the name in the same instant."""
EXPIRED_CLAIMS_PER_ROUND_MAX: Final = 200
"""Claims that one round of the expiry job ends, each in a transaction of its own."""
EXPIRY_EVERY_S: Final = 60
OVERDUE_CONFLICTS_PER_ROUND_MAX: Final = 100
"""Conflicts that one transaction of the escalation job escalates."""
ESCALATION_EVERY_S: Final = 60
ESCALATE_AGAIN_AFTER_S: Final = 86_400
"""An overdue conflict is escalated again after this long, until it is settled."""
ASK_ORGS_TIMEOUT_S: Final = 5
READ_IN_THREAD_BYTES_MIN: Final = 65_536
"""Messages from this size on are read in a thread, so that reading one does not hold up the other calls."""

SETTINGS_CACHE_S: Final = 2
"""Age at which global settings are read again; a change acts at once in its own process, elsewhere within this time."""
ACCEPT_BURST_MAX: Final = 10
"""Invitations that one caller tries to accept at once before the rate counts."""
ACCEPTS_PER_MINUTE_MAX: Final = 6
"""Invitations that one caller tries to accept in the long run; a token of 256 bits is not found by any number."""
JOIN_BURST_MAX: Final = 5
"""Join requests that one caller makes at once before the rate counts."""
JOINS_PER_HOUR_MAX: Final = 10
"""Join requests of one caller in the long run."""
SUGGESTION_BURST_MAX: Final = 100
"""Suggestions that one sign-up page asks for at once before the rate counts."""
SUGGESTIONS_PER_SECOND_MAX: Final = 20
"""Suggestions of one sign-up page in the long run."""
PEOPLE_RATE_KEYS_MAX: Final = 10_000
"""Callers that the limits on invitations, join requests and suggestions remember."""
