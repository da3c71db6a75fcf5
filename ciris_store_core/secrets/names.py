"""Keys of JSON objects whose name says that the value is a secret."""

from __future__ import annotations

import re

from ciris_store_core.secrets.patterns import (
    API_KEY,
    CARD_NUMBER,
    PASSWORD,
    PIN,
    PRIVATE_KEY,
    RECOVERY_PHRASE,
    SECRET,
    SSN,
    TOKEN,
    SecretPattern,
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[^a-z0-9]+")
_NUMBERED = re.compile(r"_?\d{1,3}\Z")

# The last words of a name decide: ``smtp_password`` is a password, ``password_policy`` is none.
_ENDS: tuple[tuple[SecretPattern, str], ...] = (
    (
        PASSWORD,
        "password passwd pwd pw pass passphrase passcode userpass dbpass rootpass adminpass smtppass requirepass "
        "masterauth passwort kennwort contrasena senha mot_de_passe clave_de_acceso parola wachtwoord haslo kata_sandi",
    ),
    (
        API_KEY,
        "apikey api_key access_key secret_key secret_key_base secret_access_key account_key auth_key master_key "
        "encryption_key encrypt_key signing_key sign_key storage_key shared_key shared_access_key subscription_key "
        "consumer_key service_key app_key application_key client_key admin_key deploy_key license_key session_key "
        "webhook_key hmac_key aes_key openai_key anthropic_key stripe_key sendgrid_key aws_key azure_key rsa_key "
        "function_key",
    ),
    (PRIVATE_KEY, "private_key privatekey private_key_pem ssh_key id_rsa pem_key"),
    (SECRET, "secret secrets credential credentials creds connection_string sas_key secret_value secret_text"),
    (
        TOKEN,
        "token authtoken accesstoken refreshtoken authorization proxy_authorization x_auth jwt bearer session_cookie",
    ),
    (RECOVERY_PHRASE, "mnemonic seed_phrase recovery_phrase recovery_code recovery_codes backup_codes mnemonic_phrase"),
    (PIN, "pin pin_code pincode cvv cvc cvv2 cvc2 card_code"),
    (CARD_NUMBER, "card_number credit_card credit_card_number cc_number debit_card debit_card_number cardnumber"),
    (SSN, "ssn social_security social_security_number social_security_no us_ssn"),
)
_BY_END = {name: pattern for pattern, names in _ENDS for name in names.split()}
NAMED = frozenset(pattern.name for pattern, _ in _ENDS)
"""The kinds that a name can say."""

# Spelled in one, they end names such as ``PGPASSWORD`` and ``apitoken``.
_PASSWORDS = "password passwd passphrase passwort kennwort pwd"
_TOKENS = "apitoken accesstoken authtoken refreshtoken bottoken sessiontoken usertoken privatetoken deploytoken"
_SUFFIXES: tuple[tuple[SecretPattern, tuple[str, ...]], ...] = (
    (PASSWORD, tuple(_PASSWORDS.split())),
    (API_KEY, ("apikey", "secretkey")),
    (SECRET, ("secret",)),
    (TOKEN, tuple(_TOKENS.split())),
)
FOREIGN = (
    "пароль", "密码", "密碼", "口令", "パスワード", "비밀번호", "암호", "كلمة المرور", "كلمة السر", "पासवर्ड", "कूटशब्द",
    "পাসওয়ার্ড", "پاس ورڈ", "contraseña", "hasło", "şifre", "mật khẩu",
)  # fmt: skip
"""Words for a password that are not spelled in ASCII."""

# Words that may follow: ``password_confirmation``, ``API_KEY_PROD``.
_QUALIFYING = """
    value confirmation confirm again repeat plain plaintext raw clear cleartext b64 base64 prod production dev staging
    live sandbox old new current primary secondary backup main
"""
_QUALIFIERS = frozenset(_QUALIFYING.split())

# Words before ``pass`` that make it a ticket, a way or a step.
_NO_PASS = """
    by boarding bus train ski season day week month annual guest mountain hall visitor com tres over under sur first
    second third one two single multi high low band forward backward render test tests free travel press early to must
    should will can did not or all half late
"""
_NO_PASSES = frozenset(_NO_PASS.split())
_LONGEST = max(name.count("_") + 1 for name in _BY_END)

# Words before ``token`` that make it a piece of text or a place in a listing.
_NO_TOKEN = """
    next prev previous page continuation cursor start end first last stop special pad unk bos eos sep cls mask eot
    prompt input output completion max min total sync resume cancellation cancel per
"""
_NO_TOKENS = frozenset(_NO_TOKEN.split())


def pattern_of(name: str) -> SecretPattern | None:
    """Return the kind of secret that a key of that name holds; None for an ordinary name."""
    if not name.isascii() and name.lower().rstrip(": ").endswith(FOREIGN):
        return PASSWORD
    words = _OTHER.sub("_", _CAMEL.sub("_", name[-200:]).lower()).strip("_")
    parts = _NUMBERED.sub("", words).split("_")
    while len(parts) > 1 and parts[-1] in _QUALIFIERS:
        parts.pop()
    for last in dict.fromkeys((parts[-1], parts[-1].removesuffix("s"))):
        for count in range(min(_LONGEST, len(parts)), 0, -1):
            found = _BY_END.get("_".join([*parts[len(parts) - count : -1], last]))
            if found is not None:
                return None if _is_ordinary(found, parts) else found
        for found, suffixes in _SUFFIXES:
            if last.endswith(suffixes):
                return found
    return None


def _is_ordinary(found: SecretPattern, parts: list[str]) -> bool:
    if found is TOKEN:
        return len(parts) > 1 and parts[-2] in _NO_TOKENS
    return parts[-1] == "pass" and len(parts) > 1 and parts[-2] in _NO_PASSES
