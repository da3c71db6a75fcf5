"""Made-up samples: texts and JSON values with secrets in them, and such as only look like it.

None of the secrets was ever in use. Tokens are put together from their beginning and random characters when the corpus
is made, so that this file holds nothing that a program looking for leaked keys would stop at.
"""

from __future__ import annotations

import base64
import hashlib
import random
import string
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
HEX = "0123456789abcdef"


class Sample(NamedTuple):
    """A text to write, and the parts of it that must not be stored; none in a negative sample."""

    value: Any
    secrets: tuple[str, ...] = ()
    kind: str = ""


class Maker:
    """Random parts, the same in every run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chars(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choices(alphabet, k=length))

    def an(self, length: int) -> str:
        return self.chars(ALNUM, length)

    def us(self, length: int) -> str:
        return self.chars(URLSAFE, length)

    def hex(self, length: int) -> str:
        return self.chars(HEX, length)

    def b64(self, count: int) -> str:
        return base64.b64encode(self.random.randbytes(count)).decode()

    def card(self, beginning: str, length: int) -> str:
        digits = beginning + self.chars(string.digits, length - len(beginning) - 1)
        return next(digits + last for last in string.digits if _luhn(digits + last))

    def jwt(self) -> str:
        parts = ('{"alg":"HS256","typ":"JWT"}', '{"sub":"' + self.an(10) + '","iat":1516239022}')
        encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
        return ".".join([*encoded, self.us(43)])

    def pem(self, kind: str = "RSA ") -> str:
        lines = [self.b64(48) for _ in range(self.random.randint(3, 12))]
        return "\n".join([f"-----BEGIN {kind}" + "PRIVATE KEY-----", *lines, f"-----END {kind}" + "PRIVATE KEY-----"])


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if i % 2 else 1) for i, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


TOKENS: dict[str, Callable[[Maker], str]] = {
    "aws_access_key": lambda m: "AK" + "IA" + m.chars(string.ascii_uppercase + "234567", 16),
    "aws_session_key": lambda m: "AS" + "IA" + m.chars(string.ascii_uppercase + "234567", 16),
    "github_classic": lambda m: "gh" + "p_" + m.an(36),
    "github_oauth": lambda m: "gh" + "o_" + m.an(36),
    "github_server": lambda m: "gh" + "s_" + m.an(36),
    "github_fine": lambda m: "github" + "_pat_" + m.an(22) + "_" + m.an(59),
    "gitlab": lambda m: "gl" + "pat-" + m.us(20),
    "gitlab_runner": lambda m: "gl" + "rt-" + m.us(20),
    "slack_bot": lambda m: "xo" + f"xb-{m.chars(string.digits, 12)}-{m.chars(string.digits, 13)}-{m.an(24)}",
    "slack_user": lambda m: "xo" + f"xp-{m.chars(string.digits, 12)}-{m.chars(string.digits, 12)}-{m.hex(32)}",
    "slack_app": lambda m: "xa" + f"pp-1-{m.an(11).upper()}-{m.chars(string.digits, 13)}-{m.hex(64)}",
    "slack_hook": lambda m: "https://hooks." + f"slack.com/services/T{m.an(8)}/B{m.an(8)}/{m.an(24)}",
    "openai": lambda m: "sk" + "-" + m.an(48),
    "openai_project": lambda m: "sk" + "-proj-" + m.us(120),
    "anthropic": lambda m: "sk" + "-ant-api03-" + m.us(93) + "AA",
    "stripe_live": lambda m: "sk" + "_live_" + m.an(24),
    "stripe_test": lambda m: "sk" + "_test_" + m.an(24),
    "stripe_restricted": lambda m: "rk" + "_live_" + m.an(24),
    "google": lambda m: "AI" + "za" + m.us(35),
    "google_oauth": lambda m: "ya" + "29." + m.us(80),
    "sendgrid": lambda m: "S" + f"G.{m.us(22)}.{m.us(43)}",
    "twilio": lambda m: "S" + "K" + m.hex(32),
    "npm": lambda m: "npm" + "_" + m.an(36),
    "pypi": lambda m: "pypi" + "-AgEIcHlwaS5vcmc" + m.us(120),
    "huggingface": lambda m: "h" + "f_" + m.an(34),
    "telegram": lambda m: m.chars("123456789", 9) + ":A" + "A" + m.us(33),
    "discord_bot": lambda m: "MT" + m.an(22) + "." + m.us(6) + "." + m.us(38),
    "discord_hook": lambda m: "https://discord." + f"com/api/webhooks/{m.chars('123456789', 18)}/{m.us(68)}",
    "digitalocean": lambda m: "do" + "p_v1_" + m.hex(64),
    "shopify": lambda m: "shp" + "at_" + m.hex(32),
    "databricks": lambda m: "da" + "pi" + m.hex(32),
    "crypto": lambda m: "hv" + "s." + m.us(92),
    "groq": lambda m: "gs" + "k_" + m.an(52),
    "jwt": lambda m: m.jwt(),
    "visa": lambda m: m.card("4", 16),
    "mastercard": lambda m: m.card("53", 16),
    "amex": lambda m: m.card("37", 15),
    "discover": lambda m: m.card("6011", 16),
    "ssn": lambda m: f"{m.random.randint(100, 665)}-{m.random.randint(10, 99)}-{m.random.randint(1000, 9999)}",
    "pem_rsa": lambda m: m.pem(),
    "pem_ec": lambda m: m.pem("EC "),
    "pem_plain": lambda m: m.pem(""),
    "pem_openssh": lambda m: m.pem("OPENSSH "),
    "pem_encrypted": lambda m: m.pem("ENCRYPTED "),
}

AROUND = (
    "please use {} for the next call, thanks",
    "Error 401 at 2025-10-28T12:30:00Z: rejected {}",
    "{}",
)

PASSWORDS = ("hunter2", "Tr0ub4dor&3", "correct-horse-9", "S3cr3t!pass", "qwe123RTY", "p@ssw0rd99")

# {} is the secret. In these it is known by what stands around it.
TOLD = (
    "password: {}", "Password = {}", "my password is {}", "the password for the wiki is {}.", "pwd={}", "PASSWD: '{}'",
    'login with user bob and password "{}" please', "DB_PASSWORD={}", "export SMTP_PASSWORD='{}'", "--password={}",
    "the new passphrase is: {}", "passcode: {}", "mysql -u root --password={} agent", "user=bob;password={};host=db",
    '{{"user": "bob", "password": "{}"}}', "{{'passwd': '{}'}}", 'password => "{}"', "spring.datasource.password={}",
    "client_secret={}", "secret: {}9x", 'config["db_password"] = "{}"', "I changed the password to {} yesterday",
)  # fmt: skip

KEYED = (
    "api_key: {}", "API_KEY={}", "apikey = '{}'", 'x-api-key: {}', "access_token={}", "?access_token={}&page=2",
    '{{"client_secret": "{}"}}', "Authorization: Bearer {}", "authorization: bearer {}",
    "curl -H 'Authorization: Bearer {}'",
    "aws_secret_access_key = {}", "auth_token: {}", "the api key is {}", "SECRET_KEY='{}'", "refresh_token={}",
    "AccountKey={};EndpointSuffix=core", "private-token: {}", "encryption_key: {}",
)  # fmt: skip

URLS = (
    "postgresql://agent:{}@db.example.org:5432/agent", "see https://bob:{}@example.org/path?x=1 for it",
    "amqp://guest:{}@mq/vhost", "redis://:{}@cache:6379/0", "mongodb+srv://u:{}@cluster0.example.net/db?w=majority",
    "CIRIS_DB_URL=postgres://ciris:{}@localhost/ciris",
)  # fmt: skip

FIELDS = (
    "password", "api_key", "apiKey", "API_KEY", "db_password", "secret", "client_secret", "clientSecret",
    "access_token", "accessToken", "auth_token", "private_key", "x-api-key", "openai_api_key", "passphrase",
    "secret_access_key", "refresh_token", "Authorization", "smtpPassword", "encryption_key", "credentials",
    "token", "bot_token",
)  # fmt: skip


def positives() -> Iterator[Sample]:
    """At least 200 samples with one secret or more."""
    make = Maker(1)
    for kind, token in TOKENS.items():
        for around in AROUND:
            secret = token(make)
            yield Sample(around.format(secret), (secret,), kind)
        secret = token(make)
        yield Sample({"notes": [{"seen": f"it said {secret}"}]}, (secret,), kind)
    for kind, templates in (("told", TOLD), ("url", URLS)):
        for template in templates:
            secret = make.random.choice(PASSWORDS)
            yield Sample(template.format(secret), (secret,), kind)
    for template in KEYED:
        secret = make.an(40)
        yield Sample(template.format(secret), (secret,), "keyed")
    for field in FIELDS:
        secret = make.an(24)
        yield Sample({"service": {"name": "mail", field: secret}}, (secret,), "field")
        yield Sample({"users": [{field: [secret]}]}, (secret,), "field")
    yield from _special(make)


def _special(make: Maker) -> Iterator[Sample]:
    grouped = make.card("4", 16)
    for separator in (" ", "-"):
        secret = separator.join(grouped[i : i + 4] for i in range(0, 16, 4))
        yield Sample(f"charge {secret} exp 12/27", (secret,), "card")
    yield Sample(f"card number:{grouped}, thanks", (grouped,), "card")
    yield Sample({"env": [{"name": "DB_PASSWORD", "value": "swordfish"}]}, ("swordfish",), "field")
    yield Sample({"password": 48151623}, ("48151623",), "field")
    yield Sample({"credentials": {"user": "bob", "phrase": "open sesame"}}, ("open sesame",), "field")
    lines = make.pem().split("\n")
    yield Sample({"lines": lines}, tuple(lines), "pem")
    escaped = make.pem().replace("\n", "\\n")
    yield Sample('{"type": "service_account", "key": "' + escaped + '"}', (escaped[40:80],), "pem")
    begun = make.pem().rpartition("-----END")[0]
    yield Sample(f"cut off: {begun}", (begun[40:80],), "pem")
    yield Sample("my SSN: 536 22 1234", ("536 22 1234",), "ssn")
    yield Sample("social security number 536221234", ("536221234",), "ssn")
    yield Sample({"ssn": "536221234"}, ("536221234",), "ssn")
    yield Sample({"pin": "4711"}, ("4711",), "field")
    yield Sample("your pin code is 4711.", ("4711",), "told")
    yield Sample({"password": "correct horse battery staple"}, ("correct horse battery staple",), "field")
    yield Sample("the password is swordfish", ("swordfish",), "told")  # A plain word: hard to tell.
    yield Sample("use swordfish to log in", ("swordfish",), "told")  # Nothing says that it is one.
    yield Sample(f"here it is: {(secret := make.an(40))}", (secret,), "bare")  # A key of an unknown owner.


PROSE = """
The password is required.|Password must be at least 12 characters long.|I forgot my password, please help
Please reset your password: click the link below|The secret to good bread is patience.|It is no secret that she left.
Tokens used: 1532|The model has a limit of 8192 tokens.|token: string|password: str = None|api_key: Optional[str] = None
The key is under the mat.|key: value pairs are stored|He holds the key to the city.
The bearer of this letter is my friend.
bearer of bad news, as usual|Authorization is required for this page.|authorization: denied|The credentials are invalid.
Wrong password|password: incorrect|Your password will expire in 3 days.|secret: none|Secret Santa is on Friday.
the passphrase is wrong|pass: yes, fail: no|passed: 12, failed: 0|bypass: enabled|compass: north|boarding pass: gate 12
Call me at +1 415 555 2671.|Call 030 1234567 after five|fax: 555-1234-5678|tel 0049-30-123456-78|(415) 555-2671
The invoice number is 2025-0001-4711.|Order 112-1234567-1234567 has shipped|ISBN 978-3-16-148410-0|ISBN 9783161484100
EAN 4006381333931 is in stock|tracking number 1Z999AA10123456784|IMEI 490154203237518|VIN 1HGCM82633A004352
IBAN DE89370400440532013000|DE89 3704 0044 0532 0130 00|BIC COBADEFFXXX|tax id 12-3456789|case 123-456-7890
zip 12345-6789|part 123-45-67890|serial 000-12-3456|code 987-65-4321 is no number that is issued|room 12-34-56
Room 101 is on floor 1|The meeting is at 10:30 on 2025-10-28.|2025-10-28T12:30:00.123456Z|1698496200000000000 ns
The ratio was 3.14159265358979|Pi is 3.141592653589793238|0.1234567890123456|latitude 52.520008, longitude 13.404954
Version 1.2.3-beta.4+build.5678 was released|python 3.11.7|node v20.11.1|kernel 6.1.0-18-amd64|build 20251028.1
See https://example.org/docs/getting-started?lang=en#install|https://medium.com/@user/how-to-42|mailto:ada@example.org
https://user@example.org/path|ssh git@github.com:org/repo.git|http://localhost:8080/health|ftp://ftp.example.org/pub
https://example.org:8443/a@b|postgresql://localhost/agent|redis://cache:6379/0|http://[::1]:8080/x@y
postgres://user@host/db
postgresql://user:***@host/db|postgresql://user:<password>@host/db|postgres://user:$PASSWORD@host/db
https://u:{password}@h
export PASSWORD=$DB_PASSWORD|password=${DB_PASSWORD}|api_key = os.environ["API_KEY"]|token = get_token()
secret=<your secret>
password = getpass.getpass()|password: "********"|password: [REDACTED]|api_key=YOUR_API_KEY|token=xxxxxxxxxxxxxxxx
self.password = password|if password == other.password:|def login(user, password):|token = tokens[i]|for key in keys:
SELECT password FROM users|password_hash = hash(password)|assert token is not None|key=lambda x: x[1]|sort(key=len)
{"type": "object", "properties": {"password": {"type": "string"}}}|primary_key: id|foreign_key=user_id
cache_key: user/12
next_token: abc123def456ghi|page_token=CAUQAA|continuation_token: 12345678|max_tokens=4096|stop_token: <|endoftext|>
sk-learn is a library|scikit-learn-contrib-lightning-fast|sk-fading-circle sk-circle12 sk-child|css-1x2y3z4-Container
monkey: banana|turkey: sandwich|hockey: 3-2|donkey = Eeyore|keyboard: qwertz|keynote: 9 am|tokenizer: bpe
secretary: Miss Moneypenny
The quick brown fox jumps over the lazy dog.|Lorem ipsum dolor sit amet, consectetur adipiscing elit.|Grüße aus Köln
日本語のテキスト
antidisestablishmentarianism|Donaudampfschifffahrtsgesellschaft|pneumonoultramicroscopicsilicovolcanoconiosis is a word
filter_config_channel_123|TASK_COMPLETED_SUCCESSFULLY|ServiceInteractionCorrelation|camelCaseIdentifierWithManyWords
WAKEUP_RITUAL_SHARED_20251028|occurrence_1|channel-general-announcements|thought_ownership_transfer|agent_occurrence_id
user 123456789012345678 said hello|<@123456789012345678> joined|channel 1234567890123456789|message 9876543210987654321
The pin is bent.|pin: the tail on the donkey|pin it to the board|opinion: 42|spin: 1/2|pin code is required|PIN pad
SSN is short for social security number.|We never ask for your SSN.|ssn: not given|SSN field left empty
-----BEGIN PUBLIC KEY-----|-----BEGIN CERTIFICATE-----|-----BEGIN PGP PUBLIC KEY BLOCK-----|-----BEGIN MESSAGE-----
The card was declined.|card number: ending in 4242|visa ****4242|4242|expires 12/27|cvv: wrong
my library card number is 12345
1234 5678 9012 3456|4111 1111 1111 1112|0000 0000 0000 0000|1111 2222 3333 4444|16 digits: 1234567890123456|5500-0000
Basic training starts on Monday.|basic authentication is enabled|digest: sha256|hash: md5|cookie: chocolate chip
The mnemonic is easy to remember.|seed: 42|random_seed=12345678901|phrase: to be or not to be|recovery: complete
token bucket: 10 per second|session: closed|session_id: none|access: granted|refresh: 30s|signature: J. Doe
Bearer authentication is described in RFC 6750.|Use the Authorization header.|x-request-id: 42|etag: "33a64df5"|nonce: 7
""".strip()

BENIGN: tuple[Any, ...] = (
    {"max_tokens": 4096, "temperature": 0.7, "stop_tokens": ["\n", "User:"], "tokens_used": 1532},
    {"next_token": "CAUQAA1234567890", "page_token": "abc", "cursor": "eyJ2IjoxfQ"},
    {"password": None, "api_key": "", "secret": "***", "token": "<redacted>"},
    {"password": "${DB_PASSWORD}", "api_key": "{{ crypto.key }}", "secret": "$SECRET", "token": "%TOKEN%"},
    {"password_policy": {"min_length": 12}, "password_changed_at": "2025-10-28", "password_required": True},
    {"public_key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "key_id": "ed25519-0123456789abcdef"},
    {"primary_key": "id", "partition_key": "user", "sort_key": "created_at", "key": "value", "keys": ["a", "b"]},
    {"type": "object", "properties": {"api_key": {"type": "string", "description": "Where to find the key"}}},
    {"secret_refs": [], "secretary": "Miss Moneypenny", "tokenizer": "bpe", "token_type": "bearer"},
    {"pin": "map pin", "author": "Ada", "authority": "wise", "authored_by": "me", "passenger": "Bob", "passed": True},
    {"token": "word", "tokens": ["the", "cat", "sat"], "special_tokens": {"pad_token": "[PAD]", "eos_token": "</s>"}},
    {"is_secret": False, "has_password": True, "token_count": 12, "credential_type": "oauth"},
    {"compass": "north", "bypass": "enabled", "boarding_pass": "gate 12", "trespass": "no"},
    {"card": {"brand": "visa", "last4": "4242"}, "account_number_suffix": "4711"},
    {"phone": "+1 415 555 2671", "order": "112-1234567-1234567", "isbn": "978-3-16-148410-0"},
    {"sha": "x", "monkey": "banana", "keyboard": "qwertz", "turnkey": "yes", "hotkey": "ctrl+c"},
)


def negatives() -> Iterator[Sample]:
    """At least 500 samples without a secret."""
    make = Maker(2)
    for line in PROSE.splitlines():
        for text in line.split("|"):
            if text:
                yield Sample(text)
                yield Sample({"text": f"On Monday she wrote: {text}"})
    for value in BENIGN:
        yield Sample(value)
        yield Sample({"nested": [value, {"deep": value}]})
    for each in _identifiers(make):
        yield Sample(each)
        yield Sample(f"see {each} in the log")
        yield Sample({"id": each, "related": [each, "x"]})


def _identifiers(make: Maker) -> Iterator[str]:
    for number in range(12):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        parts = [make.hex(length) for length in (8, 4, 4, 4, 12)]
        yield "-".join(parts)
        yield "-".join(parts).upper()
        yield digest
        yield digest[:40]
        yield digest[:32]
        yield make.chars("123456789", 18)
        yield f"17{make.chars(string.digits, 14)}"
        yield f"17{make.chars(string.digits, 17)}"
        yield f"urn:uuid:{'-'.join(parts)}"
        yield f"{make.an(11)}"
        yield f"user_{make.an(8)}"
        yield f"sha256:{digest}"
        yield f"https://cdn.example.org/{make.an(22)}/image-{number}.png?v={make.hex(8)}"
        yield f"01{make.chars('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 24)}"
        yield f"tx-{make.chars(string.digits, 6)}-{make.chars(string.ascii_uppercase, 4)}-{number}"
        yield f"{make.random.randint(100, 999)}.{make.random.randint(100, 999)}.{number}.1"
